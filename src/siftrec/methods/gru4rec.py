"""GRU4Rec: a recurrent network over the history (Hidasi et al., ICLR 2016; Hidasi & Karatzoglou, CIKM 2018)."""

from __future__ import annotations

from typing import Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import SequenceModel, Step
from siftrec.methods.positions import asked, model_of
from siftrec.nn.encoders import Recurrent
from siftrec.settings import Count, Fraction, Rate, Size, settings


@settings
class GRU4Rec:
    """One GRU layer over item ids.

    The items of histories and those that are scored have one table, and the loss is a softmax over shared negatives drawn
    by a power of popularity: "constrained embedding", cross-entropy and additional samples of the 2018 paper.
    Rows are whole histories, through which gradients flow; the papers train session-parallel steps.
    Negatives are the drawn ones alone, where the 2018 paper adds the other targets of the batch.

    Attributes:
        dim: D, size of item vectors and of the state.
        length: L, longest history.
        rows: what is a training row. `sequence`: every window of `length` targets, asked after every position.
            `prefix`: every interaction, with everything before it as its history; an epoch costs the more.
        dropout: probability, on item vectors of histories.
        scale: expected norm of a fresh item vector.
        negatives: shared negatives per batch.
        full_up_to: catalogs of at most so many items use the full softmax.
    """

    dim: Size = 64
    length: Size = 50
    rows: Literal["prefix", "sequence"] = "sequence"
    dropout: Fraction = 0.2
    scale: Rate = 1.0
    negatives: Size = 1024
    full_up_to: Count = 5000

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        return model_of(catalog, Recurrent(self.dim, self.dropout), self.dim, self.scale)

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
        return asked(model, batch, drawn, rng)
