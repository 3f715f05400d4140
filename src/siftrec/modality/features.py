"""Raw content of items as tensors, gathered a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from siftrec.data.catalog import Catalog

IN_MEMORY_BYTES = 512 << 20
_ROWS = 4096


class Features:
    """The catalog's modalities, ready to be gathered by item code.

    Modalities that fit the byte budget are held in memory in their own precision; larger ones stay memory-mapped.

    Args:
        catalog: item ids and modalities.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.held = all(bool(aligned.present.any()) for aligned in catalog.modalities.values())
        self.present = {name: torch.from_numpy(a.present) for name, a in catalog.modalities.items()}
        self._tables: dict[str, torch.Tensor] = {}
        for name, aligned in catalog.modalities.items():
            size = np.dtype(aligned.modality.features.dtype).itemsize
            if aligned.present.any() and len(catalog) * aligned.width * size <= IN_MEMORY_BYTES:
                self._tables[name] = torch.from_numpy(aligned.vectors(np.arange(len(catalog))))

    def gather(self, name: str, codes_n: torch.Tensor) -> torch.Tensor:
        """(n, F) float32 raw vectors; zero where absent."""
        if name in self._tables:
            return self._tables[name].index_select(0, codes_n).float()
        return torch.from_numpy(self.catalog.modalities[name].vectors(codes_n.numpy())).float()

    def rows(self, codes_n: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Raw vectors and presence of items, by modality: what `ItemTower` takes."""
        features = {name: self.gather(name, codes_n) for name in self.catalog.modalities}
        return features, {name: self.present[name][codes_n] for name in self.catalog.modalities}

    def blocks(self, codes_n: torch.Tensor) -> Iterator[torch.Tensor]:
        """The codes in blocks that keep memory small."""
        yield from codes_n.split(_ROWS)

    def statistics(self, counts_N: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Mean and 1/deviation, each (F,) float32, of every modality over items that occur in training.

        Args:
            counts_N: training interactions of each item.
        """
        found = {}
        for name, present_N in self.present.items():
            codes = (present_N & (counts_N > 0)).nonzero().squeeze(1)
            width = self.catalog.modalities[name].width
            total, square = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
            for block in self.blocks(codes):
                raw = self.gather(name, block).double()
                total += raw.sum(dim=0)
                square += raw.square().sum(dim=0)
            mean = total / max(len(codes), 1)
            variance = (square / max(len(codes), 1) - mean.square()).clamp_min(0)
            scale = torch.where(variance > 1e-8 * mean.square() + 1e-20, variance.rsqrt(), 0.0)
            found[name] = (mean.float(), scale.float())
        return found
