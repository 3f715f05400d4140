"""Popularity: everybody is recommended what most were seen with in training. The floor every method must clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from siftrec.data.split import Fitting
from siftrec.methods import counts
from siftrec.settings import settings


@dataclass(frozen=True)
class PopularityScorer:
    """The same scores for every history.

    Attributes:
        share_N: float32 share of each item in the training interactions.
    """

    share_N: torch.Tensor

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        """See `Scorer.scores`."""
        return self.share_N.expand(len(items_BL), -1).clone()

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Scorer.tensors`."""
        return {"share": self.share_N}


@settings
class Popularity:
    """Recommend what is popular in the training interactions; an item never trained on scores 0."""

    @property
    def length(self) -> int:
        """The history is not read; one item is the least a batch can hold."""
        return 1

    def fit(self, data: Fitting) -> PopularityScorer:
        """Count."""
        share = counts.popularity(data.train, len(data.items))
        return PopularityScorer(torch.from_numpy(share.astype(np.float32)))

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> PopularityScorer:
        """See `Counted.restore`."""
        return PopularityScorer(tensors["share"])
