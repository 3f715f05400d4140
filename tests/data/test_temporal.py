"""Cuts in time: by shares, as in test_split, and at dates."""

import datetime as dt
import tomllib
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest

from siftrec.data.read import read
from siftrec.data.split import TEST, TRAIN, VALID
from siftrec.data.temporal import TemporalSplit
from siftrec.errors import DataError, SettingsError
from siftrec.settings import build, describe, toml_lines

MARCH = 888_710_400
"""The first of March 1998, in seconds."""
HOUR = 3600


@pytest.fixture(scope="module")
def events():
    """Three users, an interaction each hour of the four days from the 27th of February on."""
    rows = [(hour % 3, hour % 7, MARCH + (hour - 48) * HOUR) for hour in range(96)]
    return read(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"))


def roles(split):
    """Hours since the first of March → part."""
    hours = (split.log.times // 1_000_000 - MARCH) // HOUR
    return {int(hour): int(role) for hour, role in zip(hours, split.role, strict=True)}


@pytest.mark.parametrize(
    "at",
    [
        "1998-03-01",
        "1998-03-01T01:00+01:00",
        "1998-02-28 19:00:00-05:00",
        dt.date(1998, 3, 1),
        dt.datetime(1998, 3, 1),
        dt.datetime(1998, 3, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        np.datetime64("1998-03-01"),
        pd.Timestamp("1998-03-01"),
    ],
    ids=repr,
)
def test_the_test_part_begins_at_a_date_however_it_is_spelled(events, at):
    found = roles(TemporalSplit(at=at, valid_at="1998-02-28")(events))
    assert found == {hour: TRAIN if hour < -24 else VALID if hour < 0 else TEST for hour in range(-48, 48)}


def test_before_a_date_a_share_is_validated_on(events):
    assert [roles(TemporalSplit(at="1998-03-01")(events))[hour] for hour in (-48, -6, -5, -1, 0)] == [0, 0, 1, 1, 2]
    quarter = TemporalSplit(at="1998-03-01", valid=0.25)(events)
    assert sum(role == VALID for role in roles(quarter).values()) == 12


@pytest.mark.parametrize("how", [{"at": "1998-03-01", "valid": 0}, {"valid": 0}])
def test_without_validation_all_that_is_earlier_is_trained_on(events, how):
    split = TemporalSplit(**how)(events)
    times = split.log.times
    assert not len(split.valid)
    assert times[split.role == TRAIN].max() + HOUR * 1_000_000 == times[split.role == TEST].min()
    assert len(split.train.items) + int((split.role == TEST).sum()) == len(times)


@pytest.mark.parametrize(
    ("how", "key", "problem"),
    [
        ({"at": "1998-03-01", "test": 0.2}, "test", "0.2 and at = '1998-03-01' both say where the test part begins"),
        ({"at": "1998-03-01", "valid": 0.2, "valid_at": "1998-02-01"}, "valid", "both say where validation begins"),
        ({"valid_at": "1998-02-01"}, "valid_at", "needs at, where the test part begins"),
        ({"at": "1998-03-01", "valid_at": "1998-03-01"}, "valid_at", "is not before at = '1998-03-01'"),
        ({"at": "1998"}, "at", "must be an ISO 8601 day or time from 1970 to 2100, e.g. '1998-03-01'"),
        ({"at": 888_710_400}, "at", "must be an ISO 8601 day or time"),
        ({"at": np.int64(888_710_400)}, "at", "must be an ISO 8601 day or time"),
        ({"at": True}, "at", "must be an ISO 8601 day or time"),
        ({"at": "1960-01-01"}, "at", "must be an ISO 8601 day or time"),
        ({"at": pd.NaT}, "at", "must be an ISO 8601 day or time"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_by_key(how, key, problem):
    with pytest.raises(SettingsError) as caught:
        TemporalSplit(**how)
    assert caught.value.path == f"TemporalSplit.{key}"
    assert problem in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        build({"use": "siftrec:TemporalSplit", **how}, "split")
    assert caught.value.path == f"split.{key}"


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"test": 0.3},
        {"valid": 0.0},
        {"at": "1998-03-01"},
        {"at": dt.datetime(1998, 3, 1, 12, tzinfo=dt.UTC), "valid_at": dt.date(1998, 2, 1)},
    ],
)
def test_settings_survive_toml_and_say_every_default(how):
    split = TemporalSplit(**how)
    table = tomllib.loads("\n".join(toml_lines(describe(split))))
    assert build(table, "split") == split
    assert set(table) == {"use", "at" if "at" in how else "test", "valid_at" if "valid_at" in how else "valid"}
    assert describe(TemporalSplit()) == {"use": "siftrec:TemporalSplit", "test": 0.1, "valid": 0.1}


def test_a_date_of_toml_needs_no_quotes():
    table = tomllib.loads("at = 1998-03-01T12:00:00\nvalid_at = 1998-02-01")
    split = build({"use": "siftrec:TemporalSplit", **table}, "split")
    assert split == TemporalSplit(at="1998-03-01T12:00:00", valid_at="1998-02-01")


def test_a_date_outside_the_log_is_told_with_what_the_log_covers(events):
    runs = r"the log runs from 1998-02-27T00:00:00\+00:00 to 1998-03-02T23:00:00\+00:00"
    for how, part in (({"at": "1999-01-01"}, "test"), ({"at": "1998-01-01"}, "training")):
        with pytest.raises(DataError, match=f"leaves no {part} interaction; {runs}"):
            TemporalSplit(**how)(events)
    with pytest.raises(DataError, match=f"leaves no validation interaction; {runs}"):
        TemporalSplit(at="1998-03-01", valid_at="1998-02-28T23:30")(events)


def test_an_order_has_no_dates():
    with pytest.raises(DataError, match="has no clock, only an order within each user"):
        TemporalSplit(at="1998-03-01")(read(pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3]})))


def test_a_test_part_of_nothing_is_another_split(events):
    with pytest.raises(SettingsError, match=r"split.test: 0 holds nothing out; siftrec:Everything trains on all"):
        TemporalSplit(test=0)(events)
