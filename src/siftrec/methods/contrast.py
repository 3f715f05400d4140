"""Hardness-aware views and contrast over contrast around any encoder: settings, state, and one loss.

Methods bring slots, a geometry and a way to encode views; everything else of METHOD §2 (views, strengths, the three
losses) happens here, once. CCL4Rec (arXiv 2208.08024) publishes the ideas, not these formulas: see docs/methods/ccl4rec.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.nn.losses.contrast import (
    Strength,
    contrast_over_contrast,
    false_negative_mask,
    graded,
    info_nce,
    strengths,
)
from siftrec.nn.views import make_views, plans, random_views
from siftrec.settings import Count, Fraction, Rate, Size, Weight, settings

Projection = Literal["none", "mlp"]
Importance = Literal[
    "agreement", "likelihood", "cooccurrence", "blend", "mean_agreement", "target", "attention", "random", "oracle"
]


@settings
class Views:
    """How histories are augmented.

    Attributes:
        importance: how the importance of slots is judged: `agreement` by content and learned vectors; `likelihood`,
            `cooccurrence` and `blend` by that part of the detector of `denoise`; the others are ablations. `oracle` (tests)
            takes the log's own `weight` column for the truth.
        neighbours: k, how many of the most similar other interactions vouch for one.
        learned: weight, between 0 and 1, of the learned item vectors in the geometry after warm-up.
        sharpness: inverse temperature of the softmax that turns calibrated scores into importance.
        count: views per side.
        hardness: κ, how hard the hardest view is.
        ramp: epochs over which κ grows from 0; 0 = at once.
        offers: substitutes offered per step.
        queue: size of the memory queue of recent items from which offers come.
        random_share: share of slots replaced by the two views of the vanilla contrast.
        fewest: rows with fewer distinct items are not augmented.
        row_share: share of the other rows that are augmented, drawn anew at every step. A step's views cost in proportion;
            those of two histories are compared only where both were drawn.
        most_positive_damage: positives that lost more are dropped.
        least_negative_damage: negatives that lost less are dropped.
    """

    importance: Importance = "agreement"
    neighbours: Size = 3
    learned: Fraction = 0.5
    sharpness: Rate = 2.0
    count: Size = 2
    hardness: Fraction = 1.0
    ramp: Count = 0
    offers: Size = 64
    queue: Size = 4096
    random_share: Fraction = 0.3
    fewest: Size = 3
    row_share: Fraction = 1.0
    most_positive_damage: Fraction = 0.3
    least_negative_damage: Fraction = 0.05


@settings
class Contrast:
    """Which contrastive losses are used, and how strongly.

    Attributes:
        vanilla: λ of the contrast between two random views.
        graded: λ of the contrast with graded views.
        over: λ of contrast over contrast.
        temperature: τ of all similarities.
        strength: what decides how strongly views are pulled and pushed.
        strength_temperature: τ_w.
        margin: c, the margin per unit of quality gap.
        false_negatives: share of the batch's closest histories that are not used as negatives.
        warmup: epochs of next-item loss alone.
        projection: whether similarities are taken between user vectors themselves or behind a small network, which can
            learn the invariances in the user vectors' stead.
    """

    vanilla: Weight = 0.01
    graded: Weight = 0.02
    over: Weight = 0.05
    temperature: Rate = 0.2
    strength: Strength = "quality"
    strength_temperature: Rate = 0.1
    margin: Weight = 1.0
    false_negatives: Fraction = 0.02
    warmup: Count = 1
    projection: Projection = "none"

    @property
    def on(self) -> bool:
        """Whether any contrast is used at all."""
        return self.vanilla + self.graded + self.over > 0


class Slots(NamedTuple):
    """The histories of one batch as the view engine sees them.

    Attributes:
        importance_BS: π.
        real_BS: slots that exist.
        pair_BSO: cosine of each slot to each offer; -inf where they cannot be compared.
        allowed_BO: offers that may enter each history.
        content_BG: importance-weighted content of each history.
        same_BB: pairs of rows that share the user or the target.
        group_S: slots vouch only within their group; None = one group.
    """

    importance_BS: torch.Tensor
    real_BS: torch.Tensor
    pair_BSO: torch.Tensor
    allowed_BO: torch.Tensor
    content_BG: torch.Tensor
    same_BB: torch.Tensor
    group_S: torch.Tensor | None = None


class Head(nn.Module):
    """What the losses compare: unit user vectors, or unit outputs of a small network on them."""

    def __init__(self, dim: int, projection: Projection) -> None:
        super().__init__()
        network = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.layers = network if projection == "mlp" else nn.Identity()

    def forward(self, users_D: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.layers(users_D), dim=-1)


def contrast_losses(
    slots: Slots,
    users_BD: torch.Tensor,
    encode: Callable[[torch.Tensor], torch.Tensor],
    head: nn.Module,
    settings: tuple[Views, Contrast],
    hardness: float,
    rng: torch.Generator,
) -> dict[str, torch.Tensor]:
    """The named contrastive losses of a batch, already weighted by their λ.

    Args:
        slots: what can be replaced, and by what.
        users_BD: encoded clean histories.
        encode: choice_BVS (index of the offer, -1 = kept) → users_BVD of those views.
        head: projection.
        settings: views and contrast.
        hardness: κ of this epoch.
        rng: generator.
    """
    views, contrast = settings
    random = 2 if contrast.vanilla else 0
    chosen, damage_BV = [], slots.importance_BS.new_zeros(len(users_BD), 0)
    if random:
        chosen.append(random_views(random, views.random_share, slots.real_BS, slots.allowed_BO, rng))
    if contrast.graded or contrast.over:
        made = make_views(plans(hardness, views.count), *slots[:4], rng, views.neighbours, slots.group_S)
        chosen.append(made.choice_BVS)
        damage_BV = made.damage_BV
    z_BVD = head(encode(torch.cat(chosen, dim=1)))
    z_BD = head(users_BD)
    negative_BB = false_negative_mask(slots.content_BG, slots.same_BB, contrast.false_negatives)
    losses: dict[str, torch.Tensor] = {}
    if contrast.vanilla:
        losses["vanilla"] = contrast.vanilla * info_nce(z_BVD[:, 0], z_BVD[:, 1], negative_BB, contrast.temperature)
    if contrast.graded or contrast.over:
        similar_BV = (z_BVD[:, random:] * z_BD.unsqueeze(1)).sum(dim=2)
        losses |= _graded_losses(similar_BV, damage_BV, z_BD @ z_BD.T, negative_BB, views, contrast)
    return losses


def drawn_rows(able_B: torch.Tensor, share: float, rng: torch.Generator) -> torch.Tensor:
    """Rows that are able, in order: a random `share` of them, rounded up; nothing is drawn where it is all of them."""
    rows = able_B.nonzero().squeeze(1)
    if share == 1:
        return rows
    chosen = torch.randperm(len(rows), generator=rng)[: math.ceil(share * len(rows) - 1e-6)]
    return rows[chosen.sort().values]


def _graded_losses(
    similar_BV: torch.Tensor,
    damage_BV: torch.Tensor,
    users_BB: torch.Tensor,
    negative_BB: torch.Tensor,
    views: Views,
    contrast: Contrast,
) -> dict[str, torch.Tensor]:
    near_BV, far_BV = similar_BV[:, : views.count], similar_BV[:, views.count :]
    little_BV, much_BV = damage_BV[:, : views.count], damage_BV[:, views.count :]
    good_BV = little_BV <= views.most_positive_damage
    bad_BV = much_BV >= views.least_negative_damage
    losses: dict[str, torch.Tensor] = {}
    if contrast.graded:
        by = (contrast.strength, contrast.strength_temperature)
        pull_BV = strengths(little_BV, near_BV, good_BV, by[0], "pull", by[1])
        push_BV = strengths(much_BV, far_BV, bad_BV, by[0], "push", by[1])
        others_BB = users_BB.masked_fill(~negative_BB, -torch.inf)
        part = graded(near_BV, far_BV, pull_BV, push_BV, others_BB, contrast.temperature)
        losses["graded"] = contrast.graded * part
    if contrast.over:
        pulled = contrast_over_contrast(near_BV, little_BV, good_BV, contrast.margin)
        pushed = contrast_over_contrast(far_BV, much_BV, bad_BV, contrast.margin)
        losses["over"] = contrast.over * (pulled + pushed)
    return losses
