"""BPR-MF: matrix factorisation trained to rank pairs (Rendle et al., UAI 2009), with users made of their items."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.methods.base import Losses, Model
from siftrec.methods.pairs import Factors, Sampling, compared, fresh, power_of
from siftrec.settings import Fraction, Rate, Size, Weight, settings


@settings
class BPRMF:
    """x_ui = ⟨u, q_i⟩, minimising −log σ(x_ui − x_uj) for a target i and negatives j, plus the squares of the factors.

    Recommendations are for histories never seen in training, so there is no table of users: u = Σ_t p_t / T^α over the
    history, and the target is never part of it (FISM's factorisation, Kabbur et al., KDD 2013). The order of a history
    is not read. Negatives are shared by the batch; the target and the last `length` items before it do not count,
    older ones of the user may.

    Attributes:
        dim: D, number of factors.
        length: L, how many of the last items make up the user.
        normaliser: α; 0 = the sum of the items' vectors, 1 = their mean.
        scale: expected norm of a fresh vector.
        negatives: shared distinct negatives per batch.
        sampling: how negatives are drawn; `popularity` is popularity^.75.
        l2: weight of the squared norms of user, target and negatives (these: their mean), averaged as the loss is.
    """

    dim: Size = 64
    length: Size = 50
    normaliser: Fraction = 0.5
    scale: Rate = 1.0
    negatives: Size = 1024
    sampling: Sampling = "uniform"
    l2: Weight = 0.01
    rows: ClassVar[Literal["prefix"]] = "prefix"

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        read, scored = (nn.Embedding(len(catalog), self.dim, padding_idx=0) for _ in range(2))
        fresh(read, self.scale)
        fresh(scored, self.scale)
        return Factors(read, scored, self.normaliser)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        if epoch == 0:
            cast(Factors, model).count(data)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return compared(cast(Factors, model), batch, self.negatives, power_of(self.sampling), self.l2, rng)
