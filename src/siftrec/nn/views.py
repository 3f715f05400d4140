"""The view engine: replace some slots of a history by substitutes, and know how much was destroyed.

A slot is whatever can be replaced on its own: an interaction, or one modality of an interaction. Slots have an importance
π (Σπ = 1), substitutes a relatedness r in [0, 1]; what a view destroyed is one number, damage δ = Σ_replaced π (1 − r).
Positives replace unimportant slots, negatives important ones. Nothing here carries a gradient.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from siftrec.nn.importance import finite_mean, largest

Side = Literal["positive", "negative"]


class Plan(NamedTuple):
    """How one view is made.

    Attributes:
        side: positives replace slots of the less important half, negatives of the more important half.
        share: of that half's slots that are replaced (rounded up).
        band: quantiles of relatedness among the offers from which substitutes come; 1 = most related.
    """

    side: Side
    share: float
    band: tuple[float, float]


class Views(NamedTuple):
    """V views of each of B histories.

    Attributes:
        choice_BVS: index of the substitute among the offers, -1 where the slot was kept.
        damage_BV: δ in [0, 1].
    """

    choice_BVS: torch.Tensor
    damage_BV: torch.Tensor


def plans(hardness: float, count: int) -> list[Plan]:
    """`count` positives, then `count` negatives, from easy to as hard as `hardness` κ ∈ [0, 1] says.

    View v has κ_v = κ·v/(V−1). Positives: share .3 + .6 κ_v, band [.7 (1 − κ_v), 1].
    Negatives: share .6 − .3 κ_v, band [.3 κ_v, .3 + .3 κ_v].
    """
    steps = [hardness * (v / (count - 1) if count > 1 else 1.0) for v in range(count)]
    positives = [Plan("positive", 0.3 + 0.6 * k, (0.7 * (1 - k), 1.0)) for k in steps]
    return positives + [Plan("negative", 0.6 - 0.3 * k, (0.3 * k, 0.3 + 0.3 * k)) for k in steps]


def ranks(values_BS: torch.Tensor, real_BS: torch.Tensor) -> torch.Tensor:
    """Rank of each real slot, 0 = smallest, in slot order where equal; padding ranks last."""
    order = values_BS.masked_fill(~real_BS, torch.inf).argsort(dim=1, stable=True)
    places = torch.arange(values_BS.shape[1]).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def select(plan: Plan, rank_BS: torch.Tensor, real_BS: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """replaced_BS: which slots a view replaces, at random within its half.

    Args:
        plan: side and share.
        rank_BS: rank of importance among the real slots (see `ranks`).
        real_BS: slots that exist.
        rng: generator.
    """
    count_B1 = real_BS.sum(dim=1, keepdim=True)
    half_B1 = count_B1 // 2
    among = rank_BS < half_B1 if plan.side == "positive" else (rank_BS >= count_B1 - half_B1) & real_BS
    draw = torch.rand(rank_BS.shape, generator=rng)
    return among & (ranks(draw, among) < torch.ceil(plan.share * half_B1 - 1e-6))


def scatter(share: float, real_BS: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """replaced_BS: a random `share` of the real slots, rounded up, whatever their importance."""
    draw = torch.rand(real_BS.shape, generator=rng)
    return real_BS & (ranks(draw, real_BS) < torch.ceil(share * real_BS.sum(dim=1, keepdim=True) - 1e-6))


def relatedness(
    pair_BSO: torch.Tensor, replaced_BS: torch.Tensor, real_BS: torch.Tensor, k: int, group_S: torch.Tensor | None
) -> torch.Tensor:
    """(R, O) relatedness of every offer to each of the R replaced slots, row-major over (B, S).

    r = (1 + max(pair, user)) / 2 with pair = cosine to what is replaced and user = top-k agreement with the slots kept: a
    substitute that fits another interest of the user would otherwise be a false negative.

    Args:
        pair_BSO: cosine of each slot to each offer; -inf where they cannot be compared.
        replaced_BS: slots this view replaces.
        real_BS: slots that exist.
        k: how many kept slots are averaged.
        group_S: slots vouch only for slots of the same group (modality); None = all.
    """
    barred_BS = torch.where(real_BS & ~replaced_BS, 0.0, -torch.inf)
    row_R, slot_R = replaced_BS.nonzero(as_tuple=True)
    best_RO = pair_BSO[row_R, slot_R]
    groups = torch.zeros(real_BS.shape[1], dtype=torch.int64) if group_S is None else group_S
    for group in groups.unique().tolist():
        here_S = groups == group
        offered = zip(pair_BSO[:, here_S].unbind(1), barred_BS[:, here_S].unbind(1), strict=True)
        user_BO = finite_mean(
            largest((pair_BO + barred_B.unsqueeze(1) for pair_BO, barred_B in offered), min(k, int(here_S.sum())))
        )
        mine = here_S[slot_R]
        best_RO[mine] = torch.maximum(best_RO[mine], user_BO[row_R[mine]])
    return ((1 + best_RO.clamp(-1, 1)) / 2).clamp(0, 1)


def pick(
    related_RO: torch.Tensor, allowed_RO: torch.Tensor, band: tuple[float, float], rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One substitute per replaced slot, uniformly from a quantile band of relatedness.

    Args:
        related_RO: relatedness of each offer, float32 in [0, 1].
        allowed_RO: offers that may be taken.
        band: quantiles (low, high).
        rng: generator.

    Returns:
        choice_R (index among the offers, -1 if none is allowed) and its relatedness_R.
    """
    order_RO = ascending(related_RO.masked_fill(~allowed_RO, -1.0))
    count_R = allowed_RO.sum(dim=1)
    quantile_R = band[0] + (band[1] - band[0]) * torch.rand(len(count_R), generator=rng)
    place_R = torch.minimum((quantile_R * count_R).long(), count_R - 1) + related_RO.shape[1] - count_R
    choice_R1 = order_RO.gather(1, place_R.clamp(0, related_RO.shape[1] - 1).unsqueeze(1))
    return torch.where(count_R > 0, choice_R1.squeeze(1), -1), related_RO.gather(1, choice_R1).squeeze(1)


def ascending(values_RO: torch.Tensor) -> torch.Tensor:
    """order_RO: columns of each row from the smallest value to the largest, in column order where equal.

    Value and column are packed into one integer, whose order is theirs, because numpy sorts plain integers several times as
    fast as torch sorts values with their places.

    Args:
        values_RO: float32; at most one distinct value below 0, and no -0.
    """
    columns_O = torch.arange(values_RO.shape[1])
    packed_RO = (values_RO.view(torch.int32).long() << 32) | columns_O
    packed_RO.numpy().sort(axis=1)
    return packed_RO & 0xFFFFFFFF


def make_views(
    wanted: list[Plan],
    importance_BS: torch.Tensor,
    real_BS: torch.Tensor,
    pair_BSO: torch.Tensor,
    allowed_BO: torch.Tensor,
    rng: torch.Generator,
    k: int = 3,
    group_S: torch.Tensor | None = None,
) -> Views:
    """Make the wanted views of every history.

    Args:
        wanted: V plans.
        importance_BS: π, Σ = 1 over the real slots.
        real_BS: slots that exist.
        pair_BSO: cosine of each slot to each of the O offers.
        allowed_BO: offers that may enter each history (not items of the row, nor its target).
        rng: generator.
        k: kept slots averaged for the relatedness to the user.
        group_S: see `relatedness`.
    """
    choices, damages = [], []
    rank_BS = ranks(importance_BS, real_BS)
    for plan in wanted:
        replaced_BS = select(plan, rank_BS, real_BS, rng)
        row_R, slot_R = replaced_BS.nonzero(as_tuple=True)
        related_RO = relatedness(pair_BSO, replaced_BS, real_BS, k, group_S)
        choice_R, related_R = pick(related_RO, allowed_BO[row_R], plan.band, rng)
        choice_BS = torch.full_like(rank_BS, -1)
        choice_BS[row_R, slot_R] = choice_R
        lost_R = importance_BS[row_R, slot_R] * (1 - related_R) * (choice_R >= 0)
        choices.append(choice_BS)
        damages.append(importance_BS.new_zeros(len(real_BS)).index_add_(0, row_R, lost_R))
    return Views(torch.stack(choices, dim=1), torch.stack(damages, dim=1))


def random_views(
    count: int, share: float, real_BS: torch.Tensor, allowed_BO: torch.Tensor, rng: torch.Generator
) -> torch.Tensor:
    """choice_BVS of views that replace a random share of the slots by random offers: vanilla augmentation."""
    choices = []
    rank_BO = allowed_BO.cumsum(dim=1, dtype=torch.int32)
    for _ in range(count):
        replaced_BS = scatter(share, real_BS, rng)
        row_R, slot_R = replaced_BS.nonzero(as_tuple=True)
        rank_RO = rank_BO[row_R]
        wanted_R = (torch.rand(len(row_R), generator=rng) * rank_RO[:, -1]).int() + 1
        choice_R = torch.searchsorted(rank_RO, wanted_R.unsqueeze(1)).squeeze(1)
        choice_BS = torch.full(real_BS.shape, -1)
        choice_BS[row_R, slot_R] = torch.where(rank_RO[:, -1] > 0, choice_R, -1)
        choices.append(choice_BS)
    return torch.stack(choices, dim=1)
