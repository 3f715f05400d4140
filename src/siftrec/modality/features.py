"""Content of items as tensors, gathered a few rows at a time: as it came, or standardised for an item tower."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.modality.standard import WIDEST, Standard, Standards, kept_widths

IN_MEMORY_BYTES = 512 << 20
_ROWS = 4096


class Features(nn.Module):
    """The catalog's modalities, ready to be gathered by item code; what standardises them is its state.

    The standardised content is kept in memory, in float32, if it fits the byte budget; otherwise it is read and
    standardised anew from what the catalog holds, perhaps a memory map.

    Args:
        catalog: item ids and modalities.
    """

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.catalog = catalog
        self.held = all(bool(aligned.present.any()) for aligned in catalog.modalities.values())
        self.present = {name: torch.from_numpy(a.present) for name, a in catalog.modalities.items()}
        self.standards = Standards(catalog)
        self._kept_NR: torch.Tensor | None = None
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    @property
    def bytes(self) -> int:
        """Of the standardised content in memory; 0 if it does not fit."""
        size = 4 * len(self.catalog) * sum(kept_widths(self.catalog).values())
        return size if size <= IN_MEMORY_BYTES else 0

    def gather(self, name: str, codes_n: torch.Tensor) -> torch.Tensor:
        """(n, F) float32 raw vectors; zero where absent."""
        return torch.from_numpy(self.catalog.modalities[name].vectors(codes_n.numpy())).float()

    def standardised(self, codes_n: torch.Tensor) -> torch.Tensor:
        """(n, ΣR) standardised content (see `Standard`), modalities side by side; 0 where absent.

        Args:
            codes_n: distinct item codes, ascending.
        """
        if not self.bytes:
            return self._standardised(codes_n)
        if self._kept_NR is None:
            blocks = self.blocks(torch.arange(len(self.catalog)))
            self._kept_NR = torch.cat([self._standardised(block) for block in blocks])
        absent = len(self._kept_NR) - len(codes_n)
        if len(codes_n) and int(codes_n[0]) == absent:  # the whole rest of the catalog: no copy is needed
            return self._kept_NR[absent:]
        return self._kept_NR.index_select(0, codes_n)

    def _standardised(self, codes_n: torch.Tensor) -> torch.Tensor:
        raw = {name: self.gather(name, codes_n) for name in self.present}
        return self.read(raw, {name: present_N[codes_n] for name, present_N in self.present.items()}, len(codes_n))

    def read(self, raw: Mapping[str, torch.Tensor], present: Mapping[str, torch.Tensor], count: int) -> torch.Tensor:
        """(n, ΣR) standardised content of any items, in the catalog or not; 0 where absent.

        Args:
            raw: modality → (n, F) float32 finite vectors.
            present: modality → (n,) bool.
            count: n.
        """
        parts = [torch.empty(count, 0)]
        for name, standard in self.standards().items():
            parts.append(standard(raw[name]) * present[name].unsqueeze(1))
        return torch.cat(parts, dim=1)

    def described(self) -> Features:
        """The same standards, without any vector: all that is left of features in a loaded model."""
        bare = Features(Catalog.described(self.catalog.vocab.ids, self.catalog.contents))
        bare.standards = self.standards
        return bare

    def blocks(self, codes_n: torch.Tensor) -> Iterator[torch.Tensor]:
        """The codes in blocks that keep memory small."""
        yield from codes_n.split(_ROWS)

    @torch.no_grad()
    def fit(self, counts_N: torch.Tensor) -> Features:
        """Fit what standardises the content on items that occur in training, and return itself.

        Args:
            counts_N: training interactions of each item.
        """
        self.standards.set({name: self._fitted(name, counts_N) for name in self.present})
        _forget(self)
        return self

    def _fitted(self, name: str, counts_N: torch.Tensor) -> Standard:
        codes = (self.present[name] & (counts_N > 0)).nonzero().squeeze(1)
        width = self.catalog.modalities[name].width
        total, square = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
        for block in self.blocks(codes):
            raw = self.gather(name, block).double()
            total += raw.sum(dim=0)
            square += raw.square().sum(dim=0)
        mean = total / max(len(codes), 1)
        variance = (square / max(len(codes), 1) - mean.square()).clamp_min(0)
        scale = torch.where(variance > 1e-8 * mean.square() + 1e-20, variance.rsqrt(), 0.0)
        plain = Standard(mean.float(), scale.float(), torch.zeros(width, 0))
        return plain if width <= WIDEST else plain._replace(turn_FR=self.directions(name, codes, plain, WIDEST))

    def directions(self, name: str, codes_n: torch.Tensor, plain: Standard, count: int) -> torch.Tensor:
        """(F, count) principal directions of standardised content, the strongest last.

        Args:
            name: of the modality.
            codes_n: items they are fitted on.
            plain: how the content is standardised, not turned.
            count: how many, at most F.
        """
        scatter_FF = torch.zeros(len(plain.mean_F), len(plain.mean_F))
        for block in self.blocks(codes_n):
            content_nF = plain(self.gather(name, block))
            scatter_FF.addmm_(content_nF.T, content_nF)
        directions: torch.Tensor = torch.linalg.eigh(scatter_FF).eigenvectors
        return directions[:, -count:].contiguous()


def _forget(features: Features, *_: object) -> None:
    """Drop what is kept in memory. No closure over `self`: a copy of the module would clear the original's."""
    features._kept_NR = None
