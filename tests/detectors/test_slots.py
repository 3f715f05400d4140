"""Pieces hold the same events; a background is one foreign, popularity-drawn item per history."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec.data.sequences import Sequences
from siftrec.detectors.slots import Background, others, piece_rows, pieces, replaced

HISTORIES = st.lists(st.lists(st.integers(1, 6), max_size=9), min_size=1, max_size=8)
FEW = settings(max_examples=60, derandomize=True)


def log_of(histories: list[list[int]]) -> Sequences:
    items = np.array([item for history in histories for item in history], np.int32)
    return Sequences.from_items(items, np.array([len(history) for history in histories]))


@FEW
@given(HISTORIES, st.integers(1, 5))
def test_pieces_are_the_same_events_in_even_parts(histories: list[list[int]], length: int) -> None:
    log = log_of(histories)
    cut, row = pieces(log, length), piece_rows(log, length)
    assert cut.items.tolist() == log.items.tolist()
    assert row[cut.owners].tolist() == log.owners.tolist()
    assert len(row) == len(cut)
    for each, history in enumerate(histories):
        parts = cut.lengths[row == each]
        assert len(parts) == max(1, -(-len(history) // length))
        assert parts.max() <= length
        assert parts.max() - parts.min() <= 1


@FEW
@given(HISTORIES)
def test_others_counts_what_could_vouch(histories: list[list[int]]) -> None:
    expected = [sum(other != item for other in history) for history in histories for item in history]
    assert others(log_of(histories)).tolist() == expected


@FEW
@given(HISTORIES, st.integers(0, 30), st.integers(0, 1000))
def test_a_background_history_differs_in_one_place_by_an_item_the_user_never_had(
    histories: list[list[int]], count: int, seed: int
) -> None:
    log = log_of(histories)
    short = pieces(log, 4)
    drawn = replaced(short, log.owners, count, seed)
    assert len(drawn.histories) == len(drawn.slots) == len(drawn.owners) <= count
    sources = Counter(tuple(short[row].tolist()) for row in range(len(short)))
    for row, (slot, owner) in enumerate(zip(drawn.slots, drawn.owners, strict=True)):
        place = slot - drawn.histories.offsets[row]
        there = drawn.histories[row].tolist()
        assert there[place] not in histories[owner]
        assert any(
            len(source) == len(there)
            and [a for i, a in enumerate(source) if i != place] == [a for i, a in enumerate(there) if i != place]
            for source in sources
        )


def test_background_items_are_drawn_by_popularity() -> None:
    rng = np.random.default_rng(3)
    weight = np.arange(1, 201) ** -0.7
    log = Sequences.from_items(1 + rng.choice(200, 40_000, p=weight / weight.sum()), np.full(10_000, 4))
    drawn = replaced(log, log.owners, 20_000, 1)
    seen, expected = (np.bincount(items, minlength=201) / len(items) for items in (drawn_items(drawn), log.items))
    assert abs(seen[:11].sum() - expected[:11].sum()) < 0.05  # popular items are the user's own more often
    assert np.corrcoef(seen, expected)[0, 1] > 0.98
    again, other = replaced(log, log.owners, 20_000, 1), replaced(log, log.owners, 20_000, 2)
    assert drawn_items(again).tolist() == drawn_items(drawn).tolist() != drawn_items(other).tolist()


def test_items_are_drawn_from_users_of_the_same_fold() -> None:
    """Of another fold they would be better known to the model that judges them than what the user did is."""
    rng = np.random.default_rng(4)
    fold = rng.integers(0, 3, 60)
    log = Sequences.from_items(
        (1 + 100 * np.repeat(fold, 5) + rng.integers(0, 50, 300)).astype(np.int32), np.full(60, 5)
    )
    drawn = replaced(log, log.owners, 300, 1, fold[log.owners])
    assert len(drawn.owners) > 250
    assert (drawn_items(drawn) // 100 == fold[drawn.owners]).all()


def drawn_items(background: Background) -> np.ndarray:
    return background.histories.items[background.slots]
