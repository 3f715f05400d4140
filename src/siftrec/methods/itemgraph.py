"""Graphs over items as a fixed number of weighted neighbours of each: by common users, and by like content."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.modality.features import Features
from siftrec.modality.standard import kept_widths
from siftrec.nn.topk import top_k

BLOCK_BYTES = 64 << 20
"""Of what is compared at once, where all items are compared with all."""


class Links(NamedTuple):
    """Neighbours of every item.

    Attributes:
        codes_NK: item codes; of weight 0 where there are fewer than K.
        weights_NK: how much each counts.
    """

    codes_NK: torch.Tensor
    weights_NK: torch.Tensor


def pruned(edges: sparse.csr_matrix, share: float, rng: np.random.Generator) -> sparse.csr_matrix:
    """A sample of the edges between users and items without a share of them, those of popular ends first.

    Drawn without replacement by 1/√(d_u d_i), the degree-sensitive pruning of FREEDOM.

    Args:
        edges: (R, N) weights of edges.
        share: that is left out, in whole edges.
        rng: generator.
    """
    edges = edges.copy()
    edges.eliminate_zeros()  # as the product below does: an interaction of weight 0 is no edge
    odds = _normalised(edges).tocoo()
    # Who waits shortest at these rates is drawn so.
    waits = rng.exponential(size=odds.nnz) / np.maximum(odds.data, 1e-12)
    kept = np.sort(np.argsort(waits, kind="stable")[: odds.nnz - int(share * odds.nnz)])
    return sparse.csr_matrix((edges.tocoo().data[kept], (odds.row[kept], odds.col[kept])), shape=edges.shape)


def _normalised(edges: sparse.csr_matrix) -> sparse.csr_matrix:
    """D_u^−½ A D_i^−½."""
    by_user, by_item = (sparse.diags(np.asarray(edges.sum(axis=axis)).ravel().clip(1e-12) ** -0.5) for axis in (1, 0))
    return (by_user @ edges @ by_item).tocsr()


def by_users(edges: sparse.csr_matrix, count: int) -> Links:
    """Two steps over the user–item graph: item → its users → their items, P = Âᵀ Â with Â = D_u^−½ A D_i^−½.

    Args:
        edges: (R, N) weights of edges.
        count: K − 1, how many of the strongest other items are kept of each; the item itself is the first of the K.
    """
    steps = _normalised(edges)
    back, size = steps.T.tocsr(), edges.shape[1]
    own_N = torch.from_numpy(np.asarray(steps.multiply(steps).sum(axis=0)).ravel()).float()
    codes, weights = [], []
    for block in torch.arange(size).split(block_rows(size)):
        strength = torch.from_numpy((back[block.numpy()] @ steps).toarray()).float()
        strength[torch.arange(len(block)), block] = 0
        best, which = top_k(strength.masked_fill(strength <= 0, -torch.inf), min(count, size))
        codes.append(which)
        weights.append(best.clamp_min(0))
    every = torch.arange(size).unsqueeze(1)
    return Links(
        torch.cat([every, torch.cat(codes)], dim=1), torch.cat([own_N.unsqueeze(1), torch.cat(weights)], dim=1)
    )


@torch.no_grad()
def by_content(features: Features, known_N: torch.Tensor, count: int) -> Links:
    """The nearest other items by cosine of standardised content, modality by modality; weights of an item sum to 1.

    Each modality that an item has counts alike, and each of its neighbours too.

    Args:
        features: fitted.
        known_N: bool, items that can be neighbours.
        count: k of each modality; K = k times the number of modalities.
    """
    content_NF = features.standardised(torch.arange(len(known_N)))
    widths = list(kept_widths(features.catalog).values())
    has = torch.stack(list(features.present.values()), dim=1)
    codes, weights = [], []
    for part_NF, present_N in zip(content_NF.split(widths, dim=1), has.unbind(dim=1), strict=True):
        unit_NF = F.normalize(part_NF, dim=1)
        found = []
        for block in torch.arange(len(known_N)).split(block_rows(len(known_N))):
            alike = (unit_NF[block] @ unit_NF.T).masked_fill(~(known_N & present_N), -torch.inf)
            alike[torch.arange(len(block)), block] = -torch.inf
            found.append(top_k(alike, min(count, len(known_N)))[1] * present_N[block].unsqueeze(1))
        codes.append(torch.cat(found))
        there = (codes[-1] > 0).float()
        weights.append(there / there.sum(dim=1, keepdim=True).clamp_min(1))
    weights_NK = torch.cat(weights, dim=1)
    return Links(torch.cat(codes, dim=1), weights_NK / weights_NK.sum(dim=1, keepdim=True).clamp_min(1e-12))


def block_rows(size: int, block_bytes: int = BLOCK_BYTES) -> int:
    """How many items are compared with `size` others at once: as many as two blocks of float32 have room for."""
    return max(1, block_bytes // (8 * size))
