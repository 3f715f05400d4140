"""Losses that compare a positive with each of its negatives: BPR, and binary cross-entropy calibrated for sampling."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.nn.losses.softmax import Negatives, shares_of, slots_of


def distinct_negatives(weights_N: torch.Tensor, count: int, rng: torch.Generator) -> Negatives:
    """Shared negatives drawn without replacement, so that each counts once.

    Args:
        weights_N: unnormalised sampling weight of every item code; 0 = never.
        count: draws; all items with a weight where there are fewer.
        rng: generator.
    """
    able = int((weights_N > 0).sum())
    drawn_K = torch.multinomial(weights_N, min(count, able), replacement=False, generator=rng)
    return Negatives(drawn_K, torch.zeros(len(drawn_K)))


def others(codes_RX: torch.Tensor, negatives: Negatives, catalog_size: int) -> torch.Tensor:
    """counted_RK: which negatives are none of a row's own items.

    Args:
        codes_RX: item codes that are no negatives for that row; 0 = none.
        negatives: of the batch.
        catalog_size: N.
    """
    count = len(negatives.items_K)
    slot_RX = slots_of(codes_RX, negatives, catalog_size)
    counted = torch.ones(len(codes_RX), count + 1, dtype=torch.bool)
    counted.scatter_(1, slot_RX.masked_fill(slot_RX < 0, count), False)
    return counted[:, :count]


def bpr_loss(
    positive_R: torch.Tensor, negative_RK: torch.Tensor, counted_RK: torch.Tensor, weights_R: torch.Tensor
) -> torch.Tensor:
    """Weighted mean over rows of the mean over negatives of −log σ(s⁺ − s⁻); 0 if the weights are all zero.

    Bayesian personalised ranking (Rendle et al., UAI 2009), with many negatives for each positive.

    Args:
        positive_R: score of each target.
        negative_RK: scores of the negatives.
        counted_RK: bool, which negatives count for which row.
        weights_R: weight of each row.
    """
    each_RK = F.softplus(negative_RK - positive_R.unsqueeze(1)) * counted_RK
    return (shares_of(weights_R) * each_RK.sum(dim=1) / counted_RK.sum(dim=1).clamp_min(1)).sum()


def gbce_loss(
    positive_R: torch.Tensor,
    negative_RK: torch.Tensor,
    counted_RK: torch.Tensor,
    weights_R: torch.Tensor,
    rate: float,
    calibration: float,
) -> torch.Tensor:
    """Weighted mean over rows of −( β log σ(s⁺) + Σ_k log(1 − σ(s⁻_k)) ) / (1 + K); 0 if the weights are all zero.

    β = 1 − t (1 − α): the generalised binary cross-entropy of Petrov & Macdonald (RecSys 2023), whose
    β = α (t (1 − 1/α) + 1/α) is the same. t = 0 is plain binary cross-entropy, which overrates every item when few
    negatives are drawn; at t = 1 scores are as they would be without sampling. Negatives may repeat; then
    α is how often an item is drawn on average, and no more than 1.

    Args:
        positive_R: score of each target.
        negative_RK: scores of the negatives.
        counted_RK: bool, which negatives count for which row.
        weights_R: weight of each row.
        rate: α, the share of all items that are drawn, in (0, 1].
        calibration: t in [0, 1].
    """
    beta = calibrated(rate, calibration)
    each_R = beta * F.softplus(-positive_R) + (F.softplus(negative_RK) * counted_RK).sum(dim=1)
    return (shares_of(weights_R) * each_R).sum() / (1 + negative_RK.shape[1])


def calibrated(rate: float, calibration: float) -> float:
    """β of `gbce_loss`."""
    return 1 - calibration * (1 - rate)


def uninformed(rate: float, calibration: float, count: int) -> float:
    """The score log(β / K) that `gbce_loss` wants of an item about which nothing is known, where K are drawn of many."""
    return math.log(calibrated(rate, calibration) / count)
