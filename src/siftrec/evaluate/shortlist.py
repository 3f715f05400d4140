"""The top of long score rows, found by two passes over the scores instead of a search."""

from __future__ import annotations

import numpy as np
import torch

from siftrec.nn.topk import top_k

GROUP = 64


def shortlisted(scores_BC: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`top_k`, faster where C is much larger than k.

    The k-th best of the maxima of groups of 64 columns has at least k scores that are not below it, and seldom many
    more. Only these are searched. Where ties make them many, or NaN makes them few, all columns are.

    Args:
        scores_BC: scores on the CPU.
        k: 1 ≤ k ≤ C.
    """
    groups = scores_BC.shape[1] // GROUP
    if groups < 2 * k:
        return top_k(scores_BC, k)
    best_BG = scores_BC[:, : groups * GROUP].view(-1, groups, GROUP).amax(dim=2)
    floor_B = torch.topk(best_BG, k, dim=1).values[:, -1].numpy()
    rows = scores_BC.numpy()
    kept = [np.flatnonzero(row >= floor) for row, floor in zip(rows, floor_B, strict=True)]
    lengths = [len(columns) for columns in kept]
    if min(lengths, default=0) < k or max(lengths) > 8 * k:
        return top_k(scores_BC, k)
    columns_BW = np.zeros((len(kept), max(lengths)), dtype=np.int64)
    short_BW = np.full(columns_BW.shape, -np.inf, dtype=rows.dtype)
    for row, columns in enumerate(kept):
        columns_BW[row, : len(columns)] = columns
        short_BW[row, : len(columns)] = rows[row, columns]
    values_BK, places_BK = top_k(torch.from_numpy(short_BW), k)
    return values_BK, torch.from_numpy(columns_BW).gather(1, places_BK).masked_fill_(values_BK == -torch.inf, 0)
