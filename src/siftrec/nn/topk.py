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
    tied_B = (values_BW[:, 1:] == values_BW[:, :-1]).any(dim=1)
    values_BK, codes_BK = values_BW[:, :k].clone(), codes_BW[:, :k].clone()
    if bool(tied_B.any()):
        exact, order = torch.sort(scores_BN[tied_B], dim=1, descending=True, stable=True)
        values_BK[tied_B], codes_BK[tied_B] = exact[:, :k], order[:, :k]
    codes_BK[values_BK == -torch.inf] = 0
    return values_BK, codes_BK
