"""Item-based nearest neighbours (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004), summed over recent items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from siftrec.data.split import Fitting
from siftrec.methods import counts
from siftrec.methods.counts import NeighbourScorer
from siftrec.settings import Size, Weight, settings

_ENTRIES = 4_000_000
"""Pairs of items that are looked at together, at most about so many, each of some forty bytes."""


@settings
class ItemKNN:
    """score(i) = Σ over the last `length` items t of decay^age · similarity(t, i), for the `neighbours` nearest i of t.

    Similarity is the cosine of the items' user columns, with `shrinkage` added to its denominator so that few common
    users count for little. Popularity, far smaller than any similarity, orders what is left equal, so an empty history
    gives the popularity order.

    Attributes:
        length: how many of the last items count.
        neighbours: how many similar items are kept for each item.
        shrinkage: in users.
        decay: weight of an item relative to the one after it; 1 = all alike.
    """

    length: Size = 10
    neighbours: Size = 200
    shrinkage: Weight = 10.0
    decay: Annotated[float, Field(gt=0, le=1)] = 0.7

    def fit(self, data: Fitting) -> NeighbourScorer:
        """Count common users, block by block of items."""
        size = len(data.items)
        users = counts.interaction_matrix(data.train, size)
        norms = np.sqrt(np.asarray(users.multiply(users).sum(axis=0)).ravel())
        items = users.T.tocsr()
        starts = _starts(items, users)
        bounds = zip(starts, [*starts[1:], size], strict=True)
        blocks = [self._nearest(items[start:stop] @ users, norms, start) for start, stop in bounds]
        prior = counts.TIE * counts.popularity(data.train, size)
        ages = self.decay ** np.arange(self.length, dtype=np.float64)
        return NeighbourScorer(sparse.vstack(blocks, format="csr"), prior, ages)

    def _nearest(self, common: sparse.csr_matrix, norms: np.ndarray, start: int) -> sparse.csr_matrix:
        lengths, column = np.diff(common.indptr), common.indices
        row = np.repeat(np.arange(len(lengths)), lengths)
        cosine = common.data / (norms[row + start] * norms[column] + self.shrinkage)
        cosine[column == row + start] = 0.0
        ends = common.indptr[1:-1]
        pairs = zip(np.split(cosine, ends), np.split(column, ends), strict=True)
        near = [_largest(*each, self.neighbours) + first for each, first in zip(pairs, common.indptr, strict=False)]
        place, offsets = np.concatenate(near), np.cumsum([0, *map(len, near)])
        return sparse.csr_matrix((cosine[place], column[place], offsets), shape=common.shape).sorted_indices()

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> NeighbourScorer:
        """See `Counted.restore`."""
        return NeighbourScorer.restored(tensors)


def _starts(items: sparse.csr_matrix, users: sparse.csr_matrix) -> list[int]:
    """Where blocks of items begin whose products with all items have at most about `_ENTRIES` entries each."""
    met = np.append(0, np.cumsum(np.diff(users.indptr)[items.indices]))
    entries = np.minimum(np.diff(met[items.indptr]), users.shape[1])
    return np.flatnonzero(np.diff(np.cumsum(entries) // _ENTRIES, prepend=-1)).tolist()


def _largest(cosine: np.ndarray, column: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest that are above 0; of equal ones those of the first columns."""
    least = 0.0 if len(cosine) <= count else np.partition(cosine, -count)[-count]
    near = np.flatnonzero((cosine >= least) & (cosine > 0))
    return near[np.lexsort((column[near], -cosine[near]))[:count]]
