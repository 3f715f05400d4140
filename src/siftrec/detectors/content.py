"""The content of a catalog as a few comparable numbers: principal directions of each standardised modality."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.catalog import Catalog
from siftrec.modality.features import Features

DIRECTIONS = 64
_LEAST = 0.01
"""A norm, as a share of the modality's mean, below which a vector is the mean of the others and its direction rounding."""


@torch.no_grad()
def principal(features: Features, counts_N: torch.Tensor) -> torch.Tensor:
    """(M, N, 64) standardised content along its principal directions over training items; zero where absent or spare.

    A vector that is the modality's mean up to rounding (`impute = "mean"`) says nothing and counts as absent.

    Args:
        features: content, standardised.
        counts_N: training interactions of each item.
    """
    size, standards = len(counts_N), features.standards()
    found = torch.zeros(len(standards), size, DIRECTIONS)
    for index, (name, standard) in enumerate(standards.items()):
        width = len(standard.mean_F)
        turn_FG = standard.turn_FR[:, -DIRECTIONS:]
        if not turn_FG.shape[1]:
            trained = (features.present[name] & (counts_N > 0)).nonzero().squeeze(1)
            turn_FG = features.directions(name, trained, standard, min(DIRECTIONS, width))
        turned = standard._replace(turn_FR=turn_FG)
        for block in features.blocks(torch.arange(1, size)):
            projected = turned(features.gather(name, block)) * width**0.5
            found[index, block, : projected.shape[1]] = projected * features.present[name][block].unsqueeze(1)
        norm_N = found[index].norm(dim=1)
        found[index, norm_N < _LEAST * norm_N.sum() / norm_N.count_nonzero().clamp_min(1)] = 0
    return found


def units(content_MNG: torch.Tensor) -> torch.Tensor:
    """(N, 64·M) unit vectors of every modality side by side; zero where absent."""
    return (
        torch.cat(list(F.normalize(content_MNG, dim=2)), dim=1)
        if len(content_MNG)
        else content_MNG.new_zeros(content_MNG.shape[1], 0)
    )


def content_of(catalog: Catalog, counts_N: torch.Tensor) -> torch.Tensor:
    """(M, N, 64) content of a catalog, standardised on the items that `counts_N` says were seen in training."""
    return principal(Features(catalog).fit(counts_N), counts_N)
