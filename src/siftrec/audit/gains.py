"""How much better a model becomes with weights: one paired, relative difference per user, and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from siftrec.evaluate.compare import compare
from siftrec.evaluate.evaluation import Evaluation
from siftrec.evaluate.significance import bootstrap_interval, holm, paired_t

TOGETHER = "all proxies"
MIXED = "mixed"


@dataclass(frozen=True)
class Pair:
    """One proxy on the holdout, with and without weights.

    Attributes:
        proxy: its name.
        against: what it was trained on otherwise: `raw`, the log as it is, or `level`, every interaction at the
            mean weight, so that regularisation acts alike.
        with_weights: one evaluation per seed.
        without: likewise, on the same seeds.
    """

    proxy: str
    against: str
    with_weights: tuple[Evaluation, ...]
    without: tuple[Evaluation, ...]


@dataclass(frozen=True)
class Gain:
    """Relative gain of weighting, as a share of the mean of what it is compared with.

    Attributes:
        proxy: name, or `all proxies`: their mean, user by user.
        against: see `Pair`; the pair with the smaller gain, so that gains are on the low side. Of `all proxies`: theirs,
            or `mixed` where they differ.
        metric: what is compared, over all items but those the user had.
        users: pairs.
        seeds: trainings per side.
        without, with_weights: means over users, `without` of `against`; None for `all proxies`.
        relative: the gain.
        low, high: 95 % interval of the ratio of both means: users resampled, wider where training itself is random.
        p: two-sided, of the difference.
        p_holm: corrected for all gains of the verdict.
    """

    proxy: str
    against: str
    metric: str
    users: int
    seeds: int
    without: float | None
    with_weights: float | None
    relative: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class _Sample:
    """What a gain is the mean of.

    Attributes:
        values: (Q,), one per user.
        apart: (S, Q) of each side, where training itself is random (see `significance.estimate`).
    """

    values: np.ndarray
    apart: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class _Measured:
    """A pair as shares of the baseline's mean.

    Attributes:
        difference: a − b: whether there is a gain.
        ratio: a − (1 + R) b, around the gain R: how large it is, where the baseline is a sample too (linearised).
    """

    difference: _Sample
    ratio: _Sample


def gains(pairs: Sequence[Pair], metric: str, seed: int) -> tuple[Gain, ...]:
    """The gain of every proxy and of all together, corrected by Holm; a proxy that hits nothing says nothing.

    A proxy with several pairs is represented by the one with the smallest gain: weights must beat the log as it is and
    the log at a level weight.
    """
    found: dict[str, tuple[Gain, _Measured]] = {}
    for pair in pairs:
        comparison = compare(pair.with_weights, pair.without, metric, seed=seed)
        if comparison.mean_b <= 0:
            continue
        measured = _measured(pair, metric, comparison.mean_b)
        gain = replace(
            _gain(measured, metric, seed),
            proxy=pair.proxy,
            against=pair.against,
            seeds=len(pair.without),
            without=comparison.mean_b,
            with_weights=comparison.mean_a,
        )
        if pair.proxy not in found or gain.relative < found[pair.proxy][0].relative:
            found[pair.proxy] = gain, measured
    if not found:
        return ()
    listed = [gain for gain, _ in found.values()]
    if len(listed) > 1:
        together = _gain(_together([measured for _, measured in found.values()]), metric, seed)
        baselines = {gain.against for gain in listed}
        listed.append(replace(together, against=baselines.pop() if len(baselines) == 1 else MIXED))
    corrected = holm([gain.p for gain in listed])
    return tuple(replace(gain, p_holm=p) for gain, p in zip(listed, corrected, strict=True))


def _gain(measured: _Measured, metric: str, seed: int) -> Gain:
    difference, ratio = measured.difference, measured.ratio
    low, high = bootstrap_interval(ratio.values, seed=seed, apart=ratio.apart)
    p = paired_t(difference.values, difference.apart)
    return Gain(
        proxy=TOGETHER,
        against="raw",
        metric=metric,
        users=len(difference.values),
        seeds=1,
        without=None,
        with_weights=None,
        relative=float(difference.values.mean()),
        low=low,
        high=high,
        p=p,
        p_holm=p,
    )


def _measured(pair: Pair, metric: str, baseline: float) -> _Measured:
    a_SQ, b_SQ = (
        np.stack([run.per_user(metric) for run in side]) / baseline for side in (pair.with_weights, pair.without)
    )
    # The mean of b is 1. With b as 1 + (1 + R) (b - 1) it still is, where 1 + R is the mean of a, and R that of a - b.
    sides = (a_SQ, b_SQ), (a_SQ, 1 + a_SQ.mean() * (b_SQ - 1))
    return _Measured(*(_Sample(a.mean(axis=0) - b.mean(axis=0), (a, b)) for a, b in sides))


def _together(measured: Sequence[_Measured]) -> _Measured:
    return _Measured(_mean([each.difference for each in measured]), _mean([each.ratio for each in measured]))


def _mean(samples: Sequence[_Sample]) -> _Sample:
    """Of several proxies, whose trainings are independent: each has its share of what they differ by."""
    values = np.mean([each.values for each in samples], axis=0)
    return _Sample(values, tuple(side_SQ / len(samples) for each in samples for side_SQ in each.apart))
