"""Ragged sequences against loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftrec.data.sequences import Sequences

lists = st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=7)


def of(rows) -> Sequences:
    flat = np.array([item for row in rows for item in row], dtype=np.int32)
    return Sequences.from_items(flat, np.array([len(row) for row in rows]))


def as_lists(sequences) -> list[list[int]]:
    return [sequences[row].tolist() for row in range(len(sequences))]


@given(lists)
def test_rows_come_back(rows):
    sequences = of(rows)
    assert as_lists(sequences) == rows
    assert sequences.lengths.tolist() == [len(row) for row in rows]
    assert sequences.owners.tolist() == [number for number, row in enumerate(rows) for _ in row]
    assert sequences.times.tolist() == [position for row in rows for position in range(len(row))]
    assert sequences.counts(10).tolist() == [sum(row.count(item) for row in rows) for item in range(10)]


@given(lists, st.data())
def test_take_is_indexing(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9))
    taken = of(rows).take(np.array(chosen, dtype=np.int64))
    assert as_lists(taken) == [rows[row] for row in chosen]
    assert taken.rows.tolist() == [event for row in chosen for event in _events(rows, row)]


def _events(rows, row):
    start = sum(len(before) for before in rows[:row])
    return range(start, start + len(rows[row]))


@given(lists, st.data())
def test_where_is_filtering(rows, data):
    flat = [item for row in rows for item in row]
    keep = data.draw(st.lists(st.booleans(), min_size=len(flat), max_size=len(flat)))
    left = iter(keep)
    expected = [[item for item in row if next(left)] for row in rows]
    kept = of(rows).where(np.array(keep, dtype=bool))
    assert as_lists(kept) == expected
    assert kept.rows.tolist() == [event for event, one in enumerate(keep) if one]


@given(lists, st.integers(1, 8), st.data())
def test_window_is_the_last_items_padded_on_the_left(rows, length, data):
    asked = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    ends = [data.draw(st.integers(0, len(rows[row]))) for row in asked]
    window = of(rows).window(np.array(asked), np.array(ends), length)
    expected = [([0] * length + rows[row][:end])[-length:] for row, end in zip(asked, ends, strict=True)]
    assert window.tolist() == expected
    assert window.dtype == np.int32


@given(lists)
def test_recode_looks_every_item_up(rows):
    table = np.array([0, 9, 8, 7, 6, 5, 4, 3, 2, 1], dtype=np.int32)
    assert as_lists(of(rows).recode(table)) == [[10 - item for item in row] for row in rows]


@given(lists)
def test_fingerprint_sees_items_and_borders_only(rows):
    sequences = of(rows)
    later = Sequences(sequences.items, sequences.offsets, sequences.times + 5, sequences.rows[::-1])
    assert later.fingerprint == sequences.fingerprint
    assert of([*rows, [1]]).fingerprint != sequences.fingerprint
    assert of([*rows, []]).fingerprint != sequences.fingerprint
    weighted = Sequences(sequences.items, sequences.offsets, sequences.times, sequences.rows, np.ones(len(later.items)))
    assert (weighted.fingerprint != sequences.fingerprint) == (len(sequences.items) > 0)


def test_weights_follow_their_events():
    weights = np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32)
    plain = of([[1, 2], [3, 4]])
    sequences = Sequences(plain.items, plain.offsets, plain.times, plain.rows, weights)
    assert sequences.take(np.array([1])).weights == pytest.approx([0.3, 0.4])
    assert sequences.where(np.array([0, 1, 1, 0], dtype=bool)).weights == pytest.approx([0.2, 0.3])


def test_shown_content_stays_with_its_events_through_selection_windows_and_recoding() -> None:
    shown = np.array([[1, 4], [2, 2], [3, 1], [4, 3], [1, 1]], np.int32)
    rows = replace(Sequences.from_items(np.array([1, 2, 3, 4, 1]), np.array([3, 2])), shown=shown)

    assert shown_of(rows.take(np.array([1, 0]))).tolist() == shown[[3, 4, 0, 1, 2]].tolist()
    assert shown_of(rows.where(np.array([True, False, True, True, False]))).tolist() == shown[[0, 2, 3]].tolist()
    assert shown_of(rows.recode(np.array([0, 9, 8, 7, 6], np.int32))).tolist() == (10 - shown).tolist()
    window = rows.window(np.array([0, 1]), np.array([3, 1]), 2, shown)
    assert window.tolist() == [[[2, 2], [3, 1]], [[0, 0], [4, 3]]]
    assert rows.fingerprint != replace(rows, shown=None).fingerprint


def shown_of(rows: Sequences) -> np.ndarray:
    assert rows.shown is not None
    return rows.shown
