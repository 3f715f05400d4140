"""Late fusion: every modality of a history meets the same modality of the candidate; the score is the sum.

U_m = φ_m Σ_t a_t γ_tm e_tm        score = Σ_m ⟨U_m, e_im⟩ + ⟨U_id + MLP(U_id), id_i⟩ = one inner product of stacked vectors
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError
from siftrec.methods.base import Losses, Model
from siftrec.methods.gates import Gate, gating_of
from siftrec.methods.model import SequenceModel, Step
from siftrec.methods.positions import asked
from siftrec.modality.standard import kept_widths
from siftrec.nn.late import Lifted, Pool, StackedTower
from siftrec.settings import Count, Fraction, Rate, Size, settings


@settings
class LateFusion:
    """Modalities side by side, with equal weights; `Demure` puts a gate before them.

    Attributes:
        dim: D, size of each modality's vector.
        length: L, longest history.
        ids: whether items have an id embedding beside their content; without it every new item works at once.
        dropout: probability, on vectors of histories.
        lift: what of the user vector goes through a residual layer: nothing, so that every part of the score is a weighted
            sum of similarities; the id's part; or everything.
        scale: expected norm of a fresh id embedding.
        negatives: shared negatives per batch.
        full_up_to: catalogs of at most so many items use the full softmax.
    """

    dim: Size = 64
    length: Size = 20
    ids: bool = True
    dropout: Fraction = 0.2
    lift: Lifted = "ids"
    scale: Rate = 1.0
    negatives: Size = 1024
    full_up_to: Count = 5000
    rows: ClassVar[Literal["prefix"]] = "prefix"

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        if not catalog.modalities:
            raise SettingsError("method.use", "LateFusion keeps modalities apart, and the catalog has none")
        widths = kept_widths(catalog)
        tower = StackedTower(widths, self.dim, len(catalog) if self.ids else 0, self.scale)
        parts = len(widths) + self.ids
        encoder = Pool(parts, len(widths), self.dim, self.length, self.dropout, self.lift)
        gating = gating_of(Gate(kind="none"), catalog, self.dim)
        return SequenceModel(catalog, tower, encoder, self.dim * parts, gating=gating)

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
