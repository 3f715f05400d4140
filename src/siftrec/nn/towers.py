"""Item towers: raw content and ids become item vectors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class ItemTower(nn.Module):
    """Item vector = Σ_m W_m x̃_m (+ id embedding), x̃ standardised content divided by √F, so that its norm is about 1.

    Every part starts with the same expected norm, whatever its width. Without the division one step of Adam moves a content
    part √F times as far, which swamps a fresh id table. An absent modality adds nothing.

    Args:
        widths: F of each named modality.
        dim: D.
        id_rows: N for an id embedding, 0 for none.
        scale: expected norm of a fresh item vector.
    """

    def __init__(self, widths: Mapping[str, int], dim: int, id_rows: int, scale: float = 1.0) -> None:
        super().__init__()
        parts = len(widths) + bool(id_rows)
        each = scale / parts**0.5
        self.maps = nn.ModuleDict({f"m_{name}": nn.Linear(width, dim, bias=False) for name, width in widths.items()})
        for layer in self.maps.values():
            nn.init.normal_(layer.get_parameter("weight"), std=each / dim**0.5)
        self.ids = nn.Embedding(id_rows, dim) if id_rows else None
        if self.ids is not None:
            nn.init.normal_(self.ids.weight, std=each / dim**0.5)
        for name, width in widths.items():
            self.register_buffer(f"mean_{name}", torch.zeros(width))
            self.register_buffer(f"scale_{name}", torch.ones(width))

    @property
    def statistics(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Mean and 1/deviation, each (F,), of every modality."""
        names = [name.removeprefix("m_") for name in self.maps]
        return {name: (self.get_buffer(f"mean_{name}"), self.get_buffer(f"scale_{name}")) for name in names}

    def standardise(self, statistics: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Set mean and 1/deviation, each (F,), of every modality; they are fitted on training items."""
        for name, (mean_F, scale_F) in statistics.items():
            self.get_buffer(f"mean_{name}").copy_(mean_F)
            self.get_buffer(f"scale_{name}").copy_(scale_F)

    def forward(
        self,
        codes_n: torch.Tensor,
        features: Mapping[str, torch.Tensor],
        present: Mapping[str, torch.Tensor],
        known_n: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """vectors_nD of items.

        Args:
            codes_n: item codes, read by the id embedding only.
            features: raw features (n, F) of each modality.
            present: (n,) bool of each modality.
            known_n: (n,) bool, items whose id embedding has been trained; the others have their content alone. None = all.
        """
        parts = []
        if self.ids is not None:
            parts.append(self.ids(codes_n) if known_n is None else self.ids(codes_n) * known_n.unsqueeze(1))
        for name, raw_nF in features.items():
            weight_DF = (
                self.maps[f"m_{name}"].get_parameter("weight")
                * self.get_buffer(f"scale_{name}")
                / raw_nF.shape[1] ** 0.5
            )
            mapped_nD = raw_nF @ weight_DF.T - weight_DF @ self.get_buffer(f"mean_{name}")
            parts.append(mapped_nD * present[name].unsqueeze(1))
        if not parts:
            raise ValueError("an item needs an id embedding or at least one modality")
        return torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]
