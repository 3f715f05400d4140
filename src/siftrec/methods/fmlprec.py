"""FMLP-Rec: filter-enhanced MLP for sequential recommendation (Zhou et al., WWW 2022), with a softmax loss."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import SequenceModel, Step
from siftrec.methods.positions import asked, model_of
from siftrec.nn.filters import Filters
from siftrec.settings import Count, Fraction, Rate, Size, settings


@settings
class FMLPRec:
    """Learnable filters over item ids, in the frequency domain, in place of self-attention.

    A filter mixes all columns of a row, later ones into earlier ones too, so a target after every position would be read
    before it is asked for. Every prefix is a row of its own instead, asked after its last item only, as in the authors'
    code; an epoch costs the more.

    Attributes:
        dim: D, vector size.
        length: L, longest history, and the width of the filters.
        blocks: filter blocks.
        dropout: probability.
        scale: expected norm of a fresh item vector.
        negatives: shared negatives per batch.
        full_up_to: catalogs of at most so many items use the full softmax.
    """

    dim: Size = 64
    length: Size = 50
    blocks: Size = 2
    dropout: Fraction = 0.2
    scale: Rate = 1.0
    negatives: Size = 1024
    full_up_to: Count = 5000
    rows: ClassVar[Literal["prefix"]] = "prefix"

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        return model_of(catalog, Filters(self.dim, self.length, self.blocks, self.dropout), self.dim, self.scale)

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
        return asked(model, batch, model.negatives(self.negatives, self.full_up_to, rng), rng)
