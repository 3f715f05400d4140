"""Is a difference between two models real, and is it large? Everything works on paired differences.

They are (Q,), one per user, or (S, Q) where both models were trained with the same S seeds: then both users and seeds are
samples, for another seed would have given other differences. Where the seeds are not the same, differences are (Q,), of each
model's means over its seeds, and `apart` is what each model had, (S, Q): how its own seeds differ is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from siftrec import seeds

Values = NDArray[np.float64]
_DRAWS_AT_ONCE = 2**22


class Estimate(NamedTuple):
    """A mean difference, and how sure it is.

    Attributes:
        mean: over users, and seeds.
        error: its standard error.
        freedom: degrees of freedom of the error.
    """

    mean: float
    error: float
    freedom: float


def estimate(difference: Values, apart: Sequence[Values] = ()) -> Estimate:
    """Mean difference with the standard error of users and seeds drawn at random, each from its own population.

    With d_sq = μ + seed_s + user_q + rest_sq the variance of the mean is σ²_user / Q + σ²_seed / S + σ²_rest / (S Q). Each
    part is estimated from its mean square; the degrees of freedom are Satterthwaite's (1946). With one seed it is the
    standard error over users. With two or three seeds that differ more than users make them, tests at 5 % find 6 to 10 %
    where nothing is: few seeds cannot say how much seeds differ.

    Args:
        difference: (Q,) value of a − value of b for each user, Q ≥ 2, or (S, Q), a row for each seed.
        apart: (S, Q) values of each side, where the difference is of means over seeds that do not pair; σ²_seed / S of
            each is added.
    """
    table_SQ = np.atleast_2d(difference)
    users = table_SQ.shape[1]
    by_users = float(table_SQ.mean(axis=0).var(ddof=1)) / users
    variance, doubt = by_users, 0.0
    for runs_SQ in apart or [table_SQ]:
        added, more = _by_seeds(runs_SQ)
        variance, doubt = variance + added, doubt + more
    freedom = variance**2 / (by_users**2 / (users - 1) + doubt) if doubt else users - 1
    return Estimate(float(table_SQ.mean()), variance**0.5, freedom)


def _by_seeds(table_SQ: Values) -> tuple[float, float]:
    """What S seeds add to the variance of the mean, σ²_seed / S, and to the sum that Satterthwaite's freedom divides by."""
    count, users = table_SQ.shape
    if count == 1:
        return 0.0, 0.0
    mean_S = table_SQ.mean(axis=1)
    rest_SQ = table_SQ - table_SQ.mean(axis=0) - mean_S[:, None] + table_SQ.mean()
    by_rest = float(np.square(rest_SQ).sum()) / ((count - 1) * (users - 1)) / (count * users)
    by_seeds = float(mean_S.var(ddof=1)) / count
    return max(by_seeds - by_rest, 0.0), by_seeds**2 / (count - 1) + by_rest**2 / ((count - 1) * (users - 1))


def linear(weighted_SQ: Values, weight_Q: Values) -> Values:
    """(S, Q) values of the linear approximation of a weighted mean: their mean is the same, their spread is its own.

    Args:
        weighted_SQ: w v of each user, where w are weights of mean 1; or (Q,).
        weight_Q: w.
    """
    mean_S1 = weighted_SQ.mean(axis=-1, keepdims=True)
    return np.asarray(weighted_SQ - mean_S1 * (weight_Q - 1))


def paired_t(difference: Values, apart: Sequence[Values] = ()) -> float:
    """Two-sided p of the t test that the mean difference is zero; with one seed Student's paired test.

    Args:
        difference: see `estimate`.
        apart: likewise.
    """
    mean, error, freedom = estimate(difference, apart)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, freedom))


def effect_size(difference: Values) -> float:
    """Cohen's d_z: mean difference in standard deviations over users of the difference; 0 for two equal models."""
    mean_Q = np.atleast_2d(difference).mean(axis=0)
    spread, mean = float(mean_Q.std(ddof=1)), float(mean_Q.mean())
    if spread == 0:
        return float(np.copysign(np.inf, mean)) if mean else 0.0
    return mean / spread


def bootstrap_interval(
    difference: Values, level: float = 0.95, resamples: int = 2000, seed: int = 7, apart: Sequence[Values] = ()
) -> tuple[float, float]:
    """Percentile interval of the mean difference over resampled users (Efron and Tibshirani, 1993, ch. 13).

    With several seeds, users and seeds are resampled independently (the pigeonhole bootstrap: Owen, 2007); with only a few
    of them it is too narrow where seeds differ much, and `paired_t` is the better judge. With seeds apart, the interval over
    users is as much wider as they make a t interval, in squares.

    Args:
        difference: see `estimate`.
        level: coverage.
        resamples: how many; they are drawn in chunks, so memory stays bounded.
        seed: of the draws; equal seeds give equal intervals.
        apart: see `estimate`.
    """
    table_SQ, rng = np.atleast_2d(difference), seeds.rng(seed, "bootstrap")
    means_RS, count = _resampled_means(table_SQ, resamples, rng), len(table_SQ)
    weight_RS = rng.multinomial(count, np.full(count, 1 / count), resamples) / count if count > 1 else 1.0
    low, high = np.quantile((means_RS * weight_RS).sum(axis=1), [(1 - level) / 2, (1 + level) / 2])
    if apart:
        alone, whole = estimate(table_SQ), estimate(table_SQ, apart)
        more = max(_reach(whole, level) ** 2 - _reach(alone, level) ** 2, 0.0)
        low, high = (alone.mean + sign * np.hypot(end - alone.mean, more**0.5) for sign, end in ((-1, low), (1, high)))
    return float(low), float(high)


def _reach(of: Estimate, level: float) -> float:
    """Half the width of a t interval."""
    return of.error * float(stats.t.ppf((1 + level) / 2, of.freedom))


def _resampled_means(table_SQ: Values, resamples: int, rng: np.random.Generator) -> Values:
    """Means of each seed over the same samples of Q users with replacement, (resamples, S)."""
    count = table_SQ.shape[1]
    values_SK, occurrences = np.unique(table_SQ, axis=1, return_counts=True)
    # A sample is how often it holds each distinct column. With one seed and one target per user these are about k².
    few = len(occurrences) <= count // 16
    chunk = max(1, _DRAWS_AT_ONCE // (len(occurrences) if few else count))
    means = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        if few:
            often_RK = rng.multinomial(count, occurrences / count, size).astype(np.float64)
            means.append(often_RK @ values_SK.T / count)
        else:
            drawn_RQ = rng.integers(0, count, (size, count), dtype=np.int32)
            means.append(np.stack([row_Q[drawn_RQ].mean(axis=1) for row_Q in table_SQ], axis=1))
    return np.concatenate(means)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction: p values that hold for the whole family together (Holm, 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(value) for value in corrected]


def equivalence(difference: Values, margin: float, apart: Sequence[Values] = ()) -> float:
    """P of two one-sided t tests; small = the mean difference lies within ±margin (Schuirmann, 1987).

    Args:
        difference: see `estimate`.
        margin: > 0 in the metric's own unit; 0 can never be shown, p is at least .5.
        apart: see `estimate`.
    """
    mean, error, freedom = estimate(difference, apart)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return float(stats.t.sf((margin - abs(mean)) / error, freedom))
