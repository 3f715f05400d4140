"""Logits of attention that compares every interaction with what is known around it, fused so that they stay in cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

BLOCK_BYTES = 1 << 19


class _Fused(torch.autograd.Function):
    """A block of rows and one reading column at a time: slices, where autograd would gather and scatter pairs."""

    @staticmethod
    def forward(ctx: Any, *given: torch.Tensor) -> torch.Tensor:
        logits_BCL, hidden = _read(*given)
        vectors_BLD, context_BCD, _, _, position_LD, product_DD, ask_D = given
        ctx.save_for_backward(vectors_BLD, context_BCD, position_LD, product_DD, ask_D, *hidden)
        return logits_BCL

    @staticmethod
    def backward(ctx: Any, grad_BCL: torch.Tensor) -> Any:
        vectors_BLD, context_BCD, position_LD, product_DD, ask_D, *hidden = ctx.saved_tensors
        to_vectors, to_own = torch.zeros_like(vectors_BLD), torch.zeros_like(vectors_BLD)
        to_context, to_around = torch.empty_like(context_BCD), torch.empty_like(context_BCD)
        to_position, to_product, to_ask = (torch.zeros_like(each) for each in (position_LD, product_DD, ask_D))
        for (rows, column, read), hidden_bRD in zip(_blocks(vectors_BLD, context_BCD), hidden, strict=True):
            grad_bR = grad_BCL[rows, column, read].contiguous()
            to_ask.addmv_(hidden_bRD.flatten(0, 1).T, grad_bR.flatten())
            inner_bRD = (hidden_bRD * hidden_bRD).neg_().add_(1).mul_(ask_D).mul_(grad_bR.unsqueeze(2))
            to_own[rows, read] += inner_bRD
            to_around[rows, column] = inner_bRD.sum(dim=1)
            to_position[read] += inner_bRD.sum(dim=0).flip(0)
            read_bRD, context_b1D = vectors_BLD[rows, read], context_BCD[rows, column, None]
            to_product.addmm_(inner_bRD.flatten(0, 1).T, (read_bRD * context_b1D).flatten(0, 1))
            agreement_bRD = inner_bRD @ product_DD
            to_context[rows, column] = (agreement_bRD * read_bRD).sum(dim=1)
            to_vectors[rows, read] += agreement_bRD.mul_(context_b1D)
        return to_vectors, to_context, to_own, to_around, to_position, to_product, to_ask


def _read(
    vectors_BLD: torch.Tensor,
    context_BCD: torch.Tensor,
    own_BLD: torch.Tensor,
    around_BCD: torch.Tensor,
    position_LD: torch.Tensor,
    product_DD: torch.Tensor,
    ask_D: torch.Tensor,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """logits_BCL, and what `backward` reads of every block."""
    size, length, _ = vectors_BLD.shape
    least = torch.finfo(vectors_BLD.dtype).min
    logits_BCL = vectors_BLD.new_full((size, context_BCD.shape[1], length), least)
    hidden = []
    for rows, column, read in _blocks(vectors_BLD, context_BCD):
        hidden_bRD = (vectors_BLD[rows, read] * context_BCD[rows, column, None]) @ product_DD.T
        hidden_bRD += own_BLD[rows, read]
        hidden_bRD += around_BCD[rows, column, None]
        hidden_bRD += position_LD[read].flip(0)
        logits_BCL[rows, column, read] = hidden_bRD.tanh_() @ ask_D
        hidden.append(hidden_bRD)
    return logits_BCL, hidden


def _blocks(vectors_BLD: torch.Tensor, context_BCD: torch.Tensor) -> Iterator[tuple[slice, int, slice]]:
    """Rows, reading column (as counted by C), and the columns it reads."""
    size, length, dim = vectors_BLD.shape
    columns = context_BCD.shape[1]
    for column in range(columns):
        read = length - columns + column + 1
        step = max(1, BLOCK_BYTES // (read * dim * vectors_BLD.element_size()))
        for start in range(0, size, step):
            yield slice(start, start + step), column, slice(read)


def reading_logits(
    vectors_BLD: torch.Tensor,
    context_BCD: torch.Tensor,
    own_BLD: torch.Tensor,
    around_BCD: torch.Tensor,
    position_LD: torch.Tensor,
    product_DD: torch.Tensor,
    ask_D: torch.Tensor,
) -> torch.Tensor:
    """logits_BCL: askᵀ tanh(own_t + around_p + P (e_t ∘ c_p) + position_{p−t}) of reading column p for each column t ≤ p.

    The C reading columns are the last ones of the L; for t > p there is the least number.

    Args:
        vectors_BLD: e.
        context_BCD: c.
        own_BLD: what a column says by itself.
        around_BCD: what a reading column says by itself.
        position_LD: by distance from the reading column.
        product_DD: P.
        ask_D: ask.
    """
    given = (vectors_BLD, context_BCD, own_BLD, around_BCD, position_LD, product_DD, ask_D)
    if not torch.is_grad_enabled():  # what autograd would set up costs one user alone much of the answer
        return _read(*given)[0]
    logits: torch.Tensor = _Fused.apply(*given)  # type: ignore[no-untyped-call]
    return logits
