"""Is a difference between two models real, and is it large? Everything works on one paired difference per user."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from siftrec import seeds

Values = NDArray[np.float64]
_DRAWS_AT_ONCE = 2**22


def paired_t(difference: Values) -> float:
    """Two-sided p of Student's paired t test that the mean difference is zero.

    Args:
        difference: (Q,) value of a − value of b for each user, Q ≥ 2.
    """
    error = standard_error(difference)
    if error == 0:
        return 1.0 if difference.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(difference.mean()) / error, len(difference) - 1))


def standard_error(difference: Values) -> float:
    """Of the mean."""
    return float(difference.std(ddof=1) / np.sqrt(len(difference)))


def effect_size(difference: Values) -> float:
    """Cohen's d_z: mean difference in standard deviations of the difference; 0 for two equal models."""
    spread = float(difference.std(ddof=1))
    mean = float(difference.mean())
    return mean / spread if spread > 0 else float(np.copysign(np.inf, mean)) if mean else 0.0


def bootstrap_interval(
    difference: Values, level: float = 0.95, resamples: int = 2000, seed: int = 7
) -> tuple[float, float]:
    """Percentile interval of the mean difference over resampled users (Efron and Tibshirani, 1993, ch. 13).

    Args:
        difference: (Q,).
        level: coverage.
        resamples: how many; they are drawn in chunks, so memory stays bounded.
        seed: of the draws; equal seeds give equal intervals.
    """
    means = _resampled_means(difference, resamples, seeds.rng(seed, "bootstrap"))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(difference: Values, resamples: int, rng: np.random.Generator) -> Values:
    """Means of so many samples of Q users with replacement, (resamples,)."""
    count = len(difference)
    values, occurrences = np.unique(difference, return_counts=True)
    # A sample is how often it holds each distinct value. With one target per user there are only about k² of these.
    few = len(values) <= count // 16
    chunk = max(1, _DRAWS_AT_ONCE // (len(values) if few else count))
    means = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        if few:
            means.append(rng.multinomial(count, occurrences / count, size).astype(np.float64) @ values / count)
        else:
            means.append(difference[rng.integers(0, count, (size, count), dtype=np.int32)].mean(axis=1))
    return np.concatenate(means)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction: p values that hold for the whole family together (Holm, 1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(value) for value in corrected]


def equivalence(difference: Values, margin: float) -> float:
    """P of two one-sided t tests; small = the mean difference lies within ±margin (Schuirmann, 1987).

    Args:
        difference: (Q,), Q ≥ 2.
        margin: > 0 in the metric's own unit; 0 can never be shown, and gives 1.
    """
    mean, error = float(difference.mean()), standard_error(difference)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return float(stats.t.sf((margin - abs(mean)) / error, len(difference) - 1))
