"""SASRec: self-attentive sequential recommendation (Kang & McAuley, 2018), with a softmax loss at every position."""

from __future__ import annotations

from typing import Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import SequenceModel, Step
from siftrec.nn.encoders import Transformer
from siftrec.nn.towers import ItemTower
from siftrec.settings import Count, Fraction, Rate, Size, settings


@settings
class SASRec:
    """A causal transformer over item ids.

    Attributes:
        dim: D, vector size.
        length: L, longest history.
        blocks: transformer blocks.
        heads: attention heads; must divide `dim`.
        dropout: probability.
        scale: expected norm of a fresh item vector.
        negatives: shared negatives per batch.
        full_up_to: catalogs of at most so many items use the full softmax.
    """

    dim: Size = 64
    length: Size = 50
    blocks: Size = 2
    heads: Size = 2
    dropout: Fraction = 0.2
    scale: Rate = 1.0
    negatives: Size = 1024
    full_up_to: Count = 5000

    @property
    def rows(self) -> Literal["sequence"]:
        """A target after every position."""
        return "sequence"

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        if self.dim % self.heads:
            raise SettingsError("method.heads", f"must divide dim={self.dim}, {self.heads} does not")
        encoder = Transformer(self.dim, self.length, self.blocks, self.heads, self.dropout)
        return SequenceModel(
            catalog_of_ids(catalog), ItemTower({}, self.dim, len(catalog), self.scale), encoder, self.dim
        )

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        if epoch == 0:
            cast(SequenceModel, model).count(data)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return self.step(model, batch, rng).losses

    def step(self, model: Model, batch: Batch, rng: torch.Generator) -> Step:
        """See `Sequential.step`."""
        model = cast(SequenceModel, model)
        drawn = model.negatives(self.negatives, self.full_up_to, rng)
        local = model.local(batch.items_BL, batch.targets_BP, batch.shown_BLM, drawn.items_K)
        history = model.history(local, batch.items_BL, batch.shown_BLM)
        real_BL = batch.items_BL > 0
        states_BLD = cast(Transformer, model.encoder).states(history.vectors_BLD, real_BL, rng)
        asked = batch.targets_BP > 0
        next_item = model.next_item(local, states_BLD[asked], batch.targets_BP[asked], batch.weights_BP[asked], drawn)
        return Step({"next_item": next_item}, local, history, states_BLD[:, -1])


def catalog_of_ids(catalog: Catalog) -> Catalog:
    """The same items without their content."""
    return Catalog(catalog.vocab.ids)
