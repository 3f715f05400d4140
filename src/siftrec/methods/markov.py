"""First-order Markov chain: what followed the last item in training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse

from siftrec.data.split import Fitting
from siftrec.methods import counts
from siftrec.methods.counts import NeighbourScorer
from siftrec.settings import Weight, settings


@settings
class Markov:
    """score(i) = times i came right after the history's last item, plus `smoothing` draws shared out by popularity.

    With `smoothing` up to 1 popularity only orders items that followed equally often: it never outweighs one
    transition. A last item without successors, or an empty history, gives the popularity order.

    Attributes:
        smoothing: imagined transitions from every item, to items in proportion to their popularity.
    """

    smoothing: Weight = 1.0

    @property
    def length(self) -> int:
        """Only the last item is read."""
        return 1

    def fit(self, data: Fitting) -> NeighbourScorer:
        """Count transitions; one counts as much as its two interactions' weights multiplied."""
        train, size = data.train, len(data.items)
        weights = np.ones(len(train.items)) if train.weights is None else train.weights.astype(np.float64)
        same_user = np.diff(train.owners) == 0
        came, went = train.items[:-1][same_user], train.items[1:][same_user]
        each = (weights[:-1] * weights[1:])[same_user]
        links = sparse.coo_matrix((each, (came, went)), shape=(size, size)).tocsr()
        return NeighbourScorer(links, self.smoothing * counts.popularity(train, size), np.ones(1))

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> NeighbourScorer:
        """See `Counted.restore`."""
        return NeighbourScorer.restored(tensors)
