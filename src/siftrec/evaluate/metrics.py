"""Metrics, one value per question: functions of the ranks of its targets, and of the list it was given.

| name | at cut-off k, with h targets among the k best, of n targets |
|---|---|
| hr | 1 if h > 0 |
| recall | h / n |
| precision | h / k |
| f1 | harmonic mean of precision and recall |
| ndcg | Σ 1/log2(1 + rank) over those h, divided by that sum over ranks 1 … min(k, n) |
| mrr | 1 / rank of the best target, 0 beyond k |
| map | Σ precision at the rank of each of those h, divided by min(k, n) |

With one target per question, recall = hr, ndcg = 1/log2(1 + rank) and map = mrr. Of lists: `arp`, the average recommendation
popularity, and `item_coverage`, which is one number for all questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from siftrec.data.keys import distinct_keys
from siftrec.errors import SettingsError
from siftrec.settings import nearest

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """The ranks of the targets of Q questions.

    Attributes:
        ranks: (T,) rank of each target, 1 = best.
        questions: (T,) question of each target.
        targets: (Q,) number of targets of each question, at least 1.
    """

    ranks: NDArray[np.int64]
    questions: NDArray[np.int64]
    targets: NDArray[np.int64]

    def total(self, values: Values) -> Values:
        """(Q,) sum of a value per target."""
        return np.bincount(self.questions, weights=values, minlength=len(self.targets)).astype(np.float64)

    def hits(self, k: int) -> Values:
        """(Q,) how many targets are among the k best."""
        return self.total((self.ranks <= k).astype(np.float64))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(T,) place of each target among those of its question, 1 = best."""
        order = np.lexsort((self.ranks, self.questions))
        first = np.cumsum(self.targets) - self.targets
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order)) - first[self.questions[order]] + 1
        return places


Metric = Callable[[Ranks, int], Values]


def hr(ranks: Ranks, k: int) -> Values:
    """1 if any target is among the k best, else 0."""
    return (ranks.hits(k) > 0).astype(np.float64)


def recall(ranks: Ranks, k: int) -> Values:
    """Share of the targets that are among the k best."""
    return ranks.hits(k) / ranks.targets


def precision(ranks: Ranks, k: int) -> Values:
    """Share of the k best that are targets."""
    return ranks.hits(k) / k


def f1(ranks: Ranks, k: int) -> Values:
    """Harmonic mean of precision and recall of each question: 2 h / (k + n)."""
    return 2 * ranks.hits(k) / (k + ranks.targets)


def ndcg(ranks: Ranks, k: int) -> Values:
    """Normalised discounted cumulative gain with binary relevance (Järvelin and Kekäläinen, 2002)."""
    gain = np.where(ranks.ranks <= k, 1 / np.log2(1.0 + ranks.ranks), 0.0)
    ideal: Values = np.cumsum(1 / np.log2(np.arange(2.0, k + 2)))
    best: Values = ideal[np.minimum(ranks.targets, k) - 1]
    return ranks.total(gain) / best


def mrr(ranks: Ranks, k: int) -> Values:
    """Reciprocal rank of the best target."""
    best = np.full(len(ranks.targets), np.inf)
    np.minimum.at(best, ranks.questions, ranks.ranks)
    return np.where(best <= k, 1 / best, 0.0)


def average_precision(ranks: Ranks, k: int) -> Values:
    """Average precision (Manning, Raghavan and Schütze, 2008, section 8.4) of the k best; its mean over questions is MAP.

    Divided by min(k, n), so that the best list has 1. trec_eval's `map_cut` divides by n and is lower where n > k.
    """
    precisions = np.where(ranks.ranks <= k, ranks.places / ranks.ranks, 0.0)
    return ranks.total(precisions) / np.minimum(ranks.targets, k)


METRICS: dict[str, Metric] = {
    "hr": hr,
    "recall": recall,
    "precision": precision,
    "f1": f1,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
}


def accuracy(ranks: Ranks, cutoffs: Sequence[int]) -> Values:
    """Every metric of ranks at every cut-off, (M, Q) in the order of `names(METRICS, cutoffs)`."""
    return np.stack([metric(ranks, k) for metric in METRICS.values() for k in cutoffs])


def names(metrics: Iterable[str], cutoffs: Sequence[int]) -> tuple[str, ...]:
    """Every metric name with every cut-off: `ndcg@5`, `ndcg@10`, and so on."""
    return tuple(f"{metric}@{k}" for metric in metrics for k in cutoffs)


def arp(top: np.ndarray, popularity: np.ndarray, k: int) -> Values:
    """Average recommendation popularity (Yin et al., 2012): mean training interactions of each list's k best items.

    Args:
        top: (Q, ≥ k) item codes, best first; 0 = no more.
        popularity: (N,) training interactions of each item code.
        k: cut-off.
    """
    codes = top[:, :k]
    total: Values = np.where(codes > 0, popularity[codes], 0).sum(axis=1, dtype=np.float64)
    count: Values = np.count_nonzero(codes, axis=1).clip(min=1).astype(np.float64)
    return total / count


def more_is_better(name: str) -> bool:
    """Whether a metric such as `ndcg@10` praises: of `arp` more is more popular, which may be wanted or not."""
    return name.partition("@")[0] != "arp"


def item_coverage(top: np.ndarray, items: int, k: int) -> float:
    """Share of the catalog's items that are among the k best of any list."""
    return int(np.count_nonzero(distinct_keys(top[:, :k]))) / items


def parse(name: str) -> tuple[Metric, int]:
    """`ndcg@10` → the function and 10.

    Raises:
        SettingsError: not a known metric with a cut-off of at least 1.
    """
    kind, _, cutoff = name.partition("@")
    if kind not in METRICS:
        raise SettingsError("metric", f"{name!r} is not a metric such as 'ndcg@10'{nearest(kind, METRICS)}")
    if not cutoff.isdecimal() or int(cutoff) < 1:
        raise SettingsError("metric", f"{name!r} needs a cut-off of at least 1, e.g. '{kind}@10'")
    return METRICS[kind], int(cutoff)
