"""Contrast over modality slots: the view engine of CCL4Rec, replacing one modality of an interaction at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.loader import Batch
from siftrec.methods.base import Losses
from siftrec.methods.contrast import Contrast, Slots, Views, contrast_losses, drawn_rows
from siftrec.methods.gates import Drawn, Gating, content_of, settled
from siftrec.methods.model import SequenceModel, Step
from siftrec.nn.towers import Seen
from siftrec.settings import Fraction, Size, settings

Damage = Literal["foreign", "mask", "noise"]
_RELATED = {"mask": -1.0, "noise": 0.0}


@settings
class SlotViews:
    """How the modalities of histories are damaged, and what is learned from it.

    Attributes:
        damage: what a replaced modality becomes: the content of another item, nothing, or a random vector of its length.
        count: views per side.
        hardness: κ, how hard the hardest view is.
        offers: interactions of the batch whose content is offered as substitute.
        fewest: rows with fewer interactions that have content are not augmented.
        row_share: share of the other rows that are augmented, drawn anew at every step. A step's views cost in proportion;
            those of two histories are compared only where both were drawn.
        contrast: losses.
    """

    damage: Damage = "foreign"
    count: Size = 2
    hardness: Fraction = 1.0
    offers: Size = 64
    fewest: Size = 3
    row_share: Fraction = 0.125
    contrast: Contrast = Contrast()


def slot_losses(
    how: SlotViews,
    model: SequenceModel,
    head: nn.Module,
    done: Step,
    batch: Batch,
    neighbours: int,
    rng: torch.Generator,
) -> Losses:
    """The contrastive losses of views in which single modalities of interactions were replaced.

    Args:
        how: settings.
        model: encodes the views.
        head: see `Head`.
        done: what the base computed of the batch.
        batch: the batch.
        neighbours: k of the relatedness to the user.
        rng: generator.
    """
    gated = done.history.gated
    assert gated is not None
    rows = drawn_rows(gated.seen.present_BML.any(dim=1).sum(dim=1) >= how.fewest, how.row_share, rng)
    if not len(rows):
        return {}
    with torch.no_grad():
        offers = offered(gated.seen, how.offers, rng)
        seen = Seen(*(each[rows] for each in gated.seen))
        importance_BML = important(gated.weight_BML[rows], seen.present_BML, done.importance and done.importance(rows))
        slots = slots_of(how.damage, seen, importance_BML, offers, batch, rows)

    def encode(choice_BVS: torch.Tensor) -> torch.Tensor:
        size, views, _ = choice_BVS.shape
        at = rows.repeat_interleave(views)
        items_nL = batch.items_BL[at]
        choice_nML = choice_BVS.view(size * views, len(offers.codes_MX), -1)

        def read(codes_nML: torch.Tensor) -> Seen:
            gating = cast(Gating, model.gating)
            return gating.look(done.local.parts, done.local.slot_N, items_nL, codes_nML.transpose(1, 2))

        viewed = damaged(how.damage, read, gated.seen.codes_BML[at], offers.codes_MX, choice_nML, rng)
        vectors_nLD = model.fused(done.local, items_nL, viewed, settled(viewed, gated.weight_BML[at]).weight_BML, False)
        trust_nL = None if done.log_trust_BL is None else done.log_trust_BL[at]
        encoded: torch.Tensor = model.encoder(vectors_nLD, items_nL > 0, rng, trust_nL)
        return encoded.view(size, views, -1)

    plan = Views(neighbours=neighbours, count=how.count)
    found = contrast_losses(slots, done.users_BD[rows], encode, head, (plan, how.contrast), how.hardness, rng)
    return {f"modality {name}": loss for name, loss in found.items()}


def offered(seen: Seen, count: int, rng: torch.Generator) -> Drawn:
    """Content to replace others by: for each modality that of `count` random interactions which have it."""
    places, length = [], seen.codes_BML.shape[2]
    for present_BL in seen.present_BML.unbind(dim=1):
        having_E = present_BL.flatten().nonzero().squeeze(1)
        # Where no interaction has the modality there is no slot that an offer could go into.
        having_E = having_E if len(having_E) else having_E.new_zeros(1)
        places.append(having_E[torch.randint(len(having_E), (count,), generator=rng)])
    place_MO = torch.stack(places)
    return content_of(seen, place_MO // length, place_MO % length)


def important(weight_BML: torch.Tensor, present_BML: torch.Tensor, base_BL: torch.Tensor | None) -> torch.Tensor:
    """importance_BML of modality slots: γ times the interaction's own, shared among the interactions that have content.

    Args:
        weight_BML: γ.
        present_BML: what is there.
        base_BL: importance of each interaction as the base judges it; None, or nothing where content is: all alike.
    """
    alike_B1L = present_BML.any(dim=1, keepdim=True).float()
    share_B1L = alike_B1L if base_BL is None else alike_B1L * base_BL.unsqueeze(1)
    share_B1L = torch.where(share_B1L.sum(dim=2, keepdim=True) > 0, share_B1L, alike_B1L)
    return weight_BML * share_B1L / share_B1L.sum(dim=2, keepdim=True).clamp_min(torch.finfo(share_B1L.dtype).tiny)


def slots_of(
    damage: Damage, seen: Seen, importance_BML: torch.Tensor, offers: Drawn, batch: Batch, rows: torch.Tensor
) -> Slots:
    """Modality slots, modality by modality: S = M · L."""
    present_BML = seen.present_BML
    targets_B, user_B = batch.targets_BP[rows, -1], batch.user_B[rows]
    pair_BMLO = torch.einsum("bmld,mod->bmlo", seen.units_BMLD, offers.units_MXD)
    own_BO = (seen.codes_BML.unsqueeze(3) == offers.codes_MX.unsqueeze(1)).flatten(1, 2).any(dim=1)
    own_BO |= (targets_B.view(-1, 1, 1) == offers.codes_MX).any(dim=1)
    if damage != "foreign":  # what an offer holds is not looked at
        pair_BMLO, own_BO = torch.full_like(pair_BMLO, _RELATED[damage]), torch.zeros_like(own_BO)
    content_BMD = torch.einsum("bml,bmld->bmd", importance_BML, seen.units_BMLD)
    same_BB = (user_B.unsqueeze(1) == user_B) | (targets_B.unsqueeze(1) == targets_B)
    group_S = torch.arange(present_BML.shape[1]).repeat_interleave(present_BML.shape[2])
    return Slots(
        importance_BML.flatten(1),
        present_BML.flatten(1),
        pair_BMLO.flatten(1, 2),
        ~own_BO,
        content_BMD.flatten(1),
        same_BB,
        group_S,
    )


def damaged(
    damage: Damage,
    read: Callable[[torch.Tensor], Seen],
    codes_BML: torch.Tensor,
    offers_MO: torch.Tensor,
    choice_BML: torch.Tensor,
    rng: torch.Generator,
) -> Seen:
    """The content of histories with some modality slots replaced.

    Args:
        damage: by what.
        read: item codes (B, M, L) whose content stands in the slots → that content.
        codes_BML: those of the clean histories.
        offers_MO: item codes of the substitutes.
        choice_BML: index of the substitute among the offers, -1 where the slot is kept.
        rng: generator.
    """
    replaced_BML = choice_BML >= 0
    if damage == "foreign":
        offered_BML = offers_MO[torch.arange(len(offers_MO)).unsqueeze(1), choice_BML]
        return read(torch.where(replaced_BML, offered_BML, codes_BML))
    seen = read(codes_BML)
    if damage == "mask":
        return seen._replace(present_BML=seen.present_BML & ~replaced_BML)
    drawn = F.normalize(torch.randn(seen.units_BMLD.shape, generator=rng), dim=3)
    return seen._replace(units_BMLD=torch.where(replaced_BML.unsqueeze(3), drawn, seen.units_BMLD))
