"""Item towers: standardised content and ids become item vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name


class Parts(NamedTuple):
    """The modality vectors of n items, one by one.

    Attributes:
        units_nMD: unit vectors; zero where absent.
        norm_nM: their length before; the part of the item vector is units · norm.
        present_nM: whether the item has the modality.
    """

    units_nMD: torch.Tensor
    norm_nM: torch.Tensor
    present_nM: torch.Tensor


class Seen(NamedTuple):
    """The content that stood with the interactions of histories.

    Attributes:
        codes_BML: item whose content it is.
        units_BMLD: unit vectors; zero where absent.
        norm_BML: their length before.
        present_BML: whether there is content.
    """

    codes_BML: torch.Tensor
    units_BMLD: torch.Tensor
    norm_BML: torch.Tensor
    present_BML: torch.Tensor


class ItemTower(nn.Module):
    """Item vector = Σ_m W_m x̃_m (+ id embedding), x̃ standardised content, whose norm is about 1.

    Every part starts with the same expected norm, whatever its width. Without the division one step of Adam moves a content
    part √F times as far, which swamps a fresh id table. An absent modality adds nothing.

    Args:
        widths: R of the standardised content of each named modality.
        dim: D.
        id_rows: N for an id embedding, 0 for none.
        scale: expected norm of a fresh item vector.

    Attributes:
        apart: how many of the first elements of an item vector are modality vectors side by side: none, they are summed.
    """

    def __init__(self, widths: Mapping[str, int], dim: int, id_rows: int, scale: float = 1.0) -> None:
        super().__init__()
        parts = len(widths) + bool(id_rows)
        if not parts:
            raise ValueError("an item needs an id embedding or at least one modality")
        each = scale / parts**0.5
        self.maps = nn.ModuleDict({f"m_{name}": nn.Linear(width, dim, bias=False) for name, width in widths.items()})
        for layer in self.maps.values():
            nn.init.normal_(layer.get_parameter("weight"), std=each / dim**0.5)
        self.ids = nn.Embedding(id_rows, dim) if id_rows else None
        if self.ids is not None:
            nn.init.normal_(self.ids.weight, std=each / dim**0.5)
        self.apart = 0

    def forward(
        self, codes_n: torch.Tensor, content_nF: torch.Tensor, known_n: torch.Tensor | None = None
    ) -> torch.Tensor:
        """vectors_nD of items.

        Args:
            codes_n: item codes, read by the id embedding only.
            content_nF: x̃ of all modalities side by side (`Features.standardised`), zero where absent.
            known_n: (n,) bool, items whose id embedding counts; the others have their content alone. None = all.
        """
        ids_nD: torch.Tensor = content_nF.new_zeros(()) if self.ids is None else self.ids(codes_n)
        if self.ids is not None and known_n is not None:
            ids_nD = ids_nD * known_n.unsqueeze(1)
        if not self.maps:
            return ids_nD
        weight_DF = torch.cat([layer.get_parameter("weight") for layer in self.maps.values()], dim=1)
        return torch.addmm(ids_nD, content_nF, weight_DF.T)

    def mapped(self, content_nF: torch.Tensor) -> torch.Tensor:
        """(n, M, D) W_m x̃_m of every modality; see `forward`."""
        weights = [layer.get_parameter("weight") for layer in self.maps.values()]
        each = content_nF.split([weight_DF.shape[1] for weight_DF in weights], dim=1)
        return torch.stack([x_nF @ weight_DF.T for x_nF, weight_DF in zip(each, weights, strict=True)], dim=1)

    def parted(
        self, codes_n: torch.Tensor, content_nF: torch.Tensor, present_nM: torch.Tensor, known_n: torch.Tensor
    ) -> tuple[torch.Tensor, Parts]:
        """The item vectors as `forward` gives them, and the modality vectors they are the sum of."""
        mapped_nMD = self.mapped(content_nF)
        vectors_nD = mapped_nMD.sum(dim=1)
        if self.ids is not None:
            vectors_nD = vectors_nD + self.ids(codes_n) * known_n.unsqueeze(1)
        return vectors_nD, Parts(F.normalize(mapped_nMD, dim=2), mapped_nMD.norm(dim=2), present_nM)

    def fused(
        self, own_BLX: torch.Tensor, plain_BLX: torch.Tensor | None, seen: Seen, weight_BML: torch.Tensor
    ) -> torch.Tensor:
        """Vectors of interactions, on the scale of item vectors: at equal weights of an item's own parts its vector.

        Args:
            own_BLX: item vectors, without the first `apart` elements: those are modality vectors, which are in `seen`.
            plain_BLX: sum of the items' own parts where other content stood with the interactions; None: nowhere.
            seen: what stood with them.
            weight_BML: γ; sums to 1 over the modalities present.
        """
        factor_BML = seen.present_BML.sum(dim=1, keepdim=True) * weight_BML * seen.norm_BML
        if plain_BLX is None:
            return own_BLX + torch.einsum("bmld,bml->bld", seen.units_BMLD, factor_BML - seen.norm_BML)
        return own_BLX - plain_BLX + torch.einsum("bmld,bml->bld", seen.units_BMLD, factor_BML)
