"""How raw content is brought to one scale before anything learns from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from siftrec.data.catalog import Catalog

WIDEST = 256
"""Wider content is turned to its principal directions, and so many of them are kept: what is left out hardly says more,
and every training step would pay for it."""


class Standard(NamedTuple):
    """What standardises the content of one modality, fitted on training items.

    Attributes:
        mean_F: of each of its F numbers.
        scale_F: 1/deviation; 0 where there is none.
        turn_FR: principal directions of the standardised content as columns, R = WIDEST; (F, 0) where F is at most that and
            the content is kept as it is.
    """

    mean_F: torch.Tensor
    scale_F: torch.Tensor
    turn_FR: torch.Tensor

    def __call__(self, raw_nF: torch.Tensor) -> torch.Tensor:
        """(n, min(F, WIDEST)) standardised content divided by √F, so that its norm is about 1."""
        content_nF: torch.Tensor = (raw_nF - self.mean_F) * (self.scale_F / len(self.scale_F) ** 0.5)
        return content_nF @ self.turn_FR if self.turn_FR.shape[1] else content_nF


class Standards(nn.Module):
    """What standardises the modalities of a catalog; saved with a model, so that new items can be read.

    Args:
        catalog: whose modalities.
    """

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.names = tuple(catalog.modalities)
        for name, aligned in catalog.modalities.items():
            width = aligned.width
            blank = (torch.zeros(width), torch.ones(width), torch.zeros(width, WIDEST if width > WIDEST else 0))
            for field, values in zip(Standard._fields, blank, strict=True):
                self.register_buffer(f"{field}_{name}", values)

    def set(self, found: Mapping[str, Standard]) -> None:
        """Take over what was fitted on training items (`Features.fit`)."""
        for name, standard in found.items():
            for field, values in standard._asdict().items():
                self.get_buffer(f"{field}_{name}").copy_(values)

    def forward(self) -> dict[str, Standard]:
        """What standardises each modality."""
        return {
            name: Standard(*(self.get_buffer(f"{field}_{name}") for field in Standard._fields)) for name in self.names
        }


def kept_widths(catalog: Catalog) -> dict[str, int]:
    """Of the standardised content of each modality: F, at most WIDEST."""
    return {name: min(aligned.width, WIDEST) for name, aligned in catalog.modalities.items()}
