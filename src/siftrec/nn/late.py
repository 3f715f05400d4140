"""Late fusion: the modality vectors of an item stay apart, so the score is a sum over modalities and still one product."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.nn.dropout import dropout
from siftrec.nn.encoders import Lift, recency
from siftrec.nn.shares import shares
from siftrec.nn.towers import ItemTower, Parts, Seen

_SCALE = 10.0
Lifted = Literal["none", "ids", "all"]


class StackedTower(nn.Module):
    """Item vector = [e_1; …; e_M; id]: unit vectors of the modalities side by side, then the id embedding if there is one.

    A modality that an item lacks is a learned default vector, the same for all items.

    Args:
        widths: R of the standardised content of each named modality.
        dim: D of each part.
        id_rows: N for an id embedding, 0 for none.
        scale: expected norm of a fresh id embedding; parts are unit vectors.

    Attributes:
        apart: how many of the first elements of an item vector are modality vectors side by side.
    """

    def __init__(self, widths: Mapping[str, int], dim: int, id_rows: int, scale: float = 1.0) -> None:
        super().__init__()
        self.maps = ItemTower(widths, dim, id_rows, scale)
        self.default = nn.Parameter(torch.zeros(len(widths), dim))
        self.apart = self.default.numel()

    def parted(
        self, codes_n: torch.Tensor, content_nF: torch.Tensor, present_nM: torch.Tensor, known_n: torch.Tensor
    ) -> tuple[torch.Tensor, Parts]:
        """See `ItemTower.parted`; the padding item is zero throughout."""
        units_nMD = F.normalize(self.maps.mapped(content_nF), dim=2) * present_nM.unsqueeze(2)
        stacked = torch.where(present_nM.unsqueeze(2), units_nMD, self.default).flatten(1)
        if self.maps.ids is not None:
            stacked = torch.cat([stacked, self.maps.ids(codes_n) * known_n.unsqueeze(1)], dim=1)
        return stacked * (codes_n > 0).unsqueeze(1), Parts(units_nMD, present_nM.float(), present_nM)

    def fused(
        self, own_BLX: torch.Tensor, plain_BLX: torch.Tensor | None, seen: Seen, weight_BML: torch.Tensor
    ) -> torch.Tensor:
        """Vectors of interactions: the parts scaled by their weights, and the id as it is; see `ItemTower.fused`."""
        weights = weight_BML.unsqueeze(3).unbind(dim=1)
        parts = [units * weight for units, weight in zip(seen.units_BMLD.unbind(dim=1), weights, strict=True)]
        return torch.cat([*parts, own_BLX], dim=2)


class Pool(nn.Module):
    """U = φ ∘ Σ_t a_t v_t, part by part; a = softmax_t( p_t + s ⟨v_t, mean v⟩ ), p counted from the most recent.

    A lift adds MLP(U) to the id's part, or to everything, which then mixes the parts.

    Args:
        parts: number of parts side by side.
        contents: how many of them are unit vectors, which need a scale (10 at first) to be logits.
        dim: D of each part.
        length: longest history.
        rate: dropout.
        lift: what of the pooled vector, after φ, goes through a residual layer: nothing, the id's part, or everything.
    """

    def __init__(self, parts: int, contents: int, dim: int, length: int, rate: float, lift: Lifted = "none") -> None:
        super().__init__()
        self.rate, self.dim = rate, dim
        self.lifted = {"none": 0, "ids": (parts - contents) * dim, "all": parts * dim}[lift]
        self.lift = Lift(self.lifted, self.lifted) if self.lifted else None
        first = torch.ones(parts)
        first[:contents] = _SCALE
        self.scale = nn.Parameter(torch.tensor([x + math.log(-math.expm1(-x)) for x in first.tolist()]))
        self.position = nn.Parameter(torch.zeros(length, 1))
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        vectors_BLX: torch.Tensor,
        real_BL: torch.Tensor,
        rng: torch.Generator | None,
        log_trust_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        vectors_BLX = dropout(vectors_BLX, self.rate, rng)
        pooled_BX = torch.bmm(self.shares(vectors_BLX, real_BL, log_trust_BL).unsqueeze(1), vectors_BLX).squeeze(1)
        scaled_BX = pooled_BX * F.softplus(self.scale).repeat_interleave(self.dim)
        if self.lift is None:
            return scaled_BX
        return torch.cat([scaled_BX[:, : -self.lifted], self.lift(scaled_BX[:, -self.lifted :])], dim=1)

    def shares(
        self, vectors_BLX: torch.Tensor, real_BL: torch.Tensor, log_trust_BL: torch.Tensor | None = None
    ) -> torch.Tensor:
        """a_BL: the share of attention each interaction gets."""
        middle_BX = vectors_BLX.sum(dim=1) / real_BL.sum(dim=1, keepdim=True).clamp_min(1)
        logits_BL = recency(self.position, vectors_BLX.shape[1]).squeeze(1) + self.strength * torch.einsum(
            "blx,bx->bl", vectors_BLX, middle_BX
        )
        logits_BL = logits_BL if log_trust_BL is None else logits_BL + log_trust_BL
        return shares(logits_BL, real_BL)
