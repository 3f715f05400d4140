"""A ranker by self-attention over history and candidate, computed anew for every candidate."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError
from siftrec.methods.base import Losses, Model
from siftrec.methods.ranker import Ranker, clicks, ranker_of
from siftrec.nn.rankers import JointAttention
from siftrec.settings import Fraction, Rate, Size, settings


@settings
class SelfAttentionRanker:
    """One block of multi-head self-attention over [history; candidate], over the items of `CCL4Rec`.

    The form is that of the behaviour sequence transformer (Chen et al., DLP-KDD 2019). THACIL (Chen et al., MM 2018) attends
    within the history too, but without the candidate, so that all but its last attention could be kept for a user.

    Attributes:
        dim: D, vector size.
        length: L, longest history.
        ids: whether items have an id embedding beside their content.
        heads: attention heads; must divide `dim`.
        hidden: sizes of the two hidden layers behind it.
        dropout: probability, on item vectors of histories and after the first hidden layer.
        scale: expected norm of a fresh item vector.
        negatives: items drawn uniformly for each target.
    """

    dim: Size = 64
    length: Size = 20
    ids: bool = True
    heads: Size = 2
    hidden: tuple[Size, Size] = (200, 80)
    dropout: Fraction = 0.2
    scale: Rate = 1.0
    negatives: Size = 8
    rows: ClassVar[Literal["prefix"]] = "prefix"
    impressions: ClassVar[bool] = True

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        if self.dim % self.heads:
            raise SettingsError("method.heads", f"must divide dim={self.dim}, {self.heads} does not")
        network = JointAttention(self.dim, self.length, self.heads, self.hidden, self.dropout)
        return ranker_of(catalog, network, self.dim, self.ids, self.scale)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        if epoch == 0:
            cast(Ranker, model).base.count(data)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return clicks(cast(Ranker, model), batch, self.negatives, rng)
