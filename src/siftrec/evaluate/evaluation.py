"""How good a trained model is: a value for every user, metric and filter. Means come last."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from siftrec.data.impressions import Impressions
from siftrec.data.split import Part
from siftrec.errors import DataError, SettingsError, UsageError
from siftrec.evaluate.asked import check_asks, check_unseen, name_of
from siftrec.evaluate.impressions import evaluate_impressions
from siftrec.evaluate.metrics import METRICS, Ranks, accuracy, arp, item_coverage, names, parse
from siftrec.evaluate.rank import BLOCK_BYTES, FILTERS, AnyFilter, Filter, Progress, Ranking, rank
from siftrec.evaluate.shown import html, line
from siftrec.evaluate.slices import by_history, cold_items
from siftrec.files import write_file
from siftrec.methods.base import Scorer
from siftrec.methods.checks import check_trained
from siftrec.methods.trained import Trained
from siftrec.settings import nearest, spelled

CUTOFFS = (5, 10, 20, 50)
_HEADER = b"siftrec.evaluation"


@dataclass(frozen=True)
class About:
    """What was evaluated, and what is not a value per user.

    Attributes:
        method: its spelled name, e.g. `siftrec:SASRec`.
        seed: of the run.
        split: `test` or `valid`.
        protocol: of the split that the questions are of; where they were made by hand, of the one that was fitted on.
        items: how many can be recommended.
        fingerprint: of the training data and of the questions; the latter covers targets, candidates, filtered items.
        tied: share of targets, or clicks, whose score another candidate has too.
        coverage: `filtered` and `unfiltered` → means that are not of users: `item_coverage@k`, the share of the catalog that
            was recommended to anyone; on impressions AUC and F1.
        slices: name → `users`, and means over those users, filtered and unfiltered.
        model: fingerprint of the model's settings and weights; "" in evaluations that were written before it was kept.
        repeated: share of targets that their user had before; filtered ranking lets these be recommended. None where that is
            not known, and of impressions.
        unasked: users with a target who were not asked, for they have no history; None likewise.
    """

    method: str
    seed: int
    split: str
    protocol: str
    items: int
    fingerprint: dict[str, str]
    tied: float
    coverage: dict[str, dict[str, float]]
    slices: dict[str, dict[str, Any]]
    model: str = ""
    repeated: float | None = None
    unasked: int | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Values per user, metric and filter.

    Attributes:
        users: (Q,) raw user ids.
        metrics: M names, e.g. `ndcg@10`.
        values: filter → (M, Q) float64; on impressions `none` alone.
        about: the rest.
        weight: (Q,) by which the values of `gauc` and `…/weighted` were multiplied (`Judged.weight`); None where none was,
            and in evaluations that were written before it was kept.
    """

    users: pl.Series
    metrics: tuple[str, ...]
    values: Mapping[Filter, np.ndarray]
    about: About
    weight: np.ndarray | None = None

    def filter_named(self, filter: str) -> Filter:
        """The filter by its name, `seen` or `none`, or as reports spell it, `filtered` or `unfiltered`.

        Raises:
            UsageError: a filter that was not evaluated.
        """
        for name in self.values:
            if filter in (name, FILTERS[name]):
                return name
        spelled = " and ".join(f"{name!r} ({FILTERS[name]})" for name in self.values)
        raise UsageError(f"filter {filter!r} was not evaluated, {spelled} was")

    def per_user(self, metric: str, filter: AnyFilter = "seen") -> np.ndarray:
        """(Q,) one metric in the order of `users`.

        Raises:
            UsageError: a metric or filter that was not evaluated.
        """
        values = self.values[self.filter_named(filter)]
        if problem := self.lacks(metric):
            raise UsageError(problem)
        column: np.ndarray = values[self.metrics.index(metric)]
        return column

    def means(self, filter: AnyFilter = "seen") -> dict[str, float]:
        """Metric → mean over users, and what is not of users (see `About.coverage`).

        Raises:
            UsageError: a filter that was not evaluated.
        """
        name = self.filter_named(filter)
        means = dict(zip(self.metrics, self.values[name].mean(axis=1).tolist(), strict=True))
        return means | self.about.coverage.get(FILTERS[name], {})

    def slices(self, filter: AnyFilter = "seen") -> dict[str, dict[str, float]]:
        """Slice → metric → mean over the slice's users; empty where there are none.

        Raises:
            UsageError: a filter that was not evaluated.
        """
        spelled = FILTERS[self.filter_named(filter)]
        return {name: block[spelled] for name, block in self.about.slices.items()}

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """The k of every metric, ascending; none of impressions, which have their own."""
        return tuple(sorted({int(k) for name in self.metrics if (k := name.partition("@")[2]).isdecimal()}))

    def missing_cutoff(self, metric: str) -> int | None:
        """The k of a metric that was evaluated, but not there; None where it is not for that."""
        kind, _, k = metric.partition("@")
        known = {f"{kind}@{each}" for each in self.cutoffs} & set(self.metrics)
        return int(k) if known and metric not in self.metrics and re.fullmatch("[1-9][0-9]*", k) else None

    def lacks(self, metric: str) -> str:
        """Why there are no values of a metric, and what would be right; "" where there are.

        Another cut-off is another figure, so none is proposed.
        """
        if metric in self.metrics:
            return ""
        if any(metric in means for means in self.about.coverage.values()):
            return f"metric {metric!r} is one number for all users, not one per user; it is among the means"
        told, (kind, _, k) = f"metric {metric!r} was not evaluated", metric.partition("@")
        if at := [name.partition("@")[2] for name in self.metrics if name.partition("@")[0] == kind]:
            more = self.missing_cutoff(metric)
            wider = "" if more is None else f"; evaluate with cutoffs={tuple(sorted({*self.cutoffs, more}))}"
            return f"{told}, only {kind} at {', '.join(at)}{wider}"
        alike = [name for name in self.metrics if name.partition("@")[2] == k]
        kinds = {name.partition("@")[0] for name in self.metrics} if self.cutoffs else self.metrics
        return told + (nearest(metric, alike) if alike else nearest(kind, kinds))

    @property
    def table(self) -> pl.DataFrame:
        """Columns user, metric, filter, value; one row per value. Of impressions also `weight`, the user's."""
        users, metrics, filters = len(self.users), len(self.metrics), len(self.values)
        metric = np.tile(np.repeat(np.arange(metrics, dtype=np.uint32), users), filters)
        filter = np.repeat(np.arange(filters, dtype=np.uint32), metrics * users)
        columns = {
            "user": pl.concat([self.users.rename("user")] * (filters * metrics)),
            "metric": _enum(self.metrics).gather(metric),
            "filter": _enum(self.values).gather(filter),
            "value": np.concatenate([values.ravel() for values in self.values.values()]),
        }
        return pl.DataFrame(
            columns if self.weight is None else columns | {"weight": np.tile(self.weight, filters * metrics)}
        )

    def to_json(self, run: str) -> dict[str, Any]:
        """One entry of `runs` in the evaluation file."""
        about = self.about
        return {
            "run": run,
            **{key: getattr(about, key) for key in ("method", "seed", "split", "protocol")},
            "users": len(self.users),
            "items": about.items,
            "fingerprint": about.fingerprint,
            "tied": about.tied,
            "repeated": about.repeated,
            "unasked": about.unasked,
            "metrics": {FILTERS[filter]: _plain(self.means(filter)) for filter in self.values},
            "slices": about.slices,
        }

    def __str__(self) -> str:
        return line(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Parquet with columns user, metric, filter, value; what is not per user is in the file's metadata."""
        table = self.table.to_arrow(compat_level=pl.CompatLevel.oldest())
        told = {"schema": 1, "metrics": self.metrics, "filters": list(self.values), "about": asdict(self.about)}
        header = json.dumps(told).encode()

        def put(work: Path) -> None:
            # Without Arrow's schema, every reader finds plain strings.
            with pq.ParquetWriter(work, table.schema, compression="zstd", store_schema=False) as writer:
                writer.add_key_value_metadata({_HEADER: header})
                writer.write_table(table)

        write_file(Path(path), put)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Evaluation:
        """The evaluation that `write` kept.

        Raises:
            DataError: the file is missing or is not one.
        """
        try:
            with pq.ParquetFile(path) as file:
                header = json.loads(file.metadata.metadata[_HEADER])
                metrics, about = tuple(header["metrics"]), About(**header["about"])
                filters = header.get("filters", list(FILTERS))  # older files have both and do not say so
                values = np.empty(file.metadata.num_rows).reshape(len(filters), len(metrics), -1)
                first, ordered = _fill(values, file, metrics, filters)
        except FileNotFoundError:
            raise DataError("no such file; run `siftrec evaluate` first", str(path)) from None
        except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise DataError(f"is not an evaluation written by siftrec ({type(error).__name__})", str(path)) from None
        if not ordered:
            raise DataError("its rows were reordered or changed; evaluate again", str(path))
        weight = first["weight"].to_numpy() if "weight" in first.columns else None
        return cls(first["user"], metrics, dict(zip(filters, values, strict=True)), about, weight)


def _fill(
    values: np.ndarray, file: pq.ParquetFile, metrics: Sequence[str], filters: Sequence[str]
) -> tuple[pl.DataFrame, bool]:
    """Take (F, M, Q) values from a file, Q rows at a time; its first Q rows, and whether all stand where they should."""
    ordered, first = True, pl.DataFrame()
    for (filter, metric), batch in zip(np.ndindex(values.shape[:2]), file.iter_batches(values.shape[2]), strict=True):
        frame = pl.DataFrame(batch)
        first = first if filter or metric else frame
        values[filter, metric] = frame["value"].to_numpy()
        told = first.with_columns(frame["value"], metric=pl.lit(metrics[metric]), filter=pl.lit(filters[filter]))
        ordered &= told.equals(frame.cast({"metric": pl.String, "filter": pl.String}))
    return first, ordered


def evaluate(
    trained: Trained,
    part: Part | Impressions,
    cutoffs: int | Iterable[int] | None = None,
    *,
    split: str | None = None,
    unseen: bool = False,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Evaluation:
    """Rank the whole catalog for every question of a part; of impressions, what was shown to each user.

    Args:
        trained: what `fit` returned.
        part: e.g. `split.test`.
        cutoffs: the k of every metric, or a single one; None: 5, 10, 20 and 50, as far as the catalog goes. Impressions have
            their own (see `siftrec.evaluate.impressions`).
        split: name of a part that was made by hand, for the record; parts of a split know theirs.
        unseen: True vouches that the model was fitted on none of the targets, and lets it answer the test part of another
            split than its own.
        progress: called with (questions done, questions).
        block_bytes: budget for scores; no number depends on it.

    Raises:
        SettingsError: a cut-off below 1 or over the catalog, or no whole number.
        UsageError: no trained model, no part of a split, or the test part of another split than the model was fitted on.
        DataError: no questions, or items that the model's catalog lacks.
    """
    check_trained(trained)
    if not isinstance(part, Part | Impressions):
        raise UsageError(f"part: {type(part).__name__} asks no questions; give a part of a split, e.g. split.test")
    named = name_of(part, split)
    if isinstance(part, Impressions):
        return _of_impressions(trained, part, named, unseen)
    check_asks(part, named)
    items = len(trained.items) - 1
    cutoffs = chosen_cutoffs(cutoffs, items)
    asked, part = part, part.recode(trained.items)
    if not unseen:
        check_unseen(trained, asked)
    ranking = rank(trained.scorer, trained.method.length, part, cutoffs[-1], progress=progress, block_bytes=block_bytes)
    found = measured(ranking, part, trained.popularity, cutoffs)
    about = _about(trained, part, named, float(ranking.tied.mean()), found.coverage, found.slices)
    return Evaluation(part.user_ids, found.metrics, found.values, about)


class Measured(NamedTuple):
    """What an evaluation holds of a ranking.

    Attributes:
        metrics, values: as in `Evaluation`.
        coverage, slices: as in `About`.
    """

    metrics: tuple[str, ...]
    values: dict[Filter, np.ndarray]
    coverage: dict[str, dict[str, float]]
    slices: dict[str, dict[str, Any]]


def measured(ranking: Ranking, part: Part, popularity: np.ndarray, cutoffs: tuple[int, ...]) -> Measured:
    """Every metric of a ranking of the questions of a part, with the k best of each list for the largest cut-off."""
    metrics, items = names([*METRICS, "arp"], cutoffs), len(popularity) - 1
    values = {filter: _values(ranking, filter, popularity, cutoffs) for filter in FILTERS}
    coverage = {
        spelling: {f"item_coverage@{k}": item_coverage(ranking.top[filter], items, k) for k in cutoffs}
        for filter, spelling in FILTERS.items()
    }
    slices = by_history(part.histories.lengths, metrics, values)
    slices["cold_items"] = cold_items(ranking, popularity, cutoffs)
    return Measured(metrics, values, coverage, slices)


def chosen_cutoffs(given: int | Iterable[int] | None, items: int) -> tuple[int, ...]:
    """Each cut-off once, ascending; a single number is a list of one, None `CUTOFFS` as far as the catalog goes."""
    if given is None:
        given = [k for k in CUTOFFS if k <= items] or items
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    whole = all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in listed)
    if not listed or not whole or min(listed) < 1 or max(listed) > items:
        raise SettingsError("evaluate.cutoffs", f"{listed} must be whole numbers from 1 to the catalog's {items} items")
    return tuple(sorted({int(k) for k in listed}))


def _of_impressions(trained: Trained, part: Impressions, split: str, unseen: bool) -> Evaluation:
    judged = evaluate_impressions(trained, part, unseen=unseen)
    part = part.recode(trained.items)
    values, means = judged.per_user, judged.means()
    other = {"unfiltered": {name: mean for name, mean in means.items() if name not in values}}
    about = _about(trained, part, split, judged.tied, other, {})
    return Evaluation(judged.users, tuple(values), {"none": np.stack(list(values.values()))}, about, judged.weight)


def _about(
    trained: Trained,
    part: Part | Impressions,
    split: str,
    tied: float,
    coverage: dict[str, dict[str, float]],
    slices: dict[str, dict[str, Any]],
) -> About:
    return About(
        method=spelled(type(trained.method)),
        seed=trained.facts.seed,
        split=split,
        protocol=part.protocol or trained.facts.protocol,
        items=len(trained.items) - 1,
        fingerprint={"train": trained.facts.train, "test": part.fingerprint},
        tied=tied,
        coverage=coverage,
        slices=slices,
        model=trained.fingerprint,
        repeated=part.repeated if isinstance(part, Part) else None,
        unasked=part.unasked if isinstance(part, Part) else None,
    )


def _plain(means: Mapping[str, float]) -> dict[str, float | None]:
    """For JSON, which has no NaN."""
    return {name: None if np.isnan(mean) else mean for name, mean in means.items()}


def _enum(names: Iterable[str]) -> pl.Series:
    each = list(names)
    return pl.Series(each, dtype=pl.Enum(each))


def _values(ranking: Ranking, filter: Filter, popularity: np.ndarray, cutoffs: tuple[int, ...]) -> np.ndarray:
    """(M, Q): the metrics of ranks, then arp."""
    lists = [arp(ranking.top[filter], popularity, k) for k in cutoffs]
    return np.concatenate([accuracy(_ranks(ranking, filter), cutoffs), lists])


def _ranks(ranking: Ranking, filter: Filter) -> Ranks:
    return Ranks(ranking.ranks[filter], ranking.targets.owners, ranking.targets.lengths)


def validation_metric(scorer: Scorer, length: int, part: Part, metric: str = "ndcg@10") -> float:
    """One filtered metric, mean over questions: what early stopping watches.

    Raises:
        SettingsError: not a metric.
        NonFiniteLossError: a score is NaN.
    """
    function, k = parse(metric)
    return float(function(_ranks(rank(scorer, length, part), "seen"), k).mean())
