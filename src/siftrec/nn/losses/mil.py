"""Contrastive multiple-instance learning: of a bag it is known that one of its members matters, not which.

A bag is an interaction, its members the modalities of its item. That the user chose the item is known, what drew the user
is not. Bags are normalised by their number of members, so an item with more modalities is no better for it.
"""

from __future__ import annotations

import torch


def bags(logits_BMX: torch.Tensor, member_BMX: torch.Tensor) -> torch.Tensor:
    """(B, X) log-mean-exp over the members of each bag; hugely negative for an empty bag.

    Args:
        logits_BMX: logit of each of the M possible members.
        member_BMX: members that exist.
    """
    filled = logits_BMX.masked_fill(~member_BMX, torch.finfo(logits_BMX.dtype).min / 2)
    return filled.logsumexp(dim=1) - member_BMX.sum(dim=1).clamp_min(1).log()


def mil_nce(
    chosen_BL: torch.Tensor, asked_BL: torch.Tensor, background_BJ: torch.Tensor, there_BJ: torch.Tensor
) -> torch.Tensor:
    """Mean over the chosen bags of −log( e^b / ( e^b + Σ_j e^(b⁻_j) ) ); 0 if there is none (Miech et al. 2020).

    Args:
        chosen_BL: bags of the interactions of each history (see `bags`).
        asked_BL: which of them count.
        background_BJ: bags of background items on the same history.
        there_BJ: which of them count.
    """
    rest_B1 = background_BJ.masked_fill(~there_BJ, torch.finfo(chosen_BL.dtype).min / 2).logsumexp(dim=1, keepdim=True)
    lost_BL = (torch.logaddexp(chosen_BL, rest_B1) - chosen_BL).masked_fill(~asked_BL, 0.0)
    return lost_BL.sum() / asked_BL.sum().clamp_min(1)


def mil_logistic(
    chosen_BL: torch.Tensor, asked_BL: torch.Tensor, background_BJ: torch.Tensor, there_BJ: torch.Tensor
) -> torch.Tensor:
    """Mean softplus(−b) over the chosen bags + mean softplus(b⁻) over the background's; arguments as in `mil_nce`."""
    lost_BL = torch.nn.functional.softplus(-chosen_BL).masked_fill(~asked_BL, 0.0)
    false_BJ = torch.nn.functional.softplus(background_BJ).masked_fill(~there_BJ, 0.0)
    return lost_BL.sum() / asked_BL.sum().clamp_min(1) + false_BJ.sum() / there_BJ.sum().clamp_min(1)
