"""The two-tower model that learned methods share: an item tower, a user encoder, and the next-item loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.data.split import Fitting
from siftrec.methods.base import Model
from siftrec.methods.denoise import Denoising
from siftrec.modality.features import Features
from siftrec.nn.losses.softmax import Negatives, every_item, sampled_negatives, slots_of, softmax_loss
from siftrec.nn.towers import ItemTower

POPULARITY_POWER = 0.75


class Local(NamedTuple):
    """The item vectors one batch touches.

    Attributes:
        vectors_nD: one row per distinct item.
        slot_N: row of each item code.
    """

    vectors_nD: torch.Tensor
    slot_N: torch.Tensor

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """Vectors of item codes of any shape; one dimension D is added."""
        return nn.functional.embedding(self.slot_N[codes], self.vectors_nD)


class SequenceModel(Model):
    """Scores are inner products of an encoded history and item vectors, so the user vector knows no candidate.

    Args:
        catalog: items and modalities.
        tower: raw content → item vectors.
        encoder: item vectors of a history → user vector.
        dim: D.
        extra: state of the method beside the two towers; saved and restored with them.
        denoising: which interactions of a history are to be believed; None = all.
    """

    def __init__(
        self,
        catalog: Catalog,
        tower: ItemTower,
        encoder: nn.Module,
        dim: int,
        extra: nn.Module | None = None,
        denoising: Denoising | None = None,
    ) -> None:
        super().__init__()
        self.tower, self.encoder, self.extra, self.denoising = tower, encoder, extra, denoising
        self.features = Features(catalog)
        self.register_buffer("popularity", torch.ones(len(catalog)))
        self.register_buffer("item_vectors", torch.zeros(len(catalog), dim))

    def train(self, mode: bool = True) -> SequenceModel:
        """Training mode; leaving it computes the item vectors once, unless the content is not at hand (loaded model)."""
        leaving = self.training and not mode
        super().train(mode)
        if leaving and self.features.held:
            self.refresh()
        return self

    @torch.no_grad()
    def refresh(self) -> None:
        """Recompute the kept item vectors from the tower as it is now.

        An item that training has never seen keeps its content alone: its id embedding is still random.
        """
        codes = torch.arange(1, len(self.get_buffer("item_vectors")))
        known_N = self.get_buffer("popularity") > 0
        for block in self.features.blocks(codes):
            vectors = self.tower(block, *self.features.rows(block), known_N[block] if self.features.present else None)
            self.get_buffer("item_vectors")[block] = vectors

    def count(self, data: Fitting) -> None:
        """Fit what depends on training data alone: popularity, and the mean and scale of content."""
        counts = torch.from_numpy(data.train.counts(len(data.items)).astype(np.float32))
        self.get_buffer("popularity").copy_(counts)
        self.tower.standardise(self.features.statistics(counts))

    def items(self) -> torch.Tensor:
        """See `Model.items`."""
        return self.get_buffer("item_vectors")

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        """See `VectorScorer.users`."""
        vectors_BLD = nn.functional.embedding(items_BL, self.items())
        users: torch.Tensor = self.encoder(vectors_BLD, items_BL > 0, None, self.log_trust(items_BL))
        return users

    def log_trust(self, items_BL: torch.Tensor, users_B: torch.Tensor | None = None) -> torch.Tensor | None:
        """How far each interaction is to be believed (see `Denoising.log_trust`); `users_B` are rows of training."""
        return None if self.denoising is None else self.denoising.log_trust(items_BL, users_B)

    def local(self, *codes: torch.Tensor) -> Local:
        """Item vectors, with gradient, of all distinct items among the codes."""
        touched_N = torch.zeros(len(self.get_buffer("popularity")), dtype=torch.bool)
        for each in codes:
            touched_N[each.reshape(-1)] = True
        distinct = touched_N.nonzero().squeeze(1)
        vectors = self.tower(distinct, *self.features.rows(distinct)) * (distinct > 0).unsqueeze(1)
        return Local(vectors, touched_N.cumsum(0) - 1)

    def negatives(self, count: int, full_up_to: int, rng: torch.Generator) -> Negatives:
        """All items when the catalog has at most `full_up_to`, else `count` shared ones drawn by popularity^.75."""
        size = len(self.get_buffer("popularity"))
        if size - 1 <= full_up_to:
            return every_item(size)
        weights = self.get_buffer("popularity").clamp_min(1).pow(POPULARITY_POWER)
        weights[0] = 0
        return sampled_negatives(weights, count, rng)

    def next_item(
        self, local: Local, users_RD: torch.Tensor, targets_R: torch.Tensor, weights_R: torch.Tensor, drawn: Negatives
    ) -> torch.Tensor:
        """Next-item loss of user vectors against their targets (see `softmax_loss`)."""
        hit = slots_of(targets_R, drawn, len(self.get_buffer("popularity")))
        return softmax_loss(users_RD, local(targets_R), local(drawn.items_K), drawn.offset_K, hit, weights_R)
