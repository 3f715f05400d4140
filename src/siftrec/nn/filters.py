"""Learnable filters over a history, in the frequency domain (FMLP-Rec, Zhou et al., WWW 2022)."""

from __future__ import annotations

import torch
from torch import nn

from siftrec.nn.dropout import dropout
from siftrec.nn.encoders import recency, trusted


class Filters(nn.Module):
    """Blocks of a filter over time and a feed-forward layer, each with a residual and a norm behind it.

    A filter is a circular convolution of `length` columns, so **every state reads the whole history, later columns too**:
    only the last one may be asked what comes next, and no other is given out. Padding is zero wherever a filter reads, so
    it changes nothing; since a circular convolution moves with its input, a narrower window gives the same as one of
    `length` columns.

    Args:
        dim: D.
        length: longest history.
        blocks: number of blocks.
        rate: dropout.
    """

    def __init__(self, dim: int, length: int, blocks: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.position = nn.Parameter(torch.randn(length, dim) * 0.02)
        self.norm = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(FilterBlock(dim, length, rate) for _ in range(blocks))

    def forward(
        self,
        vectors_BLD: torch.Tensor,
        real_BL: torch.Tensor,
        rng: torch.Generator | None,
        log_trust_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        placed = trusted(vectors_BLD, log_trust_BL) + recency(self.position, vectors_BLD.shape[1])
        x: torch.Tensor = dropout(self.norm(placed), self.rate, rng)
        for block in self.blocks:
            x = block(x, real_BL, rng)
        return x[:, -1] * real_BL[:, -1:]


class FilterBlock(nn.Module):
    """LayerNorm(x + filter(x)), then LayerNorm(x + MLP(x))."""

    def __init__(self, dim: int, length: int, rate: float) -> None:
        super().__init__()
        self.length, self.rate = length, rate
        self.spectrum = nn.Parameter(torch.randn(length // 2 + 1, dim, 2) * 0.02)
        self.after_filter, self.after_feed = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x_BLD: torch.Tensor, real_BL: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        x_BLD = self.after_filter(x_BLD + dropout(self.filtered(x_BLD * real_BL.unsqueeze(2)), self.rate, rng))
        fed: torch.Tensor = self.after_feed(x_BLD + dropout(self.feed(x_BLD), self.rate, rng))
        return fed

    def filtered(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """The inverse transform of spectrum · transform, both of `length` columns."""
        spectrum = torch.view_as_complex(self.spectrum)
        transformed = torch.fft.rfft(x_BLD, n=self.length, dim=1, norm="ortho") * spectrum
        filtered: torch.Tensor = torch.fft.irfft(transformed, n=self.length, dim=1, norm="ortho")
        return filtered[:, : x_BLD.shape[1]]
