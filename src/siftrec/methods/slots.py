"""Contrast over modality slots: the view engine of CCL4Rec, replacing one modality of an interaction at a time."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.loader import Batch
from siftrec.methods.base import Losses
from siftrec.methods.contrast import Contrast, Slots, Views, contrast_losses
from siftrec.methods.gates import settled
from siftrec.methods.model import SequenceModel, Step
from siftrec.nn.towers import Seen
from siftrec.settings import Fraction, Size, settings

Damage = Literal["foreign", "mask", "noise"]


@settings
class SlotViews:
    """How the modalities of histories are damaged, and what is learned from it.

    Attributes:
        damage: what a replaced modality becomes: the content of another item, nothing, or a random vector of its length.
        count: views per side.
        hardness: κ, how hard the hardest view is.
        offers: interactions of the batch whose content is offered as substitute.
        fewest: rows with fewer interactions that have content are not augmented.
        contrast: losses.
    """

    damage: Damage = "foreign"
    count: Size = 2
    hardness: Fraction = 1.0
    offers: Size = 64
    fewest: Size = 3
    contrast: Contrast = Contrast()


class _Offers(NamedTuple):
    codes_MO: torch.Tensor
    units_MOD: torch.Tensor
    norm_MO: torch.Tensor
    present_MO: torch.Tensor


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
    rows = (gated.seen.present_BML.any(dim=1).sum(dim=1) >= how.fewest).nonzero().squeeze(1)
    if not len(rows):
        return {}
    offers = _offers(gated.seen, batch.items_BL, how.offers, rng)
    seen = Seen(*(each[rows] for each in gated.seen))
    with torch.no_grad():
        slots = _slots(how.damage, seen, gated.weight_BML[rows], offers, batch, rows)

    def encode(choice_BVS: torch.Tensor) -> torch.Tensor:
        size, views, _ = choice_BVS.shape
        at = rows.repeat_interleave(views)
        items_nL = batch.items_BL[at]
        choice_nML = choice_BVS.view(size * views, len(offers.codes_MO), -1)
        viewed = damaged(
            how.damage, Seen(*(each.repeat_interleave(views, 0) for each in seen)), offers, choice_nML, rng
        )
        vectors_nLD = model.fused(done.local, items_nL, viewed, settled(viewed, gated.weight_BML[at]).weight_BML, False)
        trust_nL = model.log_trust(items_nL, batch.user_B[at])
        encoded: torch.Tensor = model.encoder(vectors_nLD, items_nL > 0, rng, trust_nL)
        return encoded.view(size, views, -1)

    plan = Views(neighbours=neighbours, count=how.count)
    found = contrast_losses(slots, done.users_BD[rows], encode, head, (plan, how.contrast), how.hardness, rng)
    return {f"modality {name}": loss for name, loss in found.items()}


def _offers(seen: Seen, items_BL: torch.Tensor, count: int, rng: torch.Generator) -> _Offers:
    row_E, column_E = (items_BL > 0).nonzero(as_tuple=True)
    drawn_O = torch.randint(len(row_E), (count,), generator=rng)
    row_O, column_O = row_E[drawn_O], column_E[drawn_O]
    return _Offers(*(each[row_O, :, column_O].transpose(0, 1) for each in seen))


def _slots(
    damage: Damage, seen: Seen, weight_BML: torch.Tensor, offers: _Offers, batch: Batch, rows: torch.Tensor
) -> Slots:
    """Modality slots, modality by modality: S = M · L."""
    present_BML, count = seen.present_BML, seen.present_BML.any(dim=1).sum(dim=1)
    importance_BML = weight_BML / count.view(-1, 1, 1)
    pair_BMLO = torch.zeros(*present_BML.shape, len(offers.codes_MO[0]))
    if damage == "foreign":
        pair_BMLO = seen.units_BMLD @ offers.units_MOD.transpose(1, 2)
    there_BMLO = present_BML.unsqueeze(3) & offers.present_MO.unsqueeze(1)
    pair_BMLO = pair_BMLO.masked_fill(~there_BMLO | (damage == "mask"), -torch.inf)
    targets_B, user_B = batch.targets_BP[rows, -1], batch.user_B[rows]
    own_BO = (seen.codes_BML.unsqueeze(3) == offers.codes_MO.unsqueeze(1)).flatten(1, 2).any(dim=1)
    own_BO |= (targets_B.view(-1, 1, 1) == offers.codes_MO).any(dim=1)
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


def damaged(damage: Damage, seen: Seen, offers: _Offers, choice_BML: torch.Tensor, rng: torch.Generator) -> Seen:
    """The content of histories with some modality slots replaced.

    Args:
        damage: by what.
        seen: the content.
        offers: substitutes.
        choice_BML: index of the substitute among the offers, -1 where the slot is kept.
        rng: generator.
    """
    replaced_BML = choice_BML >= 0
    if damage == "mask":
        return seen._replace(present_BML=seen.present_BML & ~replaced_BML)
    if damage == "noise":
        drawn = F.normalize(torch.randn(seen.units_BMLD.shape, generator=rng), dim=3)
        return seen._replace(units_BMLD=torch.where(replaced_BML.unsqueeze(3), drawn, seen.units_BMLD))
    modality = torch.arange(choice_BML.shape[1]).unsqueeze(1)
    return Seen(
        *(
            torch.where(replaced_BML.view(*replaced_BML.shape, *[1] * (old.ndim - 3)), each[modality, choice_BML], old)
            for old, each in zip(seen, offers, strict=True)
        )
    )
