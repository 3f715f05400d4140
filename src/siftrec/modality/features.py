"""Content of items as tensors, gathered a few rows at a time: as it came, or standardised for an item tower."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from siftrec.data.catalog import Catalog

IN_MEMORY_BYTES = 512 << 20
_ROWS = 4096

Statistics = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""Mean and 1/deviation, each (F,) float32, by modality."""


class Features:
    """The catalog's modalities, ready to be gathered by item code.

    The standardised content is kept in memory, in float32, if it fits the byte budget; otherwise it is read and
    standardised anew from what the catalog holds, perhaps a memory map.

    Args:
        catalog: item ids and modalities.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.held = all(bool(aligned.present.any()) for aligned in catalog.modalities.values())
        self.present = {name: torch.from_numpy(a.present) for name, a in catalog.modalities.items()}
        self._kept_NF: torch.Tensor | None = None

    @property
    def bytes(self) -> int:
        """Of the standardised content in memory; 0 if it does not fit."""
        size = 4 * len(self.catalog) * sum(aligned.width for aligned in self.catalog.modalities.values())
        return size if size <= IN_MEMORY_BYTES else 0

    def gather(self, name: str, codes_n: torch.Tensor) -> torch.Tensor:
        """(n, F) float32 raw vectors; zero where absent."""
        return torch.from_numpy(self.catalog.modalities[name].vectors(codes_n.numpy())).float()

    def standardised(self, codes_n: torch.Tensor, statistics: Statistics) -> torch.Tensor:
        """(n, ΣF) standardised content divided by √F, so that each norm is about 1, modalities side by side; 0 if absent.

        Args:
            codes_n: item codes.
            statistics: of every modality; the same ones at every call, until `forget`.
        """
        if not self.bytes:
            return self._standardise(codes_n, statistics)
        if self._kept_NF is None:
            blocks = self.blocks(torch.arange(len(self.catalog)))
            self._kept_NF = torch.cat([self._standardise(block, statistics) for block in blocks])
        return self._kept_NF.index_select(0, codes_n)

    def forget(self) -> None:
        """The statistics have changed."""
        self._kept_NF = None

    def _standardise(self, codes_n: torch.Tensor, statistics: Statistics) -> torch.Tensor:
        parts = [codes_n.new_empty((len(codes_n), 0), dtype=torch.float32)]
        for name, (mean_F, scale_F) in statistics.items():
            content_nF = (self.gather(name, codes_n) - mean_F) * (scale_F / len(scale_F) ** 0.5)
            parts.append(content_nF * self.present[name][codes_n].unsqueeze(1))
        return torch.cat(parts, dim=1)

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
