"""`agreement`: how alike an item's content is to that of the rest of its history. Nothing is trained, no id is needed.

The mean of the k largest cosines to other items of the history, less what the item is like to everybody (its hub).
It speaks of items that nobody else had, as long as they have content.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec import seeds
from siftrec.data.sequences import Sequences
from siftrec.detectors.content import DIRECTIONS
from siftrec.detectors.fitted import Fitted, OnFold
from siftrec.detectors.ratio import Blended
from siftrec.errors import SettingsError
from siftrec.nn.importance import Geometry, agreement, geometry, hubness
from siftrec.settings import Size, settings

_HUB_BACKGROUND = 256


@settings
class Agreement:
    """How alike is asked for.

    Attributes:
        neighbours: k, how many of the most similar other interactions vouch for one.
    """

    neighbours: Size = 3

    def build(self, size: int, content: int) -> Blended:
        """A detector to be fitted, for N items with content vectors of width G.

        Raises:
            SettingsError: a catalog without content.
        """
        if not content:
            raise SettingsError(
                "detector", "Agreement needs content vectors; without any, use Likelihood or Cooccurrence"
            )
        return Blended({"agreement": ContentAgreement(self, size)})


class ContentAgreement(nn.Module):
    """What each item is like to popular items: all that is to be known beside the content.

    Args:
        how: settings.
        size: N.
    """

    def __init__(self, how: Agreement, size: int) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("hub", torch.zeros(size))

    @property
    def parts(self) -> Mapping[str, Fitted]:
        """See `Fitted`."""
        return {"agreement": self}

    def fold(self, users_B: torch.Tensor) -> torch.Tensor:
        """See `Fitted.fold`: what an item is like was not learned from who had it."""
        return torch.zeros_like(users_B)

    def fit(
        self,
        log: Sequences,
        content_NG: torch.Tensor,
        seed: int,
        on_fold: OnFold = lambda done, of: None,
        share: float = 1.0,
    ) -> ContentAgreement:
        """See `Fitted.fit`; every modality counts alike, and the whole work is always done."""
        counts_N = torch.from_numpy(log.counts(len(content_NG)).astype(np.float32))
        if counts_N.any():
            rng = seeds.generator(seed, "agreement", "hub")
            background = torch.multinomial(counts_N, _HUB_BACKGROUND, replacement=True, generator=rng)
            self.get_buffer("hub").copy_(hubness(space_of(content_NG), background))
        on_fold(1, 1)
        return self

    @torch.no_grad()
    def scores(
        self,
        items_BL: torch.Tensor,
        content_NG: torch.Tensor,
        users_B: torch.Tensor | None = None,
        places_BQ: torch.Tensor | None = None,
        shared_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Fitted.scores`; nothing is learned from anybody, so `users_B` and `shared_BL` change nothing."""
        asked_BQ = items_BL if places_BQ is None else items_BL.gather(1, places_BQ)
        # The geometry of the items at hand; the catalog's would be computed anew for every batch.
        codes_n, slots = torch.unique(F.pad(items_BL.reshape(-1), (1, 0)), return_inverse=True)
        slots_BL = slots[1:].view_as(items_BL)
        slots_BQ = slots_BL if places_BQ is None else slots_BL.gather(1, places_BQ)
        found = agreement(space_of(content_NG[codes_n]), slots_BQ, slots_BL, self.how.neighbours)
        return torch.where(found.neighbours_BC > 0, found.raw_BC - self.get_buffer("hub")[asked_BQ], 0.0)


def space_of(content_nG: torch.Tensor) -> Geometry:
    """The geometry of content vectors (`detectors.content.units`), every modality counting alike."""
    parts = content_nG.split(DIRECTIONS, dim=1)
    return geometry(parts, [1.0] * len(parts))
