"""What the counted methods share: weighted counts of a log, and scoring a batch of histories by sparse products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from siftrec.data.sequences import Sequences

TIE = 1e-4
"""Weight of popularity beside similarities: it orders items whose scores are equal, mostly the many that have none."""


def popularity(train: Sequences, catalog_size: int) -> np.ndarray:
    """(N,) float64 share of each item in the training interactions, by weight; sums to 1 unless the log is empty."""
    counts = np.bincount(train.items, weights=train.weights, minlength=catalog_size).astype(np.float64)
    return np.asarray(counts / max(counts.sum(), 1e-12))


def interaction_matrix(train: Sequences, catalog_size: int) -> sparse.csr_matrix:
    """(R, N) float64: how much each row's items count, 1 without weights; repeats count once."""
    weights = np.ones(len(train.items)) if train.weights is None else train.weights.astype(np.float64)
    # Summing duplicates works in place, hence the copy: the log is not ours.
    matrix = sparse.csr_matrix((weights, train.items, train.offsets), shape=(len(train), catalog_size), copy=True)
    matrix.sum_duplicates()
    np.minimum(matrix.data, 1.0, out=matrix.data)
    return matrix


def history_matrix(items_BL: torch.Tensor, catalog_size: int, weights_L: np.ndarray) -> sparse.csr_matrix:
    """(B, N) float64: the weight of each history's items; an item that occurs again keeps its greatest weight.

    Args:
        items_BL: histories padded with 0.
        catalog_size: N.
        weights_L: weight of the L-th most recent item, ..., of the most recent item; not increasing with age.
    """
    items = items_BL.numpy()
    row, column = np.nonzero(items)
    newest = np.argsort(-column, kind="stable")
    key = row[newest] * catalog_size + items[row, column][newest]
    distinct, first = np.unique(key, return_index=True)
    values = weights_L[column[newest][first]]
    return sparse.csr_matrix((values, np.divmod(distinct, catalog_size)), shape=(len(items), catalog_size))


@dataclass(frozen=True)
class NeighbourScorer:
    """score(i) = prior(i) + Σ over the last items t of the history of weight(age of t) · links[t, i].

    Attributes:
        links: (N, N) sparse, non-negative.
        prior_N: score of each item for an empty history.
        ages: (A,) weight of the last item, the one before it, ...; older items do not count.
    """

    links: sparse.csr_matrix
    prior_N: np.ndarray
    ages: np.ndarray

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        """See `Scorer.scores`."""
        recent_BA = items_BL[:, -len(self.ages) :]
        weights = self.ages[: recent_BA.shape[1]][::-1]
        found_BN = (history_matrix(recent_BA, len(self.prior_N), weights) @ self.links).toarray()
        found_BN += self.prior_N
        return torch.from_numpy(found_BN.astype(np.float32))

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Scorer.tensors`."""
        return {
            "links.offsets": torch.from_numpy(self.links.indptr.astype(np.int64)),
            "links.items": torch.from_numpy(self.links.indices.astype(np.int32)),
            "links.values": torch.from_numpy(self.links.data.astype(np.float64)),
            "prior": torch.from_numpy(self.prior_N.astype(np.float64)),
            "ages": torch.from_numpy(self.ages.astype(np.float64)),
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, torch.Tensor]) -> NeighbourScorer:
        """The scorer whose `tensors()` these are.

        Raises:
            ValueError: links that point beyond the items.
        """
        values, items, offsets = (tensors[f"links.{name}"].numpy() for name in ("values", "items", "offsets"))
        prior = tensors["prior"].numpy()
        links = sparse.csr_matrix((values, items, offsets), shape=(len(prior), len(prior)))
        links.check_format(full_check=True)
        return cls(links, prior, tensors["ages"].numpy())
