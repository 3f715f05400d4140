"""The log: core, window, positives, sequences."""

import collections
import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from siftrec.data.describe import describe
from siftrec.data.interactions import Interactions
from siftrec.data.read import read
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, UsageError

logs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 50)), min_size=1, max_size=60)


def events_of(log):
    return read(pl.DataFrame(log, schema=["user", "item", "time"], orient="row"))


@given(logs, st.randoms())
def test_a_log_made_by_hand_is_put_into_order(log, random):
    """Rows in any other order would give users the items of others."""
    events = events_of(log)
    order = list(range(len(events)))
    random.shuffle(order)
    by_hand = Interactions(events.frame[order], events.time_kind)
    vocab = Vocab(events.items)
    assert by_hand == events
    assert by_hand.sequences(by_hand.users, vocab).fingerprint == events.sequences(events.users, vocab).fingerprint


def test_a_log_made_by_hand_without_a_column_is_refused():
    whole = {"user": ["a"], "item": ["x"], "time": [0], "row": [0]}
    for name in whole:
        with pytest.raises(DataError, match=rf"has no column '{name}'; siftrec\.read makes a log from any table"):
            Interactions(pl.DataFrame(whole).drop(name), "clock")


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


@given(logs, st.integers(1, 4))
def test_core_says_what_it_left_out(log, k):
    kept = core_by_loop(log, k)
    assume(kept)
    lost = {
        "interactions left out by core": len(log) - len(kept),
        "users left out by core": len({user for user, *_ in log}) - len({user for user, *_ in kept}),
        "items left out by core": len({item for _, item, _ in log}) - len({item for _, item, _ in kept}),
    }
    events = events_of(log)
    assert events.core(k).notes == events.notes | {f"{note} {k}": count for note, count in lost.items() if count}
    assert events.core(k).core(k).notes == events.core(k).notes


@pytest.mark.parametrize("k", ["5", 1.5, None, True])
def test_a_core_is_of_a_whole_number(k):
    with pytest.raises(UsageError, match="core: k must be a whole number, not"):
        events_of([("a", "x", 1)]).core(k)


def test_what_a_core_leaves_out_twice_is_added_up():
    """Or a log that was cut in between would seem to have lost only what the second core took."""
    log = [("a", "x", 1), ("a", "y", 2), ("b", "x", 3), ("b", "y", 4), ("c", "x", 5), ("c", "y", 60), ("d", "z", 7)]
    cut = events_of(log).core(2).window(end=dt.datetime.fromtimestamp(9, dt.UTC)).core(2)
    assert cut.notes["interactions left out by core 2"] == 2
    assert cut.notes["users left out by core 2"] == 2


@given(logs, st.integers(0, 50), st.integers(0, 50))
def test_window_is_half_open(log, start, end):
    events = events_of(log)
    times = [dt.datetime.fromtimestamp(second, dt.UTC) for second in (start, end)]
    expected = sorted(row for row, (*_, time) in enumerate(log) if start <= time < end)
    if not expected:
        with pytest.raises(DataError, match="no interaction has a time in"):
            events.window(*times)
        return
    assert events.window(*times).frame["row"].sort().to_list() == expected
    assert events.window().frame.equals(events.frame)


REAL = [(1, item, 888_710_400 + 3600 * item) for item in range(24)]
"""The first of March 1998, every hour."""


@pytest.mark.parametrize(
    "noon",
    [
        "1998-03-01T12:00",
        "1998-03-01 12:00:00Z",
        "1998-03-01T13:00+01:00",
        dt.datetime(1998, 3, 1, 12),
        dt.datetime(1998, 3, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        np.datetime64("1998-03-01T12"),
        pd.Timestamp("1998-03-01 12:00"),
        888_753_600,
        888_753_600.0,
        np.int64(888_753_600),
        888_753_600_000,
        888_753_600_000_000,
        888_753_600_000_000_000,
    ],
    ids=repr,
)
def test_a_window_takes_every_spelling_of_a_time(noon):
    events = events_of(REAL)
    assert events.window(start=noon).frame["item"].to_list() == list(range(12, 24))
    assert events.window(end=noon).frame["item"].to_list() == list(range(12))


@pytest.mark.parametrize("day", ["1998-03-02", dt.date(1998, 3, 2), np.datetime64("1998-03-02"), 19980302])
def test_a_window_takes_days(day):
    assert len(events_of([*REAL, (1, 99, 888_796_800)]).window(start=day)) == 1


@pytest.mark.parametrize("wrong", ["1998", "880000000", "1998-13-01", "March", "", True, [1]])
def test_what_is_no_time_is_refused_in_one_line(wrong):
    with pytest.raises(DataError, match=r"start: .* is no time; ISO 8601 is 1998-03-01"):
        events_of(REAL).window(start=wrong)


def test_a_window_that_holds_nothing_says_what_the_log_holds():
    with pytest.raises(DataError, match=r"the log runs from 1998-03-01T00:00:00\+00:00 to 1998-03-01T23:00:00\+00:00"):
        events_of(REAL).window(start="2005-01-01")
    with pytest.raises(DataError, match="before 1970"):
        events_of(REAL).window(start="1960-01-01")


def test_a_number_that_may_be_in_two_units_is_refused():
    """A time out of the table is in microseconds; as seconds it would keep everything that is to go."""
    events = events_of([(1, item, item) for item in range(9)])
    with pytest.raises(
        DataError, match=r"end: 4000000 may be seconds or microseconds in a log that runs from 1970-01-01"
    ):
        events.window(end=4_000_000)
    assert len(events.window(start=0)) == 9


def test_a_log_without_a_clock_has_positions():
    events = read(pl.DataFrame({"user": [1] * 5, "item": range(5)}))
    assert events.window(1, np.int64(3)).frame["item"].to_list() == [1, 2]
    for wrong in ("1998-03-01", dt.datetime(1998, 3, 1), 1.5):
        with pytest.raises(DataError, match="is no position; the log has no clock, only an order within each user"):
            events.window(start=wrong)
    with pytest.raises(DataError, match=r"no interaction has a time in \[9, None\); the log runs from 0 to 4"):
        events.window(9)


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
