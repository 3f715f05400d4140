"""Contrastive multiple-instance learning: of a bag it is known that one of its members matters, not which.

A bag is an interaction, its members the modalities of its item. That the user chose the item is known, what drew the user
is not. Bags are normalised by their number of members, so an item with more modalities is no better for it.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812  the usual name


def bags(logits_BMX: torch.Tensor, member_BMX: torch.Tensor) -> torch.Tensor:
    """(B, X) log-mean-exp over the members of each bag; hugely negative for an empty bag.

    Args:
        logits_BMX: logit of each of the M possible members.
        member_BMX: members that exist.
    """
    filled = logits_BMX.masked_fill(~member_BMX, torch.finfo(logits_BMX.dtype).min / 2)
    return filled.logsumexp(dim=1) - member_BMX.sum(dim=1).clamp_min(1).log()


def mil_nce(
    chosen_BL: torch.Tensor, weight_BL: torch.Tensor, background_BJ: torch.Tensor, there_BJ: torch.Tensor
) -> torch.Tensor:
    """Weighted mean over the chosen bags of −log( e^b / ( e^b + Σ_j e^(b⁻_j) ) ); 0 if there is none (Miech et al. 2020).

    Args:
        chosen_BL: bags of the interactions of each history (see `bags`).
        weight_BL: how much each of them counts, ≥ 0.
        background_BJ: bags of background items on the same history.
        there_BJ: which of them count.
    """
    rest_B1 = background_BJ.masked_fill(~there_BJ, torch.finfo(chosen_BL.dtype).min / 2).logsumexp(dim=1, keepdim=True)
    return _mean(torch.logaddexp(chosen_BL, rest_B1) - chosen_BL, weight_BL)


def mil_logistic(
    chosen_BL: torch.Tensor, weight_BL: torch.Tensor, background_BJ: torch.Tensor, there_BJ: torch.Tensor
) -> torch.Tensor:
    """Mean softplus(−b) over the chosen bags + mean softplus(b⁻) over the background's; arguments as in `mil_nce`."""
    right, wrong = F.softplus(-chosen_BL), F.softplus(background_BJ)
    return _mean(right, weight_BL) + _mean(wrong, there_BJ.to(wrong.dtype))


def _mean(lost_BX: torch.Tensor, weight_BX: torch.Tensor) -> torch.Tensor:
    """Weighted mean; 0 where nothing has weight."""
    lost_BX = (lost_BX * weight_BX).masked_fill(weight_BX == 0, 0.0)
    return lost_BX.sum() / weight_BX.sum().clamp_min(torch.finfo(lost_BX.dtype).tiny)
