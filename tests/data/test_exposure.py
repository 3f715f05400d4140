"""Impressions: what a history may hold, which part an impression is in, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.shown import log
from siftrec.data.exposure import ImpressionSplit, impressions, rated
from siftrec.data.impressions import Impressions
from siftrec.data.loader import ImpressionLoader
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, SettingsError


def told(part: Impressions) -> list[tuple[int, list[int], list[int], list[float]]]:
    """User, history, shown items and labels of each group, by raw ids."""
    rows = []
    for group in range(len(part)):
        user, where = part.users[group], slice(part.shown.offsets[group], part.shown.offsets[group + 1])
        history = part.items.raw(part.clicks[user][: part.ends[group]])
        shown = part.items.raw(part.shown.items[where])
        rows.append((part.user_ids[int(user)], history, shown, part.labels[where].tolist()))
    return rows


def expected(split: ImpressionSplit, events, group: int) -> dict[str, list]:
    """The same by a loop over the log: parts by user and time, histories strictly earlier than all they judge."""
    parts: dict[str, list] = {"train": [], "valid": [], "test": []}
    for (user,), rows in events.frame.sort("user", "time", "row").group_by("user", maintain_order=True):
        events_of = list(rows.select("item", "time", "label").iter_rows())
        cuts = [events_of[-max(round(len(events_of) * share), 1)][1] for share in (0.3, 0.2)]
        of = {
            "train": [e for e in events_of if e[1] < cuts[0]],
            "valid": [e for e in events_of if cuts[0] <= e[1] < cuts[1]],
            "test": [e for e in events_of if e[1] >= cuts[1]],
        }
        for name, mine in of.items():
            size = group if name == "train" else len(mine)
            for start in range(0, len(mine), max(size, 1)):
                chunk = mine[start : start + size]
                history = [item for item, time, label in events_of if label and time < chunk[0][1]]
                parts[name].append((user, history, [e[0] for e in chunk], [float(e[2]) for e in chunk]))
    return parts


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_a_history_holds_clicks_before_all_that_is_judged_from_it_and_nothing_else(seed, group):
    """What was shown beside a click at the same time must not know of it, nor training of later parts."""
    events = log(seed)
    split = impressions(events, group=group)
    loop = expected(split, events, group)
    for name in ("train", "valid", "test"):
        assert told(getattr(split, name)) == loop[name]


@given(st.integers(0, 10_000))
def test_labels_of_the_test_part_reach_neither_training_nor_validation(seed):
    events = log(seed)
    split = impressions(events)
    cut = {user: min(times) for user, times in _times(split.test).items()}
    later = np.array([time >= cut[user] for user, time in events.frame.select("user", "time").iter_rows()])
    flipped = np.where(later, 1 - events.frame["label"].to_numpy(), events.frame["label"].to_numpy()).astype(np.int8)
    other = impressions(replace(events, frame=events.frame.with_columns(label=flipped)))
    for name in ("train", "valid"):
        assert getattr(split, name).fingerprint == getattr(other, name).fingerprint
    assert split.test.fingerprint != other.test.fingerprint


def _times(part: Impressions) -> dict[int, np.ndarray]:
    owners = part.users[part.shown.owners]
    return {part.user_ids[int(u)]: part.shown.times[owners == u] for u in np.unique(owners)}


def test_cut_by_the_clock_or_by_a_column():
    events = log(3, users=40, times=100)
    split = impressions(events, by="time")
    assert split.train.shown.times.max() < split.valid.shown.times.min()
    assert split.valid.shown.times.max() < split.test.shown.times.min()
    named = np.where(events.frame["time"].to_numpy() < 60, "train", "test")
    columned = impressions(replace(events, frame=events.frame.with_columns(split=named)), by="split")
    assert columned.test.shown.times.min() >= 60
    assert columned.valid.shown.times.max() < 60, "where no validation is named, it is cut from training"
    assert len(columned.train.labels) + len(columned.valid.labels) == (named == "train").sum()


def test_named_parts_may_share_a_time_whatever_the_order_of_rows():
    """A log of days whose rows are shuffled would be refused here that `Predefined` reads, and no row says why."""
    rows = {"user": [0] * 5, "item": list("vwxyz"), "time": [1, 1, 2, 2, 3], "row": range(5), "label": [1, 1, 0, 1, 1]}
    frame = pl.DataFrame(rows, schema_overrides={"label": pl.Int8})
    events = replace(log(0), frame=frame.with_columns(split=pl.Series(["train", "train", "test", "valid", "test"])))
    split = impressions(events, by="split")
    assert told(split.valid) == [(0, ["v", "w"], ["y"], [1.0])]
    assert told(split.test) == [(0, ["v", "w"], ["x", "z"], [0.0, 1.0])], "a click of the same time is not yet history"


@pytest.mark.parametrize(
    ("cuts", "names", "shares"),
    [
        ([60], ["train", "test"], {"valid": 0.5, "test": 0.6}),
        ([40, 60], ["train", "valid", "test"], {"valid": 0, "test": 0}),
    ],
)
def test_shares_that_decide_nothing_are_not_judged(cuts, names, shares):
    """A log whose parts are named has none to cut: whoever says so in the shares must not be stopped."""
    events = log(3, users=40, times=100)
    named = np.array(names)[np.digitize(events.frame["time"].to_numpy(), cuts)]
    events = replace(events, frame=events.frame.with_columns(split=named))
    found, usual = impressions(events, by="split", **shares), impressions(events, by="split")
    assert found.test.fingerprint == usual.test.fingerprint


def test_batches_hold_every_impression_once_beside_its_label_and_history():
    part = impressions(log(4), group=3).train
    loader = ImpressionLoader(part, 4, 5, 1)
    seen = []
    for batch in loader.epoch(0):
        for row in range(len(batch)):
            shown = batch.exposed.codes_BC[row] > 0
            codes, labels = batch.exposed.codes_BC[row][shown].tolist(), batch.exposed.labels_BC[row][shown].tolist()
            history = batch.items_BL[row][batch.items_BL[row] > 0].tolist()
            seen.append((int(batch.user_B[row]), history, codes, labels))
            clicked = [code for code, label in zip(codes, labels, strict=True) if label]
            assert batch.targets_BP[row].tolist() == (clicked[-1:] or [0]), "contrast must know what not to draw"
    planned = []
    for group in range(len(part)):
        one = part.take(np.array([group]))
        history = one.clicks[one.users[0]][: one.ends[0]][-4:].tolist()
        planned.append((int(one.users[0]), history, one.shown.items.tolist(), one.labels.tolist()))
    assert sorted(seen) == sorted(planned)
    assert not torch.equal(next(loader.epoch(0)).items_BL, next(loader.epoch(1)).items_BL)


def test_another_catalog_s_codes_mean_the_same():
    part = impressions(log(5)).test
    moved = part.recode(Vocab(pl.Series(range(-3, 12))))
    assert told(moved) == told(part)
    with pytest.raises(DataError, match="not in the catalog"):
        part.recode(Vocab(pl.Series([1, 2])))


def test_ratings_become_impressions():
    events = log(6)
    stars = replace(events, frame=events.frame.drop("label").with_columns(rating=pl.Series([3.5, 4.0, 5.0] * 24)))
    assert rated(stars).frame["label"].to_list() == [0, 1, 1] * 24
    with pytest.raises(DataError, match="rating"):
        rated(events)


def test_what_cannot_be_cut_is_refused():
    events, mixed = log(7), pl.Series(["test", "train"] * 36)
    half = np.where(events.frame["time"] < events.frame["time"].median(), "train", "test")
    halves = events.frame.with_columns(split=half)
    cases = [
        (DataError, "label", {}, events.frame.drop("label"), "clock"),
        (DataError, "'weight', which training", {}, events.frame.with_columns(weight=0.5), "clock"),
        (DataError, "clock", {"by": "time"}, events.frame, "order"),
        (DataError, "split", {"by": "split"}, events.frame, "clock"),
        (DataError, "out of order", {"by": "split"}, events.frame.with_columns(split=mixed), "clock"),
        (DataError, "holdout", {"by": "split"}, events.frame.with_columns(split=pl.lit("holdout")), "clock"),
        (DataError, "no test", {"by": "split"}, events.frame.with_columns(split=pl.lit("train")), "clock"),
        (SettingsError, "nothing to train", {"test": 0.9, "valid": 0.1}, events.frame, "clock"),
        (SettingsError, "nothing to train", {"valid": 0}, events.frame, "clock"),
        (SettingsError, r"split\.valid: 0\.0 leaves", {"by": "split", "valid": 0}, halves, "clock"),
        (SettingsError, r"split\.valid: 1\.0 leaves", {"by": "split", "valid": 1}, halves, "clock"),
        (SettingsError, "group", {"group": 0}, events.frame, "clock"),
    ]  # fmt: skip
    for error, words, options, frame, kind in cases:
        with pytest.raises(error, match=words):
            impressions(replace(events, frame=frame, time_kind=kind), **options)
