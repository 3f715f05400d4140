"""What methods share that rank a target above items not had: users made of their items, and the loss over pairs."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
from torch import nn

from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import POPULARITY_POWER
from siftrec.nn.losses.pairwise import bpr_loss, distinct_negatives, others
from siftrec.nn.losses.softmax import Negatives, shares_of

Sampling = Literal["uniform", "popularity"]
"""How negatives are drawn; `popularity` is popularity^.75."""


@runtime_checkable
class FittedTable(Protocol):
    """A table that depends on how often training has seen each item."""

    def fit(self, counts_N: torch.Tensor) -> None:
        """Take over the counts, float32."""
        ...


class Table(Protocol):
    """Vectors of items: an embedding, or a module that keeps what it last computed of all items.

    Attributes:
        weight: (N, D) of all items; row 0 is zero.
    """

    @property
    def weight(self) -> torch.Tensor: ...

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """Vectors of item codes of any shape, with gradient; one dimension D is added."""
        ...


def summed(vectors_BLD: torch.Tensor, real_BL: torch.Tensor, normaliser: float) -> torch.Tensor:
    """(B, D) Σ_t x_t / T^α over the real columns; zero for an empty history."""
    real_BL1 = real_BL.unsqueeze(2).to(vectors_BLD.dtype)
    return (vectors_BLD * real_BL1).sum(dim=1) / real_BL1.sum(dim=1).clamp_min(1) ** normaliser


class Factors(Model):
    """Two tables of item factors: p of items in a history, and of items that are scored.

    Args:
        read: p.
        scored: of as many dimensions, or of one more: then the last is added to the score of everybody.
        normaliser: α of the user vector.
    """

    def __init__(self, read: nn.Embedding, scored: Table, normaliser: float) -> None:
        super().__init__()
        self.read, self.scored, self.normaliser = read, scored, normaliser
        self.register_buffer("popularity", torch.ones(read.num_embeddings))

    def count(self, data: Fitting) -> None:
        """Fit what depends on training data alone: popularity, and what standardises content."""
        counts_N = torch.from_numpy(data.train.counts(len(data.items)))
        self.get_buffer("popularity").copy_(counts_N)
        if isinstance(self.scored, FittedTable):
            self.scored.fit(counts_N.float())

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        """users_BD = Σ_t p_t / T^α, and a 1 where items have a bias."""
        users_BD = summed(self.read(items_BL), items_BL > 0, self.normaliser)
        return nn.functional.pad(users_BD, (0, self.items().shape[1] - users_BD.shape[1]), value=1.0)

    def items(self) -> torch.Tensor:
        """items_ND; row 0 is zero."""
        return self.scored.weight.detach()


class Summed(nn.Module):
    """A user encoder (see `siftrec.nn.encoders`) that gives `summed`, and knows neither dropout nor trust."""

    def __init__(self, normaliser: float) -> None:
        super().__init__()
        self.normaliser = normaliser

    def forward(
        self,
        vectors_BLD: torch.Tensor,
        real_BL: torch.Tensor,
        rng: torch.Generator | None,
        log_trust_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return summed(vectors_BLD, real_BL, self.normaliser)


def fresh(table: nn.Embedding, scale: float) -> None:
    """Draw the rows of a table anew, but for that of padding: vectors of expected norm `scale`."""
    with torch.no_grad():
        table.weight[1:].normal_(std=scale / table.embedding_dim**0.5)


def drawn_by(popularity_N: torch.Tensor, count: int, power: float, rng: torch.Generator) -> Negatives:
    """Distinct items drawn by popularity^power."""
    weights_N = popularity_N.clamp_min(1).pow(power)
    weights_N[0] = 0
    return distinct_negatives(weights_N, count, rng)


def counted(batch: Batch, drawn: Negatives, size: int) -> torch.Tensor:
    """counted_BK: which negatives are neither a row's target nor in its history; `size` is N."""
    return others(torch.cat([batch.items_BL, batch.targets_BP[:, -1:]], dim=1), drawn, size)


def pair_losses(
    users_BD: torch.Tensor,
    targets_BD: torch.Tensor,
    negatives_KD: torch.Tensor,
    counted_BK: torch.Tensor,
    weights_B: torch.Tensor,
    l2: float,
) -> Losses:
    """`bpr_loss` of inner products, and `l2` times the squared norms of user, target and negatives (these: their mean)."""
    positive_B = (users_BD * targets_BD).sum(dim=1)
    losses = {"pairs": bpr_loss(positive_B, users_BD @ negatives_KD.T, counted_BK, weights_B)}
    if l2:
        squares_B = users_BD.square().sum(dim=1) + targets_BD.square().sum(dim=1)
        squares_B = squares_B + negatives_KD.square().sum(dim=1).mean()
        losses["l2"] = l2 * (shares_of(weights_B) * squares_B).sum()
    return losses


def compared(model: Factors, batch: Batch, negatives: int, power: float, l2: float, rng: torch.Generator) -> Losses:
    """`pair_losses` of `prefix` rows against shared distinct negatives drawn by popularity^power."""
    drawn = drawn_by(model.get_buffer("popularity"), negatives, power, rng)
    targets_BD, negatives_KD = model.scored(batch.targets_BP[:, -1]), model.scored(drawn.items_K)
    counted_BK = counted(batch, drawn, len(model.items()))
    return pair_losses(model.users(batch.items_BL), targets_BD, negatives_KD, counted_BK, batch.weights_BP[:, -1], l2)


def power_of(sampling: Sampling) -> float:
    """Of popularity, by which negatives are drawn."""
    return POPULARITY_POWER if sampling == "popularity" else 0.0
