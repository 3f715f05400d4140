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
        vectors_BLD, context_BCD, _, _, position_LH, product_HD, ask_H = given
        ctx.save_for_backward(vectors_BLD, context_BCD, position_LH, product_HD, ask_H, *hidden)
        return logits_BCL

    @staticmethod
    def backward(ctx: Any, grad_BCL: torch.Tensor) -> Any:
        vectors_BLD, context_BCD, position_LH, product_HD, ask_H, *hidden = ctx.saved_tensors
        to_vectors, to_context = torch.zeros_like(vectors_BLD), torch.empty_like(context_BCD)
        to_own = vectors_BLD.new_zeros(*vectors_BLD.shape[:2], len(ask_H))
        to_around = context_BCD.new_empty(*context_BCD.shape[:2], len(ask_H))
        to_position, to_product, to_ask = (torch.zeros_like(each) for each in (position_LH, product_HD, ask_H))
        for (rows, column, read), hidden_bRH in zip(_blocks(vectors_BLD, context_BCD), hidden, strict=True):
            grad_bR = grad_BCL[rows, column, read].contiguous()
            to_ask.addmv_(hidden_bRH.flatten(0, 1).T, grad_bR.flatten())
            inner_bRH = (hidden_bRH * hidden_bRH).neg_().add_(1).mul_(ask_H).mul_(grad_bR.unsqueeze(2))
            to_own[rows, read] += inner_bRH
            to_around[rows, column] = inner_bRH.sum(dim=1)
            to_position[read] += inner_bRH.sum(dim=0).flip(0)
            read_bRD, context_b1D = vectors_BLD[rows, read], context_BCD[rows, column, None]
            to_product.addmm_(inner_bRH.flatten(0, 1).T, (read_bRD * context_b1D).flatten(0, 1))
            agreement_bRD = inner_bRH @ product_HD
            to_context[rows, column] = (agreement_bRD * read_bRD).sum(dim=1)
            to_vectors[rows, read] += agreement_bRD.mul_(context_b1D)
        return to_vectors, to_context, to_own, to_around, to_position, to_product, to_ask


def _read(
    vectors_BLD: torch.Tensor,
    context_BCD: torch.Tensor,
    own_BLH: torch.Tensor,
    around_BCH: torch.Tensor,
    position_LH: torch.Tensor,
    product_HD: torch.Tensor,
    ask_H: torch.Tensor,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """logits_BCL, and what `backward` reads of every block."""
    size, length, _ = vectors_BLD.shape
    least = torch.finfo(vectors_BLD.dtype).min
    logits_BCL = vectors_BLD.new_full((size, context_BCD.shape[1], length), least)
    hidden = []
    for rows, column, read in _blocks(vectors_BLD, context_BCD):
        hidden_bRH = (vectors_BLD[rows, read] * context_BCD[rows, column, None]) @ product_HD.T
        hidden_bRH += own_BLH[rows, read]
        hidden_bRH += around_BCH[rows, column, None]
        hidden_bRH += position_LH[read].flip(0)
        logits_BCL[rows, column, read] = hidden_bRH.tanh_() @ ask_H
        hidden.append(hidden_bRH)
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
    own_BLH: torch.Tensor,
    around_BCH: torch.Tensor,
    position_LH: torch.Tensor,
    product_HD: torch.Tensor,
    ask_H: torch.Tensor,
) -> torch.Tensor:
    """logits_BCL: askᵀ tanh(own_t + around_p + P (e_t ∘ c_p) + position_{p−t}) of reading column p for each column t ≤ p.

    The C reading columns are the last ones of the L; for t > p there is the least number.

    Args:
        vectors_BLD: e.
        context_BCD: c.
        own_BLH: what a column says by itself.
        around_BCH: what a reading column says by itself.
        position_LH: by distance from the reading column.
        product_HD: P.
        ask_H: ask.
    """
    given = (vectors_BLD, context_BCD, own_BLH, around_BCH, position_LH, product_HD, ask_H)
    if not torch.is_grad_enabled():
        return _read(*given)[0]
    logits: torch.Tensor = _Fused.apply(*given)  # type: ignore[no-untyped-call]
    return logits


def last_logits(
    vectors_BLD: torch.Tensor,
    context_B1D: torch.Tensor,
    own_HD: torch.Tensor,
    around_B1H: torch.Tensor,
    position_LH: torch.Tensor,
    product_HD: torch.Tensor,
    ask_H: torch.Tensor,
) -> torch.Tensor:
    """logits_BL of the last column alone, as in `reading_logits`: for answers, where no gradient is asked for.

    O e + P (e ∘ c) = (O + P diag c) e: one product where there were two, by a matrix for each row, and a third of the calls,
    which are what one user alone waits for.

    Args:
        vectors_BLD: e.
        context_B1D: c.
        own_HD: O.
        around_B1H: what the last column says by itself.
        position_LH: by distance from the last column.
        product_HD: P.
        ask_H: ask.
    """
    placed_BLH = around_B1H + position_LH.flip(0)
    step = max(1, BLOCK_BYTES // (own_HD.numel() * own_HD.element_size()))
    if torch.compiler.is_compiling() or len(vectors_BLD) <= step:  # a graph has no loop over blocks
        return _fitted(vectors_BLD, context_B1D, own_HD, placed_BLH, product_HD, ask_H)
    blocks = zip(vectors_BLD.split(step), context_B1D.split(step), placed_BLH.split(step), strict=True)
    return torch.cat([_fitted(e, c, own_HD, placed, product_HD, ask_H) for e, c, placed in blocks])


def _fitted(
    vectors_BLD: torch.Tensor,
    context_B1D: torch.Tensor,
    own_HD: torch.Tensor,
    placed_BLH: torch.Tensor,
    product_HD: torch.Tensor,
    ask_H: torch.Tensor,
) -> torch.Tensor:
    fitted_BHD = torch.addcmul(own_HD, product_HD, context_B1D)
    return torch.baddbmm(placed_BLH, vectors_BLD, fitted_BHD.transpose(1, 2)).tanh_() @ ask_H
