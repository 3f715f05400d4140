"""User encoders: a history of item vectors becomes one user vector.

All share one call: `encoder(vectors_BLD, real_BL, rng, log_trust_BL)` → users_BD. Padding is on the left, the most recent
interaction in the last column; positions count from there, so padding and trimming change nothing. `rng=None` means
evaluation. A row without any real item gives a finite vector that depends on no item.
`log_trust_BL` ≤ 0 says how far each interaction is to be believed; None = all fully. An encoder that
pools adds it to its logits, one that reads in order scales each vector by the trust.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.nn.dropout import dropout
from siftrec.nn.pooling import last_logits, reading_logits
from siftrec.nn.shares import shares

EncoderName = Literal["context", "recent", "mean", "gru", "transformer"]


def masked_mean(
    vectors_BLD: torch.Tensor, real_BL: torch.Tensor, log_trust_BL: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean over real columns, weighted by trust; zero where there is none. Shape (B, D)."""
    if log_trust_BL is not None:
        return torch.bmm(shares(log_trust_BL, real_BL).unsqueeze(1), vectors_BLD).squeeze(1)
    real_BL1 = real_BL.unsqueeze(-1).to(vectors_BLD.dtype)
    return (vectors_BLD * real_BL1).sum(dim=1) / real_BL1.sum(dim=1).clamp_min(1)


def recency(table_LD: torch.Tensor, length: int) -> torch.Tensor:
    """Rows of a position table for columns of a window: the last column is position 0. Shape (length, D)."""
    return table_LD[:length].flip(0)


class Mean(nn.Module):
    """The mean of the item vectors, then a residual layer."""

    def __init__(self, dim: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.lift = Lift(dim, dim)

    def forward(
        self,
        vectors_BLD: torch.Tensor,
        real_BL: torch.Tensor,
        rng: torch.Generator | None,
        log_trust_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        lifted: torch.Tensor = self.lift(masked_mean(dropout(vectors_BLD, self.rate, rng), real_BL, log_trust_BL))
        return lifted


class Context(nn.Module):
    """Attention pooling that asks each interaction how it fits the whole history.

    c = mean_t e_t;  a = softmax_t( wᵀ tanh(W [e_t; c; √D e_t∘c] + p_t) );  s = Σ_t a_t e_t;  h = s + MLP(s)

    The product e∘c is what lets attention see agreement; with [e; c] alone it stays flat for hundreds of steps.

    Args:
        dim: D.
        length: longest history.
        rate: dropout.
        hidden: H, width of what stands between: of tanh(·) and of the MLP.
        recent: whether the most recent interaction e_L is read apart too: h = s + MLP([s; e_L]).
    """

    def __init__(self, dim: int, length: int, rate: float, hidden: int, recent: bool = False) -> None:
        super().__init__()
        self.rate = rate
        self.own = nn.Linear(dim, hidden, bias=False)
        self.context = nn.Linear(dim, hidden, bias=False)
        self.product = nn.Linear(dim, hidden, bias=False)
        self.position = nn.Parameter(torch.zeros(length, hidden))
        self.ask = nn.Parameter(torch.randn(hidden) / hidden**0.5)
        self.lift = Lift(dim, hidden, recent)

    def forward(
        self,
        vectors_BLD: torch.Tensor,
        real_BL: torch.Tensor,
        rng: torch.Generator | None,
        log_trust_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        vectors_BLD = dropout(vectors_BLD, self.rate, rng)
        shares_BL = self.shares(vectors_BLD, real_BL, log_trust_BL)
        pooled_BD = torch.bmm(shares_BL.unsqueeze(1), vectors_BLD).squeeze(1)
        last_BD = vectors_BLD[:, -1] * real_BL[:, -1:]
        if log_trust_BL is not None:
            last_BD = last_BD * log_trust_BL[:, -1:].exp()
        lifted: torch.Tensor = self.lift(pooled_BD, last_BD)
        return lifted

    def shares(
        self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, log_trust_BL: torch.Tensor | None = None
    ) -> torch.Tensor:
        """a_BL: the share of attention each interaction gets."""
        context_B1D = masked_mean(vectors_BLD, real_BL, log_trust_BL).unsqueeze(1)
        logits_BL = self._last_logits(vectors_BLD, context_B1D)
        if log_trust_BL is not None:
            logits_BL = logits_BL + log_trust_BL
        return shares(logits_BL, real_BL)

    def states(self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        """states_BLD after each column: what `forward` makes of that column and those before it, with one dropout."""
        vectors_BLD = dropout(vectors_BLD, self.rate, rng)
        real_BL1 = real_BL.unsqueeze(2).to(vectors_BLD.dtype)
        context_BLD = (vectors_BLD * real_BL1).cumsum(dim=1) / real_BL1.cumsum(dim=1).clamp_min(1)
        # Of a column of padding every logit is the least there is, so that columns after it must be named.
        before_LL = torch.ones(real_BL.shape[1], real_BL.shape[1], dtype=torch.bool).tril()
        shares_BLL = shares(self._logits(vectors_BLD, context_BLD), real_BL.unsqueeze(1) & before_LL)
        lifted: torch.Tensor = self.lift(torch.bmm(shares_BLL, vectors_BLD), vectors_BLD * real_BL1)
        return lifted

    def _last_logits(self, vectors_BLD: torch.Tensor, context_B1D: torch.Tensor) -> torch.Tensor:
        """logits_BL for the last column."""
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return self._logits(vectors_BLD, context_B1D).squeeze(1)
        length, dim = vectors_BLD.shape[1:]
        scaled_B1D, around_B1H, position_LH = context_B1D * dim**0.5, self.context(context_B1D), self.position[:length]
        return last_logits(
            vectors_BLD, scaled_B1D, self.own.weight, around_B1H, position_LH, self.product.weight, self.ask
        )

    def _logits(self, vectors_BLD: torch.Tensor, context_BCD: torch.Tensor) -> torch.Tensor:
        """logits_BCL of the last C columns for those they read."""
        length, dim = vectors_BLD.shape[1:]
        scaled_BCD, position_LH = context_BCD * dim**0.5, self.position[:length]
        own_BLH, around_BCH = self.own(vectors_BLD), self.context(context_BCD)
        return reading_logits(vectors_BLD, scaled_BCD, own_BLH, around_BCH, position_LH, self.product.weight, self.ask)


class Recurrent(nn.Module):
    """A GRU in torch's form, r ∘ (U h) and not U (r ∘ h); the user vector is its state after the last interaction."""

    def __init__(self, dim: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.gru = nn.GRU(dim, dim, batch_first=True)

    def states(self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        """states_BLD after each column, each having read that column and those before it."""
        packed = first_columns(dropout(vectors_BLD, self.rate, rng), real_BL)
        states_BLD = unrolled(self.gru, packed) if torch.compiler.is_compiling() else self.gru(packed)[0]
        return last_columns(states_BLD, real_BL)

    def forward(
        self,
        vectors_BLD: torch.Tensor,
        real_BL: torch.Tensor,
        rng: torch.Generator | None,
        log_trust_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return self.states(trusted(vectors_BLD, log_trust_BL), real_BL, rng)[:, -1] * real_BL[:, -1:]


def unrolled(gru: nn.GRU, vectors_BLD: torch.Tensor) -> torch.Tensor:
    """What the GRU gives, step by step: in an exported graph torch's own would take batches of one size only."""
    read, keep = (gru.get_parameter(f"weight_{which}_l0").T for which in ("ih", "hh"))
    read_bias, keep_bias = (gru.get_parameter(f"bias_{which}_l0") for which in ("ih", "hh"))
    state_BD, states = torch.zeros_like(vectors_BLD[:, 0]), []
    for vector_BD in vectors_BLD.unbind(dim=1):
        reset, update, new = (vector_BD @ read + read_bias).chunk(3, dim=1)
        own_reset, own_update, own_new = (state_BD @ keep + keep_bias).chunk(3, dim=1)
        fresh_BD = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
        share_BD = torch.sigmoid(update + own_update)
        state_BD = share_BD * state_BD + (1 - share_BD) * fresh_BD
        states.append(state_BD)
    return torch.stack(states, dim=1)


class Transformer(nn.Module):
    """Causal pre-norm transformer (SASRec, Kang & McAuley 2018, with norms before the blocks).

    Args:
        dim: D.
        length: longest history.
        blocks: number of blocks.
        heads: attention heads; must divide D.
        rate: dropout.
    """

    def __init__(self, dim: int, length: int, blocks: int, heads: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.position = nn.Parameter(torch.randn(length, dim) * 0.02)
        self.blocks = nn.ModuleList(Block(dim, heads, rate) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim)

    def states(self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        """states_BLD after each column, each having read that column and those before it."""
        placed = vectors_BLD + recency(self.position, vectors_BLD.shape[1])
        x = first_columns(dropout(placed, self.rate, rng), real_BL)
        for block in self.blocks:
            x = block(x, rng)
        return last_columns(self.norm(x), real_BL)

    def forward(
        self,
        vectors_BLD: torch.Tensor,
        real_BL: torch.Tensor,
        rng: torch.Generator | None,
        log_trust_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return self.states(trusted(vectors_BLD, log_trust_BL), real_BL, rng)[:, -1] * real_BL[:, -1:]


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each behind a norm and a residual."""

    def __init__(self, dim: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, rate
        self.before_attention, self.before_feed = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mix, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, x_BLD: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        size, length, dim = x_BLD.shape
        mixed = self.mix(self.before_attention(x_BLD)).view(size, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(mixed[0], mixed[1], mixed[2], is_causal=True)
        x_BLD = x_BLD + dropout(self.out(attended.transpose(1, 2).reshape(size, length, dim)), self.rate, rng)
        return x_BLD + dropout(self.feed(self.before_feed(x_BLD)), self.rate, rng)


class Lift(nn.Module):
    """h = s + MLP(s); with `recent`, h = s + MLP([s; e]), where e is the most recent interaction, else e is not read."""

    def __init__(self, dim: int, hidden: int, recent: bool = False) -> None:
        super().__init__()
        self.wide, self.back = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.last = nn.Linear(dim, hidden, bias=False) if recent else None

    def forward(self, pooled_BD: torch.Tensor, last_BD: torch.Tensor | None = None) -> torch.Tensor:
        wide_BD = self.wide(pooled_BD)
        if self.last is not None:
            wide_BD = wide_BD + self.last(last_BD)
        lifted: torch.Tensor = pooled_BD + self.back(F.gelu(wide_BD))
        return lifted


def trusted(vectors_BLD: torch.Tensor, log_trust_BL: torch.Tensor | None) -> torch.Tensor:
    """Each vector scaled by its trust."""
    return vectors_BLD if log_trust_BL is None else vectors_BLD * log_trust_BL.exp().unsqueeze(2)


def first_columns(vectors_BLD: torch.Tensor, real_BL: torch.Tensor) -> torch.Tensor:
    """Move the padding from the left to the right, so that causal layers never read it."""
    return _rolled(vectors_BLD, real_BL, 1)


def last_columns(vectors_BLD: torch.Tensor, real_BL: torch.Tensor) -> torch.Tensor:
    """Undo `first_columns`."""
    return _rolled(vectors_BLD, real_BL, -1)


def _rolled(vectors_BLD: torch.Tensor, real_BL: torch.Tensor, sign: int) -> torch.Tensor:
    if not torch.compiler.is_compiling() and bool(real_BL.all()):  # a graph has no branch
        return vectors_BLD
    size, length, dim = vectors_BLD.shape
    padding_B1 = (length - real_BL.sum(dim=1, keepdim=True)) * sign
    column_BL = (torch.arange(length) + padding_B1) % length
    row_BL = column_BL + torch.arange(size).unsqueeze(1) * length
    return vectors_BLD.reshape(size * length, dim)[row_BL]


def make_encoder(
    name: EncoderName, dim: int, length: int, rate: float, blocks: int, heads: int, hidden: int
) -> nn.Module:
    """The named encoder; `blocks` and `heads` matter to `transformer` only, `hidden` to `context` and `recent`."""
    if name in ("context", "recent"):
        return Context(dim, length, rate, hidden, name == "recent")
    if name == "mean":
        return Mean(dim, rate)
    if name == "gru":
        return Recurrent(dim, rate)
    return Transformer(dim, length, blocks, heads, rate)
