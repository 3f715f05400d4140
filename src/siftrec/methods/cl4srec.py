"""CL4SRec: contrastive learning for sequential recommendation (Xie et al., ICDE 2022; arXiv 2010.14395)."""

from __future__ import annotations

from typing import Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.methods.augmented import masked_model, with_contrast
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import SequenceModel
from siftrec.methods.sasrec import SASRec
from siftrec.nn.augment import crop, mask, reorder, two_of
from siftrec.settings import Fraction, Rate, Weight, settings


@settings
class CL4SRec:
    """SASRec that also tells two random views of a history from those of other users.

    Each view is made by one operator; a history gets two different ones.

    Attributes:
        base: what recommends, and encodes the views.
        crop: η, share of a history that a cropped view keeps (the paper: .1 to .9).
        mask: γ, share that a masked view masks (.1 to .9).
        reorder: β, share that a reordered view shuffles (.1 to .9).
        weight: λ of the contrast.
        temperature: τ of cosines.
    """

    base: SASRec = SASRec()
    crop: Fraction = 0.6
    mask: Fraction = 0.3
    reorder: Fraction = 0.6
    weight: Weight = 0.1
    temperature: Rate = 0.2

    @property
    def length(self) -> int:
        """L of the base."""
        return self.base.length

    @property
    def rows(self) -> Literal["prefix", "sequence"]:
        """As the base's."""
        return self.base.rows

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        return masked_model(self.base, catalog)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        self.base.start_epoch(model, data, epoch, seed)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return with_contrast(self, cast(SequenceModel, model), batch, rng, lambda items_nL: self.views(items_nL, rng))

    def views(self, items_nL: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Two views_nL of every history, `MASK` where masked."""
        made = (crop(items_nL, self.crop, rng), mask(items_nL, self.mask, rng), reorder(items_nL, self.reorder, rng))
        return two_of(made, rng)
