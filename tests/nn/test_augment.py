"""Operators on histories: what each changes, and what it must leave alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec.nn.augment import MASK, anywhere, closed, crop, insert, lowest, mask, reorder, shuffled, substitute, two_of

SHARE = st.floats(0, 1)
SEED = st.integers(0, 999)
OFTEN = settings(max_examples=60)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def histories(seed: int, rows: int = 12, width: int = 9) -> torch.Tensor:
    """Rows of 0 to `width` distinct items below 100, padded on the left; one row is full, one empty."""
    length = torch.randint(0, width + 1, (rows, 1), generator=rng(seed))
    length[0], length[1] = width, 0
    items = torch.stack([torch.randperm(99, generator=rng(seed + row + 1))[:width] + 1 for row in range(rows)])
    return items * (torch.arange(width) >= width - length)


def plain(view: torch.Tensor) -> list[int]:
    """The codes of one view, whose padding must all be on the left."""
    codes = view.tolist()
    found = [code for code in codes if code]
    assert codes == [0] * (len(codes) - len(found)) + found
    return found


def whole(share: float, count: int) -> int:
    return int(share * count + 1e-6)


@given(SHARE, SEED)
@OFTEN
def test_a_crop_is_a_stretch_of_the_stated_length(share, seed):
    items = histories(seed)
    for before, after in zip(items, crop(items, share, rng(seed)), strict=True):
        left, kept = plain(before), plain(after)
        assert len(kept) == (max(1, whole(share, len(left))) if left else 0)
        assert any(left[start : start + len(kept)] == kept for start in range(len(left) + 1))


@given(SHARE, SEED)
@OFTEN
def test_a_mask_hides_the_stated_number_and_moves_nothing(share, seed):
    items = histories(seed)
    masked = mask(items, share, rng(seed))
    assert torch.equal(masked.where(masked != MASK, items), items)
    assert (masked == MASK).sum(dim=1).tolist() == [whole(share, len(plain(row))) for row in items]


@given(SHARE, SEED)
@OFTEN
def test_a_reordering_keeps_every_item_and_moves_them_within_one_stretch(share, seed):
    items = histories(seed)
    moved = reorder(items, share, rng(seed))
    assert torch.equal(moved.sort(dim=1).values, items.sort(dim=1).values)
    for before, after in zip(items, moved, strict=True):
        apart = (before != after).nonzero().flatten().tolist()
        assert not apart or apart[-1] - apart[0] < whole(share, len(plain(before)))


@given(SHARE, SEED)
@OFTEN
def test_substitutes_are_the_similar_items_and_only_where_there_is_one(share, seed):
    items, similar = histories(seed), torch.arange(100) + 100
    similar[::7] = 0
    made = substitute(items, similar, share, rng(seed))
    for before, after in zip(items.tolist(), made.tolist(), strict=True):
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert all(old > 0 and new == similar[old] for old, new in changed)
        count = sum(code > 0 for code in before)
        most = max(1, whole(share, count)) if count else 0
        assert len(changed) <= most
        assert len(changed) == most or any(code and code % 7 == 0 for code in before)


@given(SHARE, SEED, st.integers(1, 20))
@OFTEN
def test_insertions_come_before_the_items_they_are_similar_to(share, seed, length):
    items, similar = histories(seed), torch.arange(100) + 100
    made = insert(items, similar, share, length, rng(seed))
    assert made.shape[1] == min(2 * items.shape[1], length)
    for before, after in zip(items, made, strict=True):
        left, longer = plain(before), plain(after)
        own = [code for code in longer if code < 100]
        assert own == left[len(left) - len(own) :]
        assert all(nxt == code - 100 for code, nxt in itertools.pairwise(longer) if code >= 100)
        full = len(left) + (max(1, whole(share, len(left))) if left else 0)
        assert len(longer) == min(full, length)


def test_where_things_happen_is_left_to_chance():
    """Were one place favoured, the encoder would learn the operator and not the user."""
    items = (torch.arange(6) + 1).repeat(6000, 1)
    starts = torch.bincount(crop(items, 0.5, rng()).max(dim=1).values, minlength=7)[3:]
    assert starts.tolist() == pytest.approx([1500] * 4, abs=150)
    masked = (mask(items, 0.5, rng()) == MASK).sum(dim=0)
    assert masked.tolist() == pytest.approx([3000] * 6, abs=200)
    first = torch.bincount(reorder(items, 1.0, rng())[:, 0], minlength=7)[1:]
    assert first.tolist() == pytest.approx([1000] * 6, abs=150)


def test_the_lowest_are_chosen_and_the_others_keep_their_places():
    values = torch.tensor([[9.0, 0.3, 0.1, 0.2, 0.4]])
    real = torch.tensor([[False, True, True, True, True]])
    low = lowest(values, real, torch.tensor([[2]]))
    assert low.tolist() == [[False, False, True, True, False]]
    assert lowest(values, real, torch.tensor([[9]])).tolist() == real.tolist()
    seen = {tuple(shuffled(torch.tensor([[0, 5, 6, 7, 8]]), low, rng(seed))[0].tolist()) for seed in range(20)}
    assert seen == {(0, 5, 6, 7, 8), (0, 5, 7, 6, 8)}


def test_closing_keeps_the_order():
    assert closed(torch.tensor([[3, 0, MASK, 0, 2]])).tolist() == [[0, 0, 3, MASK, 2]]
    assert anywhere(torch.zeros(2, 4, dtype=torch.bool), torch.ones(2, 1), rng()).sum() == 0


def test_two_views_come_from_two_operators_all_pairs_alike():
    made = [torch.full((9000, width), code) for code, width in ((1, 4), (2, 6), (3, 4))]
    left, right = two_of(made, rng())
    assert left.shape == right.shape == (9000, 6)
    assert left[left[:, -1] != 2][:, :2].eq(0).all()
    pairs = torch.bincount(left[:, -1] * 3 + right[:, -1] - 4, minlength=9).view(3, 3)
    assert pairs.diagonal().tolist() == [0, 0, 0]
    assert pairs[pairs > 0].tolist() == pytest.approx([1500] * 6, abs=150)


def test_only_allowed_operators_are_drawn():
    made = [torch.full((50, 3), code) for code in (1, 2, 3)]
    allowed = torch.ones(50, 3, dtype=torch.bool)
    allowed[:25, 0] = False
    left, right = two_of(made, rng(), allowed)
    assert {1} & set(torch.cat([left, right])[:, 0].tolist())
    assert {*left[:25, 0].tolist(), *right[:25, 0].tolist()} == {2, 3}
