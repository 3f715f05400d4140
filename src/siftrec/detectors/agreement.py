"""`agreement`: how alike an item's content is to that of the rest of its history. Nothing is trained, no id is needed.

The mean of the three largest cosines to other items of the history, less what the item is like to everybody (its hub).
It speaks of items that nobody else had, as long as they have content.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.batches import each_event
from siftrec.detectors.content import content_of
from siftrec.errors import UsageError
from siftrec.nn.importance import Geometry, agreement, geometry, hubness

NEIGHBOURS = 3
_LENGTH = 20
_HUB_BACKGROUND = 256


@dataclass(frozen=True)
class Agreement:
    """What is needed to judge any history.

    Attributes:
        space: which items are alike.
        hub_N: what each item is like to popular items.
    """

    space: Geometry
    hub_N: torch.Tensor

    @classmethod
    def fit(cls, log: Sequences, catalog: Catalog, seed: int = 7) -> Agreement:
        """Standardise the content on the items of a log, every modality counting alike.

        Args:
            log: histories in the codes of `catalog`.
            catalog: the items and their content.
            seed: of the popularity-drawn items that hubs are measured with.

        Raises:
            UsageError: a catalog without content, or a log without interactions.
        """
        if not len(catalog.modalities) or not len(log.items):
            raise UsageError("agreement needs content vectors and interactions; without content, use co-occurrence")
        counts_N = torch.from_numpy(log.counts(len(catalog)).astype(np.float32))
        parts = list(content_of(catalog, counts_N))
        space = geometry(parts, [1.0] * len(parts))
        rng = seeds.generator(seed, "agreement", "hub")
        background = torch.multinomial(counts_N, _HUB_BACKGROUND, replacement=True, generator=rng)
        return cls(space, hubness(space, background))

    def judge(self, log: Sequences) -> np.ndarray:
        """(E,) float32 scores, higher = more genuine; 0 where nothing could vouch; long histories in pieces of 20.

        Args:
            log: histories of anybody, in the codes of the catalog.
        """
        return each_event(log, _LENGTH, lambda items_BL, _: self.scores(items_BL))

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        """scores_BL of histories padded with 0."""
        found = agreement(self.space, items_BL, items_BL, NEIGHBOURS)
        return torch.where(found.neighbours_BC > 0, found.raw_BC - self.hub_N[items_BL], 0.0)
