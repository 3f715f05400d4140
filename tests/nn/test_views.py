"""The view engine: what is replaced, by what, and what that destroyed."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec.nn.views import (
    Plan,
    ascending,
    make_views,
    pick,
    plans,
    random_views,
    ranks,
    relatedness,
    scatter,
    select,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def histories(rows: int, slots: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Importance and real slots of rows with random lengths of 3 and more, padded on the left."""
    length = torch.randint(3, slots + 1, (rows, 1), generator=rng(seed))
    real = torch.arange(slots) >= slots - length
    raw = torch.rand(rows, slots, generator=rng(seed + 1)) * real
    return raw / raw.sum(1, keepdim=True), real


@given(st.integers(3, 12), st.floats(0.05, 1.0), st.sampled_from(["positive", "negative"]), st.integers(0, 99))
@settings(max_examples=60)
def test_select_takes_the_stated_share_of_the_right_half(slots, share, side, seed):
    importance, real = histories(20, slots, seed)
    chosen = select(Plan(side, share, (0, 1)), ranks(importance, real), real, rng(seed))
    assert not (chosen & ~real).any()
    for row in range(20):
        count = int(real[row].sum())
        half = count // 2
        assert int(chosen[row].sum()) == math.ceil(share * half - 1e-6)
        values = importance[row][real[row]].sort().values
        if side == "positive":
            assert (importance[row][chosen[row]] <= values[half - 1]).all()
        else:
            assert (importance[row][chosen[row]] >= values[count - half]).all()


def test_every_slot_of_a_half_gets_its_turn():
    importance, real = torch.tensor([[0.1, 0.2, 0.3, 0.4]]), torch.ones(1, 4, dtype=torch.bool)
    turns = sum(select(Plan("positive", 0.5, (0, 1)), ranks(importance, real), real, rng(s)).long() for s in range(40))
    assert turns[0, 0] > 5
    assert turns[0, 1] > 5
    assert turns[0, 2:].sum() == 0


def test_damage_is_the_importance_lost_to_unrelated_substitutes():
    importance, real = histories(30, 9)
    pair = torch.rand(30, 9, 16, generator=rng(3)) * 2 - 1
    made = make_views(plans(0.7, 3), importance, real, pair, torch.ones(30, 16, dtype=torch.bool), rng(4), k=3)
    assert made.choice_BVS.shape == (30, 6, 9)
    for row in range(30):
        for view in range(6):
            replaced = made.choice_BVS[row, view] >= 0
            kept = real[row] & ~replaced
            lost = 0.0
            for slot in replaced.nonzero().flatten().tolist():
                offer = int(made.choice_BVS[row, view, slot])
                user = pair[row, kept, offer].topk(min(3, int(kept.sum()))).values.mean()
                related = (1 + max(pair[row, slot, offer], user)) / 2
                lost += float(importance[row, slot] * (1 - related))
            assert made.damage_BV[row, view].item() == pytest.approx(lost, abs=1e-5)
    assert ((made.damage_BV >= 0) & (made.damage_BV <= 1)).all()


def test_positives_destroy_less_than_negatives():
    """With informative relatedness the two sides are ordered: sentence 3 of the paper in one number."""
    importance, real = histories(200, 10)
    pair = torch.rand(200, 10, 64, generator=rng(3)) * 2 - 1
    made = make_views(plans(0.5, 2), importance, real, pair, torch.ones(200, 64, dtype=torch.bool), rng(4))
    assert made.damage_BV[:, :2].mean() < 0.5 * made.damage_BV[:, 2:].mean()


def test_identical_substitute_destroys_nothing_and_kept_history_neither():
    importance, real = histories(5, 6)
    pair = torch.ones(5, 6, 4)
    made = make_views(plans(1.0, 2), importance, real, pair, torch.ones(5, 4, dtype=torch.bool), rng())
    assert made.damage_BV.abs().max() < 1e-6
    none = make_views(plans(1.0, 2), importance, real, pair, torch.zeros(5, 4, dtype=torch.bool), rng())
    assert (none.choice_BVS == -1).all()
    assert (none.damage_BV == 0).all()


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 12))
@settings(max_examples=60)
def test_pick_stays_within_the_band_and_the_allowed(low, width, allowed_count):
    high = min(1.0, low + width)
    related = torch.rand(200, 12, generator=rng(1))
    allowed = torch.rand(200, 12, generator=rng(2)).argsort(1) < allowed_count
    choice, value = pick(related, allowed, (low, high), rng(3))
    assert allowed[torch.arange(200), choice].all()
    torch.testing.assert_close(value, related[torch.arange(200), choice])
    better = ((related < value[:, None]) & allowed).sum(1)
    assert (better >= math.floor(low * allowed_count - 1e-4) - (low == 1)).all()
    assert (better <= math.ceil(high * allowed_count + 1e-4)).all()


def test_ascending_is_a_stable_sort():
    """A wrong place here would draw substitutes from another band than the plan says."""
    values = torch.rand(300, 17, generator=rng(4)).mul(8).round() / 8
    values[torch.rand(300, 17, generator=rng(5)) < 0.3] = -1.0
    assert torch.equal(ascending(values), values.argsort(dim=1, stable=True))


def test_hardness_moves_bands_and_shares_the_stated_way():
    easy, hard = plans(0.0, 2), plans(1.0, 2)
    assert [plan.side for plan in hard] == ["positive", "positive", "negative", "negative"]
    assert easy[1] == Plan("positive", 0.3, (0.7, 1.0))
    assert hard[1].share == pytest.approx(0.9)
    assert hard[1].band == pytest.approx((0.0, 1.0))
    assert easy[3] == Plan("negative", 0.6, (0.0, 0.3))
    assert hard[3].share == pytest.approx(0.3)
    assert hard[3].band == pytest.approx((0.3, 0.6))


def test_slots_vouch_only_within_their_group():
    """Two modalities: an offer that fits the kept slots of the other modality gets nothing from that."""
    pair = torch.full((1, 4, 1), -1.0)
    pair[0, 2:, 0] = 1.0
    replaced = torch.tensor([[True, False, False, False]])
    real = torch.ones(1, 4, dtype=torch.bool)
    together = relatedness(pair, replaced, real, 1, None)
    apart = relatedness(pair, replaced, real, 1, torch.tensor([0, 0, 1, 1]))
    assert together.item() == pytest.approx(1.0)
    assert apart.item() == pytest.approx(0.0)


def test_padding_changes_nothing():
    """The same slots behind more padding get the same damage for the same choices."""
    importance, real = histories(8, 6)
    pair = torch.rand(8, 6, 10, generator=rng(5)) * 2 - 1
    wider = torch.nn.functional.pad
    allowed = torch.ones(8, 10, dtype=torch.bool)
    everything = [Plan("positive", 1.0, (1.0, 1.0)), Plan("negative", 1.0, (0.0, 0.0))]
    narrow = make_views(everything, importance, real, pair, allowed, rng(1))
    padded = make_views(
        everything, wider(importance, (3, 0)), wider(real, (3, 0)), wider(pair, (0, 0, 3, 0)), allowed, rng(1)
    )
    torch.testing.assert_close(narrow.damage_BV, padded.damage_BV)
    assert padded.choice_BVS[:, :, 3:].equal(narrow.choice_BVS)


def test_random_views_replace_the_stated_share():
    _, real = histories(50, 10)
    choice = random_views(2, 0.3, real, torch.ones(50, 8, dtype=torch.bool), rng())
    assert ((choice >= 0).sum(2) == torch.ceil(0.3 * real.sum(1, keepdim=True) - 1e-6)).all()
    assert not ((choice >= 0) & ~real[:, None]).any()
    assert scatter(0.0, real, rng()).sum() == 0
