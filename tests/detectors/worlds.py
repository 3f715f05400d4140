"""Small planted logs for the detectors: train and validation events, their truth, their content."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST
from siftrec.detectors.content import content_of, units
from siftrec.noise.measure import auroc
from siftrec.synthetic import Name, behaviours


@dataclass(frozen=True)
class World:
    log: Sequences
    noisy: np.ndarray
    catalog: Catalog

    @property
    def content(self) -> torch.Tensor:
        counts = torch.from_numpy(self.log.counts(len(self.catalog)).astype(np.float32))
        return units(content_of(self.catalog, counts))

    @property
    def ids_only(self) -> torch.Tensor:
        return torch.zeros(len(self.catalog), 0)

    @property
    def users(self) -> np.ndarray:
        return np.arange(len(self.log))

    def found(self, score: np.ndarray) -> float:
        """AUROC of a score, higher = more genuine."""
        area = auroc(self.noisy, -score)
        assert area is not None
        return area


@cache
def world(level: Name = "easy", null: bool = False, users: int = 800, items: int = 1500, length: int = 20) -> World:
    made = behaviours(level, rho=0.4, users=users, items=items, length=length, null=null)
    known = made.split.role < TEST
    return World(made.split.log.where(known), made.noisy[known], made.catalog)
