"""Contrastive losses: between users, between a user and graded views, and between the views themselves.

Similarities s are inner products of unit vectors. Damages, masks and strengths carry no gradient.
"""

from __future__ import annotations

from typing import Literal

import torch

from siftrec.nn.shares import shares

Strength = Literal["quality", "distance", "both", "equal"]
Pulling = Literal["pull", "push"]


def strengths(
    damage_BV: torch.Tensor,
    similar_BV: torch.Tensor,
    made_BV: torch.Tensor,
    mode: Strength,
    action: Pulling,
    temperature: float,
) -> torch.Tensor:
    """w_BV: how strongly each view is pulled or pushed; each row's surviving views sum to their number.

    Args:
        damage_BV: δ of each view.
        similar_BV: s of each view.
        made_BV: views that survive.
        mode: `quality`: pull the least damaged, push the most damaged; `distance`: pull far positives, push near
            negatives; `both`: the two added; `equal`: 1.
        action: `pull` (positives) or `push` (negatives).
        temperature: τ_w; → ∞ equals `equal`.
    """
    sign = -1.0 if action == "pull" else 1.0
    quality, distance = sign * damage_BV, (1 - similar_BV if action == "pull" else similar_BV)
    logits = {
        "quality": quality,
        "distance": distance,
        "both": quality + distance,
        "equal": torch.zeros_like(damage_BV),
    }[mode].detach()
    return shares(logits / temperature, made_BV) * made_BV.sum(dim=1, keepdim=True)


def info_nce(
    left_BD: torch.Tensor, right_BD: torch.Tensor, negative_BB: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Symmetric InfoNCE: each row's two views find each other among the batch (van den Oord et al. 2018).

    −(1/B) Σ_i ½ [log softmax over j ∈ {i} ∪ {j: negative_ij} of left_i · right_j / τ, at j = i
                + log softmax over j ∈ {i} ∪ {j: negative_ji} of left_j · right_i / τ, at j = i]

    Both directions read one matrix, left to right along its rows, right to left down its columns. Where `negative_BB` is
    not symmetric, the second view of i is therefore set against the rows that count i as a negative of theirs, not
    against those that count as negatives of i.

    Args:
        left_BD: unit vectors of the first views.
        right_BD: unit vectors of the second views.
        negative_BB: pairs (row of the first view, row of the second) that count as negatives; the diagonal is the
            positive.
        temperature: τ.
    """
    if len(left_BD) == 0:
        return left_BD.sum()
    own = torch.eye(len(left_BD), dtype=torch.bool)
    logits_BB = (left_BD @ right_BD.T / temperature).masked_fill(~(negative_BB | own), -torch.inf)
    rows, columns = logits_BB.logsumexp(dim=1), logits_BB.logsumexp(dim=0)
    return (0.5 * (rows + columns) - logits_BB.diagonal()).mean()


def one_class(members_BD: torch.Tensor, others_RD: torch.Tensor, temperature: float) -> torch.Tensor:
    """Each member finds every other one among the members and the others (Khosla et al. 2020, with one class).

    −(1/B) Σ_i (1/(B − 1)) Σ_{j≠i} log( e^{s_ij/τ} / (Σ_{k≠i} e^{s_ik/τ} + Σ_r e^{s_ir/τ}) ); 0 for fewer than two members.

    Args:
        members_BD: unit vectors.
        others_RD: unit vectors that do not belong.
        temperature: τ.
    """
    if len(members_BD) < 2:
        return members_BD.sum() * 0
    own = torch.eye(len(members_BD), dtype=torch.bool)
    members_BB = members_BD @ members_BD.T / temperature
    others_BR = members_BD @ others_RD.T / temperature
    mass_B = torch.cat([members_BB.masked_fill(own, -torch.inf), others_BR], dim=1).logsumexp(dim=1)
    return (mass_B - members_BB.masked_fill(own, 0.0).sum(dim=1) / (len(members_BD) - 1)).mean()


def graded(
    positive_BV: torch.Tensor,
    negative_BV: torch.Tensor,
    pull_BV: torch.Tensor,
    push_BV: torch.Tensor,
    others_BB: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Graded contrast: each positive against the row's own graded negatives and the other users.

    −(1/V) Σ_v w⁺_v log( e^{s_v/τ} / ( e^{s_v/τ} + Σ_n w⁻_n e^{s_n/τ} + Σ_{u'} e^{⟨z_u, z_u'⟩/τ} ) ), mean over rows that
    have a positive; 0 if none has.

    Args:
        positive_BV: s of the positives.
        negative_BV: s of the negatives.
        pull_BV: w⁺, 0 where a positive was dropped.
        push_BV: w⁻, 0 where a negative was dropped.
        others_BB: ⟨z_u, z_u'⟩, -inf where u' must not count.
        temperature: τ.
    """
    pushed_BV = negative_BV / temperature + torch.where(push_BV > 0, push_BV, 1).log()
    pushed_BV = pushed_BV.masked_fill(push_BV <= 0, -torch.inf)
    rest_B = torch.cat([pushed_BV, others_BB / temperature], dim=1).logsumexp(dim=1)
    pulled_BV = positive_BV / temperature
    each_BV = torch.logaddexp(pulled_BV, rest_B.unsqueeze(1)) - pulled_BV
    count_B = (pull_BV > 0).sum(dim=1)
    loss_B = (pull_BV * each_BV).sum(dim=1) / count_B.clamp_min(1)
    return loss_B.sum() / (count_B > 0).sum().clamp_min(1)


def contrast_over_contrast(
    similar_BV: torch.Tensor, damage_BV: torch.Tensor, made_BV: torch.Tensor, margin: float, least_gap: float = 0.01
) -> torch.Tensor:
    """Within one side, the better view must be closer, by a margin that grows with the quality gap.

    Mean over pairs with δ_j − δ_i > least_gap of max(0, margin·(δ_j − δ_i) − (s_i − s_j)); 0 if there is no pair.

    Args:
        similar_BV: s of the views of one side.
        damage_BV: their δ.
        made_BV: views that survive.
        margin: c.
        least_gap: smaller quality gaps do not count.
    """
    gap_BVV = damage_BV.unsqueeze(1) - damage_BV.unsqueeze(2)
    closer_BVV = similar_BV.unsqueeze(2) - similar_BV.unsqueeze(1)
    counted = (gap_BVV > least_gap) & made_BV.unsqueeze(1) & made_BV.unsqueeze(2)
    hinge = torch.relu(margin * gap_BVV - closer_BVV) * counted
    return hinge.sum() / counted.sum().clamp_min(1)


def false_negative_mask(content_BG: torch.Tensor, same_BB: torch.Tensor, share: float) -> torch.Tensor:
    """negative_BB: which other rows count as negatives of a row.

    Left out: the row itself, rows known to want the same (`same_BB`), and each row's closest ⌈share·(B − 1)⌉ others by
    content. Being among the closest is not mutual, so the mask is not symmetric: row i holds what i's own list leaves
    in, column i the rows whose lists leave i in (see `info_nce`, which reads both).

    Args:
        content_BG: importance-weighted content of each history.
        same_BB: same user or same target.
        share: of the batch that is taken for false negatives.
    """
    size = len(content_BG)
    own = torch.eye(size, dtype=torch.bool)
    negative_BB = ~(same_BB | own)
    count = min(size - 1, -int(-share * (size - 1) // 1))
    if count > 0:
        unit = torch.nn.functional.normalize(content_BG, dim=1)
        near = (unit @ unit.T).masked_fill_(own, -torch.inf).topk(count, dim=1).indices
        negative_BB.scatter_(1, near, False)
    return negative_BB
