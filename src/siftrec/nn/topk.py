"""The k best scores of each row, ties broken by the lower catalog code."""

from __future__ import annotations

import torch


def top_k(scores_BN: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best columns of each row, best first; equal scores in column order.

    Args:
        scores_BN: scores; -inf marks columns that must not be chosen.
        k: 1 ≤ k ≤ N.

    Returns:
        values_BK and codes_BK (int64). Places that only -inf could fill have value -inf and code 0.
    """
    wide = min(k + 1, scores_BN.shape[1])
    values_BW, codes_BW = torch.topk(scores_BN, wide, dim=1)
    values_BK, codes_BK = values_BW[:, :k].clone(), codes_BW[:, :k].clone()
    tied_B = (values_BW[:, 1:] == values_BW[:, :-1]).any(dim=1)
    if bool(tied_B.any()):
        cut_B = values_BK[:, -1]
        open_B = (values_BW[:, -1] == cut_B) & (cut_B > -torch.inf) if wide > k else torch.zeros_like(tied_B)
        if bool(open_B.any()):
            codes_BK[open_B] = _lowest_at_cut(scores_BN[open_B], values_BK[open_B], codes_BK[open_B])
        codes_BK[tied_B] = _in_code_order(values_BK[tied_B], codes_BK[tied_B])
    codes_BK[values_BK == -torch.inf] = 0
    return values_BK, codes_BK


def _lowest_at_cut(scores_BN: torch.Tensor, values_BK: torch.Tensor, codes_BK: torch.Tensor) -> torch.Tensor:
    """codes_BK with the places at the lowest kept score given to the lowest columns that have that score."""
    width, k = scores_BN.shape[1], values_BK.shape[1]
    cut_B1 = values_BK[:, -1:]
    from_end_N = torch.arange(width, 0, -1, dtype=torch.int32, device=scores_BN.device)
    at_cut_BN = (scores_BN == cut_B1).to(torch.int32).mul_(from_end_N)
    lowest_BK = width - torch.topk(at_cut_BN, k, dim=1).values.long()
    place_BK = torch.arange(k, device=scores_BN.device) - (values_BK > cut_B1).sum(dim=1, keepdim=True)
    return torch.where(place_BK < 0, codes_BK, lowest_BK.gather(1, place_BK.clamp(min=0)))


def _in_code_order(values_BK: torch.Tensor, codes_BK: torch.Tensor) -> torch.Tensor:
    """codes_BK of descending values, with equal values in ascending code."""
    run_BK = torch.zeros_like(codes_BK)
    run_BK[:, 1:] = (values_BK[:, 1:] != values_BK[:, :-1]).cumsum(dim=1)
    codes_BK, order_BK = torch.sort(codes_BK, dim=1)
    return codes_BK.gather(1, torch.sort(run_BK.gather(1, order_BK), dim=1, stable=True).indices)
