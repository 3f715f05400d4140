"""Importance without labels: how well the rest of a history vouches for each of its interactions.

A geometry says how alike two items are. `agreement` is leave-one-out and target-free; the hub correction takes away what
an item is like to everybody; calibration compares with what a popularity-drawn item would score in the same slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.nn.rows import rows_of

NEIGHBOUR_CAP = 16
_HUB_NEIGHBOURS = 10


class Geometry(NamedTuple):
    """Item vectors in which a cosine means relatedness.

    Attributes:
        vectors_NG: unit vectors of each part side by side, each scaled by √(part weight), zero where absent.
        presence_NP: √(part weight) of each part an item has, else 0.
    """

    vectors_NG: torch.Tensor
    presence_NP: torch.Tensor

    def cosine(self, left_BX: torch.Tensor, right_BY: torch.Tensor) -> torch.Tensor:
        """(B, X, Y) weighted mean cosine over the parts present in both; -inf where they share no part.

        Args:
            left_BX: item codes.
            right_BY: item codes, (B, Y), or (Y,) shared by all rows.
        """
        similar = rows_of(self.vectors_NG, left_BX) @ rows_of(self.vectors_NG, right_BY).transpose(-1, -2)
        shared = rows_of(self.presence_NP, left_BX) @ rows_of(self.presence_NP, right_BY).transpose(-1, -2)
        return torch.where(shared > 0, similar / shared, -torch.inf)


def geometry(parts: Sequence[torch.Tensor], weights: Sequence[float]) -> Geometry:
    """A geometry from parts (N, G_p); a zero row means that the item lacks the part. Weights are relative."""
    vectors, presence = [], []
    for part_NG, weight in zip(parts, weights, strict=True):
        root = (weight / sum(weights)) ** 0.5
        vectors.append(F.normalize(part_NG, dim=1) * root)
        presence.append((part_NG != 0).any(dim=1).float() * root)
    return Geometry(torch.cat(vectors, dim=1), torch.stack(presence, dim=1))


def largest(slices: Iterable[torch.Tensor], k: int) -> torch.Tensor:
    """(k, ...) the k largest at each place of equally shaped slices, from the largest down; -inf where there are fewer.

    Slices climb one by one down a ladder of the k largest so far, which stays in cache, where k searches for the largest
    would read and copy everything k times. Without gradient.

    Args:
        slices: at least one; -inf marks what does not count.
        k: at least 1.
    """
    best: list[torch.Tensor] = []
    for slice_ in slices:
        if not best:
            best = [torch.full_like(slice_, -torch.inf) for _ in range(k)]
            lower = (torch.empty_like(slice_), torch.empty_like(slice_))
        climbing = slice_
        for rung, held in enumerate(best):
            if rung < k - 1:
                torch.minimum(held, climbing, out=lower[rung % 2])
            torch.maximum(held, climbing, out=held)
            climbing = lower[rung % 2]
    return torch.stack(best)


def finite_mean(values: torch.Tensor) -> torch.Tensor:
    """(...) mean over the first dimension of (n, ...) values of what is not -inf; -inf where nothing is."""
    real = values != -torch.inf
    count = real.sum(dim=0)
    return torch.where(count > 0, torch.where(real, values, 0.0).sum(dim=0) / count.clamp_min(1), -torch.inf)


class _TopMean(torch.autograd.Function):
    """(...) mean of the k < n largest of (n, ...) values; equals at the edge of the k share the gradient."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, k: int) -> torch.Tensor:
        best = largest(values, k)
        ctx.save_for_backward(values, best[-1], (best != -torch.inf).sum(dim=0))
        return finite_mean(best)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        values, least, count = ctx.saved_tensors
        above, equal = values > least, (values == least) & (values > -torch.inf)
        share = (count - above.sum(dim=0)) / equal.sum(dim=0).clamp_min(1)
        return (above + equal * share) * (torch.where(count > 0, grads[0], 0.0) / count.clamp_min(1)), None


def top_mean(values: torch.Tensor, k: int, dim: int) -> torch.Tensor:
    """Mean of the k largest finite values along `dim`; -inf marks what does not count; -inf where nothing counts."""
    slices = values.movedim(dim, 0)
    if k >= len(slices):
        return finite_mean(slices)
    if torch.compiler.is_compiling():  # the ladder's loops would be unrolled into the graph
        return finite_mean(values.topk(k, dim=dim).values.movedim(dim, 0))
    slices = slices if slices.stride(-1) == 1 else slices.contiguous()
    mean: torch.Tensor = _TopMean.apply(slices, k)  # type: ignore[no-untyped-call]
    return mean


class Agreement(NamedTuple):
    """What a history says of items.

    Attributes:
        raw_BC: mean of the k largest cosines to the history's other interactions; -inf without any, and for padding.
        neighbours_BC: how many interactions could vouch.
    """

    raw_BC: torch.Tensor
    neighbours_BC: torch.Tensor


def agreement(space: Geometry, candidates_BC: torch.Tensor, items_BS: torch.Tensor, k: int) -> Agreement:
    """Agreement of candidates with a history; with the history's own items as candidates it is leave-one-out.

    The same item elsewhere in the history does not vouch for itself. Top-k, because a minority interest is not noise.

    Args:
        space: geometry.
        candidates_BC: item codes to judge, 0 = padding.
        items_BS: item codes of the history, 0 = padding.
        k: how many of the most similar others are averaged; at least the history length means all of them.
    """
    similar_BCS = space.cosine(candidates_BC, items_BS)
    asked = (candidates_BC > 0).unsqueeze(2) & (items_BS > 0).unsqueeze(1)
    other = asked & (candidates_BC.unsqueeze(2) != items_BS.unsqueeze(1))
    similar_BCS = similar_BCS.masked_fill(~other, -torch.inf)
    return Agreement(top_mean(similar_BCS, k, dim=2), (similar_BCS > -torch.inf).sum(dim=2))


def hubness(space: Geometry, background_n: torch.Tensor) -> torch.Tensor:
    """hub_N: mean of each item's 10 largest similarities to popularity-drawn items; 0 where it shares no part."""
    hub_N = torch.zeros(len(space.vectors_NG))
    for block in torch.arange(len(hub_N)).split(8192):
        similar = space.cosine(block.unsqueeze(0), background_n).squeeze(0)
        similar = similar.masked_fill(block.unsqueeze(1) == background_n, -torch.inf)
        best = torch.topk(similar, min(_HUB_NEIGHBOURS, similar.shape[1]), dim=1).values
        real = best > -torch.inf
        hub_N[block] = torch.where(real, best, 0).sum(dim=1) / real.sum(dim=1).clamp_min(1)
    return hub_N


def calibration(
    score_E: torch.Tensor, neighbours_E: torch.Tensor, fewest: int = 50
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of background scores for each neighbour count.

    Args:
        score_E: hub-corrected agreement of background items put into slots of real histories.
        neighbours_E: neighbours of each.
        fewest: counts with fewer observations borrow the pooled values.

    Returns:
        mean and deviation, each (NEIGHBOUR_CAP + 1,); index = min(neighbours, cap).
    """
    real = score_E > -torch.inf
    score_E, count_E = score_E[real], neighbours_E[real].clamp_max(NEIGHBOUR_CAP)
    if len(score_E) < 2:
        return torch.zeros(NEIGHBOUR_CAP + 1), torch.ones(NEIGHBOUR_CAP + 1)
    mean = score_E.mean().repeat(NEIGHBOUR_CAP + 1)
    deviation = score_E.std().clamp_min(1e-6).repeat(NEIGHBOUR_CAP + 1)
    for count in range(1, NEIGHBOUR_CAP + 1):
        own = score_E[count_E == count]
        if len(own) >= fewest:
            mean[count], deviation[count] = own.mean(), own.std().clamp_min(1e-6)
    return mean, deviation


def calibrated(found: Agreement, hub_BC: torch.Tensor, scale: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """z_BC: deviations by which an item agrees better than a background item would; 0 where nothing could vouch."""
    index_BC = found.neighbours_BC.clamp_max(NEIGHBOUR_CAP)
    z_BC = (found.raw_BC - hub_BC - scale[0][index_BC]) / scale[1][index_BC]
    return torch.where(found.neighbours_BC > 0, z_BC, 0.0)
