"""Measures on impressions (their type: `siftrec.data.impressions`): how well a model tells clicks from what else was shown.

| name | what |
|---|---|
| auc | probability that a click scores above a non-click, over all impressions of all users; ties count half |
| gauc | the same within each user who has both, averaged with the number of impressions as weight |
| precision@50/weighted | clicks among the 50 best ÷ 50, averaged as gauc is |
| recall@50/weighted | clicks among the 50 best ÷ clicks, averaged as gauc is |
| precision@50/plain | clicks among the 50 best ÷ min(50, shown), plain mean over users; 0 without a click |
| recall@50/plain | clicks among the 50 best ÷ clicks, plain mean over users; 0 without a click |
| f1@50/… | harmonic mean of the two means before it |

Published figures are of either kind, often unnamed. Of equal scores the lower catalog code stands first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from siftrec.data.impressions import Impressions
from siftrec.errors import DataError, NonFiniteLossError
from siftrec.evaluate.asked import check_unseen
from siftrec.evaluate.rank import evaluating
from siftrec.methods.base import CandidateScorer, Scorer, VectorScorer, scores_of
from siftrec.methods.checks import check_trained
from siftrec.methods.trained import Trained
from siftrec.nn.rows import products

DEPTH = 50
GROUPS = 256
CELLS = 2**17
"""Scores computed at once, padding included: at 64 dimensions their items' vectors take 32 MiB."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Impressions judged, one value per user; means come last.

    Attributes:
        users: (Q,) raw ids of users who were shown anything.
        shown: (Q,) impressions.
        clicked: (Q,) clicks.
        best: (Q,) clicks among the `DEPTH` best.
        aucs: (Q,) AUC; NaN where all or none was clicked.
        auc: over all impressions together; NaN where all or none was clicked.
        tied: share of clicks whose score another impression of the user has too.
    """

    users: pl.Series
    shown: np.ndarray
    clicked: np.ndarray
    best: np.ndarray
    aucs: np.ndarray
    auc: float
    tied: float

    def __repr__(self) -> str:
        told = f"auc {self.auc:.4f}, gauc {self.means()['gauc']:.4f}"
        return f"Judged({told}; {len(self.users):,} users, {int(self.shown.sum()):,} impressions)"

    @property
    def weight(self) -> np.ndarray:
        """(Q,) impressions of each user ÷ their mean, users of one class having none; NaN where all are of one class."""
        shown = np.where(np.isnan(self.aucs), 0, self.shown)
        return shown / shown.mean() if shown.any() else np.full(len(shown), np.nan)

    @property
    def per_user(self) -> dict[str, np.ndarray]:
        """Metric → (Q,) values whose plain mean is the metric; AUC and F1 are no such means.

        In `gauc` and `…/weighted` a user's value is times `weight`.
        """
        weight, recall = self.weight, self.best / np.maximum(self.clicked, 1)
        return {
            "gauc": weight * np.nan_to_num(self.aucs),
            f"precision@{DEPTH}/weighted": weight * self.best / DEPTH,
            f"recall@{DEPTH}/weighted": weight * recall,
            f"precision@{DEPTH}/plain": self.best / np.minimum(DEPTH, self.shown),
            f"recall@{DEPTH}/plain": recall,
        }

    def means(self) -> dict[str, float]:
        """Metric → mean; NaN where no user has both clicks and others."""
        means = {"auc": self.auc} | {name: float(values.mean()) for name, values in self.per_user.items()}
        for kind in ("weighted", "plain"):
            p, r = means[f"precision@{DEPTH}/{kind}"], means[f"recall@{DEPTH}/{kind}"]
            means[f"f1@{DEPTH}/{kind}"] = 2 * p * r / (p + r) if p + r else 0.0
        return means


def weighted(metric: str) -> bool:
    """Whether a user's value holds the user's weight, so that the values' spread is not that of the metric."""
    return metric == "gauc" or metric.endswith("/weighted")


def evaluate_impressions(trained: Trained, part: Impressions, *, unseen: bool = False) -> Judged:
    """Judge what users were shown, each from the clicks before the part.

    Args:
        trained: what `fit` returned, of any method.
        part: e.g. `split.test`.
        unseen: True vouches that the model was fitted on none of these impressions (see `siftrec.evaluate.asked`).

    Raises:
        DataError: nothing was shown, or items that the model's catalog lacks.
        UsageError: no trained model, or the test part of another split than the model was fitted on.
    """
    check_trained(trained)
    if not len(part):
        raise DataError("the part has no impression")
    coded = part.recode(trained.items)
    if not unseen:
        check_unseen(trained, part)
    return judge_impressions(trained.scorer, trained.method.length, coded)


def judge_impressions(scorer: Scorer, length: int, part: Impressions) -> Judged:
    """`evaluate_impressions` of a scorer that reads at most `length` clicks, in the codes of its catalog.

    Raises:
        NonFiniteLossError: a score is NaN.
    """
    scores_E = scored(scorer, length, part)
    if np.isnan(scores_E).any():
        raise NonFiniteLossError("the model gives NaN as a score; its training diverged")
    users, owners = np.unique(part.users[part.shown.owners], return_inverse=True)
    shown = np.bincount(owners)
    clicked = np.bincount(owners, weights=part.labels)
    order = np.lexsort((part.shown.items, -scores_E, owners))
    place = np.arange(len(order)) - np.repeat(np.cumsum(shown) - shown, shown)
    top = order[place < DEPTH]
    best = np.bincount(owners[top], weights=part.labels[top], minlength=len(users))
    overall = aucs(scores_E, part.labels, np.zeros(len(owners), np.int64))
    return Judged(
        part.user_ids.gather(users),
        shown,
        clicked,
        best,
        aucs(scores_E, part.labels, owners),
        float(overall[0]),
        _tied(scores_E, part.labels, owners),
    )


def scored(scorer: Scorer, length: int, part: Impressions) -> np.ndarray:
    """(E,) float32 score of each impression; a module is in evaluation mode meanwhile."""
    found = np.empty(len(part.labels), np.float32)
    offsets, lengths = part.shown.offsets, part.shown.lengths
    by_candidate = isinstance(scorer, VectorScorer | CandidateScorer)
    width = lengths if by_candidate else np.full(len(lengths), len(part.items))
    with evaluating(scorer), torch.inference_mode():
        for here in blocks(width, np.minimum(part.ends, length)):
            ends, sizes = part.ends[here], lengths[here]
            history = part.clicks.window(part.users[here], ends, max(1, int(min(ends.max(), length))))
            codes = part.shown.window(here, sizes, int(sizes.max())).astype(np.int64)
            scores_BC = _asked(scorer, torch.from_numpy(history.astype(np.int64)), torch.from_numpy(codes))
            at = (offsets[here] + sizes)[:, None] + np.arange(-codes.shape[1], 0)
            found[at[codes > 0]] = scores_BC.numpy()[codes > 0]
    return found


def blocks(width: np.ndarray, history: np.ndarray) -> Iterator[np.ndarray]:
    """Groups that are scored together: at most `GROUPS` of them and, unless one alone has more, `CELLS` scores.

    Sorted by width up to a factor of two and by history within, so that little of either is padding.

    Args:
        width: (G,) scores computed for each group.
        history: (G,) interactions read for it.
    """
    order = np.lexsort((history, np.ceil(np.log2(np.maximum(width, 1)))))
    while len(order):
        widest = np.maximum.accumulate(width[order[:GROUPS]])
        count = max(1, int((widest * np.arange(1, len(widest) + 1) <= CELLS).sum()))
        yield order[:count]
        order = order[count:]


def _asked(scorer: Scorer, items_BL: torch.Tensor, codes_BC: torch.Tensor) -> torch.Tensor:
    if isinstance(scorer, VectorScorer):
        return products(scorer.items(), codes_BC, scorer.users(items_BL))
    if isinstance(scorer, CandidateScorer):
        return scorer.scored(items_BL, codes_BC)
    return scores_of(scorer, items_BL).gather(1, codes_BC)


def aucs(scores_E: np.ndarray, labels_E: np.ndarray, owners_E: np.ndarray) -> np.ndarray:
    """(Q,) area under the ROC curve of each owner's scores, by ranks (Mann-Whitney); NaN where one label is missing.

    Args:
        scores_E: scores; equal ones count half.
        labels_E: 1 or 0.
        owners_E: from 0 to Q − 1, each at least once.
    """
    order = np.lexsort((scores_E, owners_E))
    scores, owners = scores_E[order], owners_E[order]
    fresh = np.append(True, (scores[1:] != scores[:-1]) | (owners[1:] != owners[:-1]))
    runs = np.cumsum(fresh) - 1
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(scores)) - 1
    count = np.bincount(owners)
    rank = (first + last)[runs] / 2 + 1 - np.repeat(np.cumsum(count) - count, count)
    clicked = np.bincount(owners, weights=labels_E[order])
    area = np.bincount(owners, weights=rank * labels_E[order]) - clicked * (clicked + 1) / 2
    pairs = clicked * (count - clicked)
    return np.where(pairs > 0, area / np.maximum(pairs, 1), np.nan)


def _tied(scores_E: np.ndarray, labels_E: np.ndarray, owners_E: np.ndarray) -> float:
    """Share of clicks with the score of another impression of their owner; 0 without a click."""
    order = np.lexsort((scores_E, owners_E))
    same = (np.diff(scores_E[order]) == 0) & (np.diff(owners_E[order]) == 0)
    tied = np.append(same, False) | np.append(False, same)
    return float(tied[labels_E[order] > 0].mean()) if labels_E.any() else 0.0
