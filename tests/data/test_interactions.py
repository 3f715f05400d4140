"""The log: core, window, positives, sequences."""

import collections

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftrec.data.describe import describe
from siftrec.data.read import read
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError

logs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 50)), min_size=1, max_size=60)


def events_of(log):
    return read(pl.DataFrame(log, schema=["user", "item", "time"], orient="row"))


def core_by_loop(log, k):
    while True:
        users = collections.Counter(user for user, *_ in log)
        items = collections.Counter(item for _, item, _ in log)
        kept = [event for event in log if users[event[0]] >= k and items[event[1]] >= k]
        if len(kept) == len(log):
            return kept
        log = kept


@given(logs, st.integers(1, 4))
def test_core_is_the_loop(log, k):
    expected = core_by_loop(log, k)
    if not expected:
        with pytest.raises(DataError, match="no interaction is left after core"):
            events_of(log).core(k)
        return
    events = events_of(log).core(k)
    assert events.frame["row"].sort().to_list() == [row for row, event in enumerate(log) if event in expected]


@given(logs, st.integers(0, 50), st.integers(0, 50))
def test_window_is_half_open(log, start, end):
    events = events_of(log)
    second = 1_000_000
    expected = sorted(row for row, (*_, time) in enumerate(log) if start <= time < end)
    if not expected:
        with pytest.raises(DataError, match="no interaction has a time in"):
            events.window(start * second, end * second)
        return
    assert events.window(start * second, end * second).frame["row"].sort().to_list() == expected
    assert events.window().frame.equals(events.frame)


@given(logs)
def test_sequences_hold_every_event_once_oldest_first(log):
    events = events_of(log)
    sequences = events.sequences(events.users, Vocab.of(events.items))
    assert sorted(sequences.rows.tolist()) == list(range(len(log)))
    users = events.users.to_list()
    for row in range(len(sequences)):
        own = sequences.rows[sequences.offsets[row] : sequences.offsets[row + 1]].tolist()
        expected = [at for at, event in enumerate(log) if event[0] == users[row]]
        assert own == sorted(expected, key=lambda at: (log[at][2], at))


def test_sequences_carry_weights_and_refuse_other_users():
    events = read(pl.DataFrame({"user": [1, 1, 2], "item": [5, 6, 5], "weight": [0.5, 1.0, 0.25]}))
    sequences = events.sequences(events.users, Vocab.of(events.items))
    assert sequences.weights.tolist() == [0.5, 1.0, 0.25]
    with pytest.raises(DataError, match="not those of this log"):
        events.sequences(pl.Series([1]), Vocab.of(events.items))


@given(logs)
def test_description_counts(log):
    report = describe(events_of(log))
    pairs = {(user, item) for user, item, _ in log}
    users, items = len({user for user, *_ in log}), len({item for _, item, _ in log})
    assert (report["users"], report["items"], report["interactions"]) == (users, items, len(log))
    assert report["repeats"] == len(log) - len(pairs)
    assert report["density"] == pytest.approx(len(pairs) / (users * items))
    assert report["history"]["max"] == max(collections.Counter(user for user, *_ in log).values())
    assert report["time"]["first"] == f"1970-01-01T00:00:{min(time for *_, time in log):02d}+00:00"
