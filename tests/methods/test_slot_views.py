"""Contrast over modality slots: what a view holds, which rows get views, and what that must not change."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.content import batch_of, fresh, log, small
from siftrec import seeds
from siftrec.data.loader import Batch
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.contrast import Contrast
from siftrec.methods.demure import Demure
from siftrec.methods.gates import Gated
from siftrec.methods.late import LateFusion
from siftrec.methods.model import SequenceModel
from siftrec.methods.slots import Damage, SlotViews, damaged, drawn_rows, important, offered, slots_of
from siftrec.nn.towers import Seen

LATE = LateFusion(dim=16, length=8, negatives=64)
DAMAGES: tuple[Damage, ...] = ("foreign", "mask", "noise")


def gated_of(model: SequenceModel, batch: Batch) -> Gated:
    gated = model.history(model.local(batch.items_BL, batch.shown_BLM), batch.items_BL, batch.shown_BLM).gated
    assert gated is not None
    return gated


def read(model: SequenceModel, batch: Batch, codes_BML: torch.Tensor) -> Seen:
    gating, local = model.gating, model.local(batch.items_BL, batch.shown_BLM)
    assert gating is not None
    return gating.look(local.parts, local.slot_N, batch.items_BL, codes_BML.transpose(1, 2))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_what_it_says_where_half_the_items_lack_a_modality(damage: Damage) -> None:
    """An offer without the modality would turn `foreign` into `mask`, and its damage would not be known."""
    model, batch = fresh(Demure(base=LATE), small()), batch_of(LATE, log())
    gated = gated_of(model, batch)
    assert not gated.seen.present_BML[batch.items_BL.unsqueeze(1).expand(-1, 2, -1) > 0].all()
    offers = offered(gated.seen, 16, seeds.generator(1, "offers"))
    assert offers.present_MX.all()
    importance_BML = important(gated.weight_BML, gated.seen.present_BML, None)
    slots = slots_of(damage, gated.seen, importance_BML, offers, batch, torch.arange(len(batch)))
    if damage != "foreign":
        assert slots.allowed_BO.all()
        assert slots.pair_BSO.unique().numel() == 1


@pytest.mark.parametrize("base", [LATE, CCL4Rec(dim=16, length=8, negatives=64, contrast=Contrast(warmup=0))])
def test_a_slot_is_as_important_as_its_modality_times_its_interaction_where_the_base_judges_interactions(
    base: LateFusion | CCL4Rec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around CCL4Rec a view that spares what matters must spare it by both judges, not by the gate's alone."""
    method = Demure(base=base, views=SlotViews(row_share=1, contrast=Contrast(warmup=0)))
    seen: list[torch.Tensor] = []
    batch, model = batch_of(base, log()), fresh(method, small()).train()
    monkeypatch.setattr(
        "siftrec.methods.slots.contrast_losses", lambda slots, *rest: seen.append(slots.importance_BS) or {}
    )
    done = method.step(model, batch, seeds.generator(1, "loss"))
    gated = done.history.gated
    assert gated is not None
    rows = (gated.seen.present_BML.any(dim=1).sum(dim=1) >= 3).nonzero().squeeze(1)
    judged_RL = torch.ones(len(rows), batch.items_BL.shape[1]) if done.importance is None else done.importance(rows)
    assert (done.importance is None) == (base is LATE)
    expected = torch.zeros(len(rows), *gated.weight_BML.shape[1:])
    for r, row in enumerate(rows.tolist()):
        there = gated.seen.present_BML[row].any(dim=0)
        for column in there.nonzero().squeeze(1).tolist():
            share = judged_RL[r, column] / judged_RL[r, there].sum()
            expected[r, :, column] = gated.weight_BML[row, :, column] * share
    torch.testing.assert_close(seen[-1], expected.flatten(1))
    torch.testing.assert_close(seen[-1].sum(dim=1), torch.ones(len(rows)))


def test_slots_are_alike_where_the_base_believes_in_no_interaction_that_has_content() -> None:
    present = torch.tensor([[[False, True, True]]])
    found = important(present.float(), present, torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.5, 0.5]]]))
    nothing = important(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3, dtype=torch.bool), None)
    assert not nothing.any()


@pytest.mark.parametrize("damage", DAMAGES)
@torch.no_grad()
def test_a_view_holds_the_clean_content_but_in_the_slots_it_replaced(damage: Damage) -> None:
    """Slot by slot: the wrong offer, or the right one in the wrong slot, would have a damage that nobody computed."""
    model, batch = fresh(Demure(base=LATE), small()), batch_of(LATE, log(shown=True))
    seen, rng = gated_of(model, batch).seen, seeds.generator(1, "view")
    offers = offered(seen, 16, rng)
    choice_BML = torch.randint(-8, 16, seen.codes_BML.shape, generator=rng).clamp_min(-1)
    choice_BML = torch.where(seen.present_BML, choice_BML, -1)
    view = damaged(damage, lambda codes: read(model, batch, codes), seen.codes_BML, offers.codes_MX, choice_BML, rng)
    for place in seen.present_BML.nonzero().tolist():
        at, chosen = tuple(place), int(choice_BML[tuple(place)])
        units, present = seen.units_BMLD[at], damage != "mask" or chosen < 0
        if chosen >= 0 and damage == "foreign":
            units = offers.units_MXD[place[1], chosen]
            assert view.norm_BML[at] == offers.norm_MX[place[1], chosen]
        assert torch.equal(view.units_BMLD[at], units) == (chosen < 0 or damage != "noise")
        assert bool(view.present_BML[at]) == present
        assert float(view.units_BMLD[at].norm()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(view.present_BML & ~seen.present_BML, torch.zeros_like(seen.present_BML))


@settings(max_examples=30)
@given(seed=st.integers(0, 500), count=st.integers(0, 40), share=st.floats(0, 1))
def test_rows_are_drawn_among_the_able_as_many_as_asked_for_and_in_order(seed: int, count: int, share: float) -> None:
    able_B = torch.rand(count, generator=seeds.generator(seed, "able")) < 0.6
    rng = seeds.generator(seed, "rows")
    before = rng.get_state()
    rows = drawn_rows(able_B, share, rng)
    assert able_B[rows].all()
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == math.ceil(share * int(able_B.sum()) - 1e-6)
    assert share < 1 or torch.equal(rng.get_state(), before)


def test_every_row_gets_its_turn() -> None:
    able_B = torch.arange(12) % 3 > 0
    turns_B = torch.zeros(12)
    for seed in range(60):
        turns_B[drawn_rows(able_B, 0.25, seeds.generator(seed, "rows"))] += 1
    assert turns_B[able_B].min() > 5
    assert not turns_B[~able_B].any()


def test_only_the_share_asked_for_is_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The views of all rows cost several times the rest of a step."""
    batch, read_rows = batch_of(LATE, log()), {}
    for share in (0.0, 0.25, 1.0):
        views = SlotViews(offers=8, row_share=share, contrast=Contrast(warmup=0))
        method = Demure(base=LATE, views=views)
        model = fresh(method, small()).train()
        rows: list[int] = []
        encode = model.encoder.forward
        monkeypatch.setattr(
            model.encoder, "forward", lambda *given, n=rows, f=encode: n.append(len(given[0])) or f(*given)
        )
        losses = method.loss(model, batch, seeds.generator(1, "loss"))
        assert ("modality graded" in losses) == (share > 0)
        read_rows[share] = sum(rows[1:])
    able = read_rows[1.0] // 6
    assert read_rows[0.0] == 0
    assert read_rows[0.25] == 6 * math.ceil(able / 4)


def test_a_history_of_late_fusion_is_its_weighted_parts_and_its_ids() -> None:
    """Whether content is the items' own or shown, and with ids or without: the oracle is a loop over modalities."""
    for ids in (True, False):
        base = replace(LATE, ids=ids)
        model, batch = fresh(Demure(base=base), small()), batch_of(base, log(shown=True))
        for shown_BLM in (None, batch.shown_BLM):
            local = model.local(batch.items_BL, batch.shown_BLM)
            history = model.history(local, batch.items_BL, shown_BLM)
            gated = history.gated
            assert gated is not None
            for row, column in (batch.items_BL > 0).nonzero().tolist():
                parts = [gated.weight_BML[row, m, column] * gated.seen.units_BMLD[row, m, column] for m in range(2)]
                expected = torch.cat([*parts, local(batch.items_BL)[row, column, 32:]])
                torch.testing.assert_close(history.vectors_BLD[row, column], expected)
            history.vectors_BLD.sum().backward()
