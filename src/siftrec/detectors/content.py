"""The content of a catalog as a few comparable numbers: principal directions of each standardised modality."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.catalog import Catalog
from siftrec.modality.features import Features

DIRECTIONS = 64

Statistics = dict[str, tuple[torch.Tensor, torch.Tensor]]


@torch.no_grad()
def principal(features: Features, statistics: Statistics, counts_N: torch.Tensor) -> torch.Tensor:
    """(M, N, 64) standardised content along its principal directions over training items; zero where absent or spare.

    Args:
        features: raw content.
        statistics: mean and 1/deviation, each (F,), of every modality.
        counts_N: training interactions of each item.
    """
    size = len(counts_N)
    found = torch.zeros(len(statistics), size, DIRECTIONS)
    for index, (name, (mean_F, scale_F)) in enumerate(statistics.items()):
        trained = (features.present[name] & (counts_N > 0)).nonzero().squeeze(1)
        scatter_FF = torch.zeros(len(mean_F), len(mean_F))
        for block in features.blocks(trained):
            content_nF = (features.gather(name, block) - mean_F) * scale_F
            scatter_FF.addmm_(content_nF.T, content_nF)
        directions_FG = torch.linalg.eigh(scatter_FF).eigenvectors[:, -DIRECTIONS:].contiguous()
        for block in features.blocks(torch.arange(1, size)):
            projected = (features.gather(name, block) - mean_F) * scale_F @ directions_FG
            found[index, block, : projected.shape[1]] = projected * features.present[name][block].unsqueeze(1)
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
    features = Features(catalog)
    return principal(features, features.statistics(counts_N), counts_N)
