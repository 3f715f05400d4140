"""What splits promise, on random logs."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from siftrec.data.read import read
from siftrec.data.split import (
    TEST,
    TRAIN,
    VALID,
    Everything,
    LeaveOneOut,
    Predefined,
    everything,
    leave_one_out,
)
from siftrec.data.temporal import TemporalSplit
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError
from siftrec.noise.inject import inject

logs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 50)), min_size=4, max_size=60)


def events_of(log):
    return read(pl.DataFrame(log, schema=["user", "item", "time"], orient="row"))


def by_user(log):
    users = {}
    for user, item, _ in sorted(log, key=lambda event: (event[0], event[2])):
        users.setdefault(user, []).append(item)
    return users


@given(logs)
def test_leave_one_out_asks_for_the_last_and_the_last_but_one(log):
    users = by_user(log)
    asked = {user: items for user, items in users.items() if len(items) >= 3}
    assume(asked)
    split = leave_one_out(events_of(log))
    for part, back in ((split.test, 1), (split.valid, 2)):
        assert part.user_ids.to_list() == sorted(asked)
        for row, items in enumerate(asked[user] for user in sorted(asked)):
            target, history = items[-back], items[:-back]
            assert split.items.decode(part.targets[row]).to_list() == [target]
            assert split.items.decode(part.histories[row]).to_list() == history
            assert split.items.decode(part.seen[row]).to_list() == [item for item in history if item != target]
            assert part.repeats[row] == (target in history)
    expected = [items[:-2] if user in asked else items for user, items in sorted(users.items())]
    assert [split.items.decode(split.train[row]).to_list() for row in range(len(users))] == expected


def test_repeats_are_those_of_the_log_before_noise_was_planted_in_it():
    """A planted copy of the target is no habit of the user's: said so, noise would pass for people who come back."""
    log = [(user, (user + time) % 8, time) for user in range(60) for time in range(4)]
    split = leave_one_out(events_of(log))
    noisy = inject(split, "replace", 0.9, 1).split
    assert any(noisy.test.targets[row][0] in noisy.test.histories[row] for row in range(60))
    assert (split.test.repeated, noisy.test.repeated) == (0, 0)


def temporal(log):
    try:
        return TemporalSplit(test=0.2, valid=0.2)(events_of(log))
    except DataError as error:
        assume("the log is too short" not in str(error))
        raise


@given(logs)
def test_temporal_never_trains_on_what_is_later_than_a_question(log):
    split = temporal(log)
    times = split.log.times
    for earlier, later in ((TRAIN, VALID), (VALID, TEST)):
        assert times[split.role == earlier].max() < times[split.role == later].min()
    for part, role in ((split.valid, VALID), (split.test, TEST)):
        held = times[split.role == role].min()
        assert (part.histories.times < held).all()
        assert (part.histories.lengths > 0).all()
        assert (part.targets.lengths > 0).all()
        for row in range(len(part)):
            assert not set(part.seen[row]) & set(part.targets[row])
            assert set(part.seen[row]) == set(part.histories[row]) - set(part.targets[row])


@given(logs, st.data())
def test_predefined_follows_the_column(log, data):
    cuts = sorted(data.draw(st.tuples(st.integers(0, 50), st.integers(0, 50))))
    names = [("train", "valid", "test")[(time >= cuts[0]) + (time >= cuts[1])] for *_, time in log]
    assume(len(set(names)) == 3)
    frame = pl.DataFrame(log, schema=["user", "item", "time"], orient="row").with_columns(pl.Series("split", names))
    split = Predefined()(read(frame))
    order = sorted(range(len(log)), key=lambda row: (log[row][0], log[row][2]))
    assert split.role.tolist() == [("train", "valid", "test").index(names[row]) for row in order]
    assert split.log.rows.tolist() == order


def test_predefined_refuses_what_cannot_be():
    frame = pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "time": [1, 2, 3], "split": ["test", "train", "valid"]})
    with pytest.raises(DataError, match=r"parts of user 1 are out of order in time: row 1 \(from 0\) is 'train'"):
        Predefined()(read(frame))
    with pytest.raises(DataError, match="has no column 'split'"):
        Predefined()(read(frame.drop("split")))


def test_predefined_orders_equal_times_by_part():
    """Dates of one day say nothing of the order in it; the parts do."""
    rows = [(1, 4, 2, "test"), (1, 3, 2, "valid"), (1, 2, 2, "train"), (1, 1, 1, "train"), (2, 1, 1, "train")]
    split = Predefined()(read(pl.DataFrame(rows, schema=["user", "item", "time", "split"], orient="row")))
    assert split.role.tolist() == [0, 0, 1, 2, 0]
    assert split.log.items.tolist() == [1, 2, 3, 4, 1]
    assert split.log.rows.tolist() == [3, 2, 1, 0, 4]


def test_predefined_needs_no_validation():
    """Who has two parts has nothing to stop early by; a third is not to be made up."""
    frame = pl.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "split": ["train", "test", "train", "train"]})
    split = Predefined()(read(frame))
    assert (len(split.valid), len(split.test)) == (0, 1)
    assert split.train.lengths.tolist() == [1, 2]
    for missing, part in (("train", "training"), ("test", "test")):
        other = frame.with_columns(split=pl.lit("valid" if missing == "train" else "train"))
        other = other.with_columns(split=pl.Series(["valid", "test"] * 2)) if missing == "train" else other
        says = f"leaves no {part} interaction; no row of its column 'split' says so"
        with pytest.raises(DataError, match=says):
            Predefined()(read(other))


@given(logs)
def test_everything_is_trained_on_and_nothing_asked(log):
    events = events_of(log)
    split = everything(events)
    assert split.train.items.tolist() == leave_one_out_log(events)
    assert (len(split.valid), len(split.test)) == (0, 0)
    assert split.fitting.train.fingerprint == split.log.fingerprint
    assert repr(split).endswith("; no valid part, no test part)")
    assert not Everything.leaks_time


def leave_one_out_log(events):
    return Vocab.of(events.items).encode(events.frame["item"]).tolist()


def test_everything_leaves_out_what_was_only_shown_but_for_its_item():
    frame = pl.DataFrame({"user": [1, 1], "item": [1, 2], "label": [1, 0]})
    split = everything(read(frame))
    assert (split.train.items.tolist(), len(split.items)) == ([1], 3)
    with pytest.raises(DataError, match="everything split leaves no training interaction"):
        everything(read(frame.with_columns(label=pl.lit(0))))


@given(logs, st.sampled_from([TemporalSplit(test=0.3, valid=0.3), TemporalSplit(test=0.5, valid=0)]))
def test_a_split_says_how_many_users_it_does_not_ask(log, how):
    """A cut in time asks those alone who were there before it; unsaid, the figures seem to be of everybody."""
    try:
        split = how(events_of(log))
    except DataError as error:
        assume("the log is too short" not in str(error))
        raise
    told = []
    for name, part, role in (("valid", split.valid, VALID), ("test", split.test, TEST)):
        held = {int(owner) for owner in split.log.owners[split.role == role]}
        before = {int(owner) for owner in split.log.owners[split.role < role]}
        assert set(part.users.tolist()) == held & before
        assert part.unasked == part.recode(split.items).unasked == len(held - before)
        new = len(held - before)
        count = f"{len(held & before)} of {len(held)} users ({new} without an earlier interaction)"
        told.append(f"{name} {count if new else f'{len(held)} users'}" if held else f"no {name} part")
        spelled = {"valid": "validation"}.get(name, name)
        assert split.notes.get(f"{spelled} users not asked, without an earlier interaction", 0) == new
        assert part.asks == (count if new else f"{len(part)} users")
    assert repr(split).endswith(f"; {', '.join(told)})")


def test_leave_one_out_asks_everybody_it_holds_something_out_of():
    split = leave_one_out(events_of([(user, item, item) for user in range(3) for item in range(2 + user)]))
    assert repr(split) == ("Split(leave-one-out: 9 interactions of 3 users with 4 items; valid 2 users, test 2 users)")
    assert split.notes == {}


def test_splits_refuse_logs_they_cannot_cut():
    short = read(pl.DataFrame({"user": [1, 1], "item": [1, 2]}))
    with pytest.raises(DataError, match="leave-one-out split leaves no validation interaction; no user has three"):
        LeaveOneOut()(short)
    with pytest.raises(DataError, match="has no clock"):
        TemporalSplit()(short)
    with pytest.raises(DataError, match="leave nothing to train on"):
        TemporalSplit(test=0.6, valid=0.6)(events_of([(1, 1, 1), (1, 2, 2), (1, 3, 3)]))


def test_items_shown_but_not_clicked_are_no_part_of_a_split():
    frame = pl.DataFrame({"user": [1] * 4, "item": [1, 2, 3, 4], "time": [1, 2, 3, 4], "label": [1, 1, 1, 0]})
    split = leave_one_out(read(frame))
    assert split.items.decode(split.test.targets[0]).to_list() == [3]
    assert len(split.log.items) == 3
    assert read(frame).positives().notes["rows shown but not clicked, left out"] == 1
    assert len(split.items) == 5


@given(logs)
def test_the_train_fingerprint_does_not_see_the_test_rows(log):
    users = by_user(log)
    assume(any(len(items) >= 3 for items in users.values()))
    events = events_of(log)
    split = leave_one_out(events)
    other = dataclasses.replace(split, log=dataclasses.replace(split.log, items=_swapped(split)))
    assert other.fingerprint["train"] == split.fingerprint["train"]
    assert other.fingerprint["test"] != split.fingerprint["test"]
    assert not {field.name for field in dataclasses.fields(split.fitting)} & {"test", "log"}


def _swapped(split):
    items, last = split.log.items.copy(), split.role == TEST
    items[last] = items[last] % (len(split.items) - 1) + 1 if len(split.items) > 2 else items[last] + 1
    return items


@given(logs)
def test_noise_changes_neither_targets_nor_filtered_items(log):
    assume(any(len(items) >= 3 for items in by_user(log).values()))
    split = leave_one_out(events_of(log))
    items = split.log.items.copy()
    items[split.role != TEST] = 1
    noisy = split.with_noise(dataclasses.replace(split.log, items=items), split.role)
    assert noisy.test.fingerprint == split.test.fingerprint
    assert (noisy.test.histories.items == 1).all()


def test_recode_keeps_the_meaning_of_codes():
    split = leave_one_out(events_of([(1, item, time) for time, item in enumerate([4, 7, 9, 4])]))
    wider = Vocab.of(pl.Series(range(12)))
    recoded = split.fitting.recode(wider)
    assert wider.decode(recoded.train.items).to_list() == split.items.decode(split.train.items).to_list()
    assert wider.decode(recoded.valid.targets.items).to_list() == [9]
    with pytest.raises(DataError, match="is not in the catalog"):
        split.fitting.recode(Vocab.of(pl.Series([4, 7])))


@given(logs, st.data())
def test_a_weighted_log_asks_the_same_questions_and_another_catalog_others(log, data):
    assume(any(len(items) >= 3 for items in by_user(log).values()))
    events = events_of(log)
    weights = data.draw(st.lists(st.floats(0, 1, width=32), min_size=len(events), max_size=len(events)))
    weighted = dataclasses.replace(events, frame=events.frame.with_columns(pl.Series("weight", weights, pl.Float32)))
    raw, sifted = leave_one_out(events), leave_one_out(weighted)
    assert sifted.fingerprint["test"] == raw.fingerprint["test"]
    assert sifted.fingerprint["train"] != raw.fingerprint["train"]
    renamed = Vocab(raw.items.ids + 100)
    assert raw.test.recode(raw.items).fingerprint == raw.test.fingerprint
    assert dataclasses.replace(raw.test, items=renamed).fingerprint != raw.test.fingerprint


def test_a_part_without_questions_has_a_fingerprint():
    log = [(user, item, 10 * user + item) for user in range(3) for item in range(4)]
    split = TemporalSplit(test=0.3, valid=0.3)(events_of(log))
    assert len(split.test) == 0
    assert split.test.fingerprint == split.test.take(np.array([], dtype=np.int64)).fingerprint


def test_a_split_tells_how_many_rows_were_shown_and_not_clicked() -> None:
    """With a column `label` of something else most of the log was gone, and every figure was of the rest."""
    rows = [(user, item, item + 1, int(item != 2)) for user in range(4) for item in range(40)]
    events = read(pl.DataFrame(rows, schema=["user", "item", "time", "label"], orient="row"))
    for cut in (LeaveOneOut(), TemporalSplit(), Everything()):
        assert cut(events).notes["rows shown but not clicked, left out"] == 4
        assert "rows shown but not clicked, left out" not in cut(events.positives()).notes
