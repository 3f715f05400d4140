"""Comparing models user by user, on the same questions only.

`difference` is always a − b, and relative figures are shares of b, the baseline. A model may be one evaluation or several,
one per seed. Users are a sample, and so are seeds where a model has several (see `significance.estimate`): paired where both
have the same ones or only one has several, else each model's for itself. One run against several is taken as it is, and said
to be: right for a method that draws nothing, too sure of another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from siftrec.errors import DataError, UsageError
from siftrec.evaluate.evaluation import Evaluation
from siftrec.evaluate.impressions import weighted
from siftrec.evaluate.metrics import more_is_better
from siftrec.evaluate.rank import FILTERS, AnyFilter, Filter
from siftrec.evaluate.significance import bootstrap_interval, effect_size, equivalence, holm, linear, paired_t

MARGIN = 0.02
ALPHA = 0.05
Runs = Evaluation | Sequence[Evaluation]
_ONE_LOG = (
    "evaluate both on one split of one log; a run on a cleaned log says which log that was: [data] original "
    "(cleaned with --part train)"
)
_NEEDED = "give what sr.evaluate(model, split.test) returns, or a list of these, one per seed"


@dataclass(frozen=True)
class Comparison:
    """How a differs from b in one metric.

    Attributes:
        a, b: names.
        metric, filter: what was compared.
        protocol: of the split both were evaluated on.
        users: pairs.
        seeds: how many were drawn, like users; where they do not pair, of the model that has fewer; 1: neither has several.
        mean_a, mean_b: means over users.
        difference: mean_a − mean_b.
        low, high: 95 % bootstrap interval of the difference over users, and seeds.
        p: paired t test over users, and seeds.
        p_holm: p corrected for every comparison made together with this one.
        effect: Cohen's d_z.
        p_equivalent: two one-sided tests, ± 2 % of mean_b.
        p_equivalent_holm: p_equivalent corrected for every comparison made together with this one.
        one_run: the model whose one run faced several seeds of the other; what its seeds would differ by is in no figure.
    """

    a: str
    b: str
    metric: str
    filter: Filter
    protocol: str
    users: int
    seeds: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float
    p_equivalent: float
    p_equivalent_holm: float
    one_run: str | None = None

    @property
    def relative(self) -> float | None:
        """The difference as a share of mean_b; None when that is 0."""
        return self.difference / self.mean_b if self.mean_b else None

    @property
    def equivalent(self) -> bool:
        """Whether the difference lies within ± 2 % of mean_b, at 5 % after correction."""
        return self.p_equivalent_holm < ALPHA

    @property
    def verdict(self) -> str:
        """What may be said at 5 % after correction: significance and equivalence are separate questions."""
        equal = "equivalent within ±2 %" if self.equivalent else ""
        word = "better" if more_is_better(self.metric) else "higher"
        apart = f"{self.a if self.difference > 0 else self.b} is {word}" if self.p_holm < ALPHA else ""
        return ", but ".join(text for text in (apart, equal) if text) or "undecided"

    def __str__(self) -> str:
        share = "" if self.relative is None else f" ({self.relative:+.1%})"
        asked = f"{self.users:,} users" + (f", {self.seeds} seeds" if self.seeds > 1 else "")
        asked += f" (one run of {self.one_run}, taken as it is)" if self.one_run else ""
        return (
            f"{self.metric} {FILTERS[self.filter]}: {self.a} {self.mean_a:.4f}, {self.b} {self.mean_b:.4f}, "
            f"difference {self.difference:+.4f}{share}, 95 % CI [{self.low:+.4f}, {self.high:+.4f}], "
            f"p {p_text(self.p)} (Holm {p_text(self.p_holm)}), d {self.effect:+.3f}, {asked}: {self.verdict}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return Family([self])._repr_html_()


class Family(tuple[Comparison, ...]):
    """Comparisons made and corrected together; printed with what was done."""

    __slots__ = ()

    def __str__(self) -> str:
        from siftrec.evaluate.tables import as_text

        return as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from siftrec.evaluate.tables import as_html

        return as_html(self)


def p_text(p: float) -> str:
    """`0.034`, `< 0.0001`, with its sign."""
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}"


def compare(a: Runs, b: Runs, metric: str = "ndcg@10", filter: AnyFilter = "seen", *, seed: int = 7) -> Comparison:
    """Compare two models on one metric.

    Args:
        a: an evaluation, or one per seed.
        b: the baseline, likewise.
        metric: e.g. `ndcg@10`.
        filter: `seen` or `none`, or as reports spell them.
        seed: of the bootstrap.

    Raises:
        DataError: another protocol, other test questions or other users; fewer than two users; seeds of one model that
            are of several methods, or a seed twice.
        UsageError: no evaluation, or a metric that was not evaluated.
    """
    left, right = _listed("a", a), _listed("b", b)
    names = [runs[0].about.method for runs in (left, right)]
    if names[0] == names[1]:
        names = [f"{name} ({letter})" for name, letter in zip(names, "ab", strict=True)]
    return _compared((names[0], left), (names[1], right), metric, filter, seed)


def compare_family(
    models: Mapping[str, Runs], metrics: Sequence[str] = ("ndcg@10",), filter: AnyFilter = "seen", *, seed: int = 7
) -> Family:
    """Every pair of models on every metric, corrected together by Holm, differences and equivalence apart.

    Args:
        models: name → evaluation, or one per seed. In each pair the earlier model is a, the later one b.
        metrics: names, e.g. `ndcg@10`; one that is repeated counts once.
        filter: `seen` or `none`, or as reports spell them.
        seed: of the bootstrap.

    Raises:
        DataError: as `compare`.
        UsageError: fewer than two models, what is no evaluation, or a metric that was not evaluated.
    """
    if not isinstance(models, Mapping):
        raise UsageError(f"models: {type(models).__name__} has no names; give {{name: evaluation, ...}}")
    if len(models) < 2 or not metrics:
        raise UsageError(f"a comparison needs two models and a metric; given {len(models)} and {len(metrics)}")
    metrics = list(dict.fromkeys(metrics))
    listed = [(name, _listed(name, runs)) for name, runs in models.items()]
    pairs = itertools.combinations(listed, 2)
    found = [_compared(a, b, metric, filter, seed) for a, b in pairs for metric in metrics]
    return Family(corrected(found))


def corrected(found: Sequence[Comparison], unmade: int = 0) -> list[Comparison]:
    """The same comparisons as one family: Holm over the tests that two models differ, and over those that they do not.

    Args:
        found: comparisons made together.
        unmade: how many more belong to the family without having been made; each counts as a test that shows nothing, so
            that making it later takes no verdict back.
    """
    of_difference = holm([each.p for each in found] + [1.0] * unmade)
    of_equivalence = holm([each.p_equivalent for each in found] + [1.0] * unmade)
    both = zip(found, of_difference, of_equivalence, strict=False)  # what was not made has no comparison
    return [replace(each, p_holm=p, p_equivalent_holm=equal) for each, p, equal in both]


def _listed(name: str, runs: Runs) -> list[Evaluation]:
    listed: list[Evaluation] = list(runs) if isinstance(runs, Iterable) else [runs]
    if not listed:
        raise UsageError(f"{name}: there is no evaluation; {_NEEDED}")
    for each in listed:
        if not isinstance(each, Evaluation):
            raise UsageError(f"{name}: {type(each).__name__} is no evaluation; {_NEEDED}")
    return listed


def _compared(
    a: tuple[str, list[Evaluation]], b: tuple[str, list[Evaluation]], metric: str, filter: AnyFilter, seed: int
) -> Comparison:
    (name_a, left), (name_b, right) = a, b
    for name, runs in (a, b):
        _check_seeds(name, runs)
        for run in runs:
            _check_same(left[0], name_a, run, name)
            if problem := run.lacks(metric):
                raise UsageError(f"{name}: {problem}")
            _check_known(run.per_user(metric, filter), name, metric)
    values_a, values_b, unpaired = _paired(left, right, metric, filter)
    apart = [_spread(values_SQ, left[0], metric) for values_SQ in unpaired]
    difference = _spread(values_a - values_b, left[0], metric)
    if difference.shape[1] < 2:
        raise DataError("a comparison needs at least two users", f"{name_a} and {name_b}")
    mean_b, p = float(values_b.mean()), paired_t(difference, apart)
    equal = equivalence(difference, MARGIN * abs(mean_b), apart)
    low, high = bootstrap_interval(difference, seed=seed, apart=apart)
    single = [name for name, runs in (a, b) if len(runs) == 1]
    return Comparison(
        a=name_a,
        b=name_b,
        metric=metric,
        filter=left[0].filter_named(filter),
        protocol=left[0].about.protocol,
        users=difference.shape[1],
        seeds=min(map(len, apart), default=len(difference)),
        mean_a=float(values_a.mean()),
        mean_b=mean_b,
        difference=float(difference.mean()),
        low=low,
        high=high,
        p=p,
        p_holm=p,
        effect=effect_size(difference),
        p_equivalent=equal,
        p_equivalent_holm=equal,
        one_run=single[0] if len(single) == 1 else None,
    )


def _spread(difference_SQ: NDArray[np.float64], run: Evaluation, metric: str) -> NDArray[np.float64]:
    """The differences, whose spread is that of their mean.

    A weighted metric is a ratio of two means, Σ w d / Σ w, and values that hold w ÷ its mean alone would take that mean for
    known. Of the values of its linear approximation, D + w (d − D), the mean is D too.
    """
    if not weighted(metric):
        return difference_SQ
    if run.weight is None:
        raise DataError(
            f"was written before it kept what {metric!r} needs to be compared; evaluate again", run.about.method
        )
    return linear(difference_SQ, run.weight)


def _check_known(values_Q: NDArray[np.float64], name: str, metric: str) -> None:
    """Every user must have a value: a mean with NaN is none."""
    if missing := int(np.isnan(values_Q).sum()):
        raise DataError(
            f"has no {metric} (NaN) for {missing:,} of {len(values_Q):,} users; a comparison needs all", name
        )


def _check_seeds(name: str, runs: list[Evaluation]) -> None:
    """What is taken for seeds of one model must be one method with a seed each."""
    methods = sorted({run.about.method for run in runs})
    if len(methods) > 1:
        raise DataError(f"are taken for seeds of one model, but are {' and '.join(methods)}", name)
    seeds = [run.about.seed for run in runs]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise DataError(f"are taken for seeds of one model, but seed {twice[0]} is there twice", name)


def _check_same(one: Evaluation, one_name: str, other: Evaluation, other_name: str) -> None:
    both = f"{one_name} and {other_name}"
    if one.about.split != other.about.split:
        raise DataError(f"were evaluated on {one.about.split} and {other.about.split}; use one split", both)
    protocols = one.about.protocol, other.about.protocol
    if protocols[0] != protocols[1]:
        raise DataError("were evaluated on {!r} and {!r}; use one protocol".format(*protocols), both)
    if not one.users.equals(other.users):
        raise DataError(
            f"were evaluated on different users ({len(one.users):,} and {len(other.users):,}); {_ONE_LOG}", both
        )
    if one.about.fingerprint["test"] != other.about.fingerprint["test"]:
        raise DataError(
            f"have different test fingerprints: targets, candidate items or filtered items differ; {_ONE_LOG}", both
        )


def _paired(
    left: list[Evaluation], right: list[Evaluation], metric: str, filter: AnyFilter
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[NDArray[np.float64], ...]]:
    """Values of both sides, (S, Q) or (1, Q): a row per seed where rows can be paired; else their means, and all rows."""
    sides = [sorted(runs, key=lambda run: run.about.seed) for runs in (left, right)]
    a, b = (np.stack([run.per_user(metric, filter) for run in runs]) for runs in sides)
    many = [[run.about.seed for run in runs] for runs in sides if len(runs) > 1]
    if len(many) < 2 or many[0] == many[1]:
        return a, b, ()
    return a.mean(axis=0, keepdims=True), b.mean(axis=0, keepdims=True), (a, b)
