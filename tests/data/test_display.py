"""What a notebook shows of a log and its parts: one line or a small table, in which an id is never markup."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from siftrec.data.interactions import Interactions
from siftrec.data.vocab import Vocab

HOSTILE = "<script>alert('x')</script>"


def log(times: bool = True) -> Interactions:
    clock = {"time": [1_500_000_000 + n for n in range(6)]} if times else {}
    return sr.read(pl.DataFrame({"user": ["a", "a", "a", "b", "b", "b"], "item": [HOSTILE, "y", "z"] * 2, **clock}))


def test_a_log_is_one_line_and_a_table_of_its_first_rows() -> None:
    events = log()
    assert repr(events) == "Interactions(6 interactions of 2 users with 3 items, time: clock, from memory)"
    html = events._repr_html_()
    assert html.count("<tr>") == 1 + 5
    assert "<th>user</th><th>item</th><th>time</th><th>row</th>" in html
    assert "2017-07-14 02:40:00" in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in html
    assert "<script" not in html
    assert "<td>0</td><td>0</td>" in log(times=False)._repr_html_(), "a position is no time of day"


def test_parts_catalogs_and_content_are_one_line() -> None:
    split = sr.leave_one_out(log())
    text = sr.features(np.ones((2, 4), np.float32), ids=["y", "z"])
    catalog = sr.Catalog(split.items.ids, text=text, cover=sr.features(np.ones((3, 8), np.float16)))
    assert repr(split.test) == "Part(test: 2 questions with 2 targets)"
    assert repr(replace(split.test, role=None)) == "Part(made by hand: 2 questions with 2 targets)"
    assert repr(split.train) == "Sequences(2 events in 2 rows)"
    weighted = replace(split.train, weights=np.ones(2, np.float32), shown=np.ones((2, 1), np.int32))
    assert repr(weighted) == "Sequences(2 events in 2 rows, weights, shown)"
    assert repr(split.items) == "Vocab(3 ids, String)"
    assert repr(text) == "Modality(2 rows of 4 float32, 2 present, with ids, from array)"
    assert "in the catalog's order" in repr(catalog.modalities["cover"].modality)
    assert repr(catalog) == "Catalog(3 items; text: 4 wide, coverage 66.7%; cover: 8 wide, coverage 100.0%)"
    assert repr(sr.Catalog(["a"])) == "Catalog(1 items, no content)"
    shown = sr.impressions(replace(log(), frame=log().frame.with_columns(label=pl.Series([1, 0, 1] * 2))), valid=0.4)
    assert repr(shown.test) == "Impressions(test: 2 impressions in 2 groups, 2 clicked)"


def test_logs_are_equal_by_their_rows_and_the_rest_by_identity() -> None:
    """Compared field by field, tables and arrays raise instead of giving a truth value."""
    events = log()
    assert events == log()
    assert events != events.window(end=1_500_000_003_000_000)
    assert events != log(times=False)
    assert events != "memory"
    split = sr.leave_one_out(events)
    for thing in (split, split.test, split.train, sr.features(np.ones((3, 4), np.float32))):
        assert thing == thing  # noqa: PLR0124
        assert thing != replace(thing)
    assert split.items == Vocab.of(events.items)


@pytest.mark.parametrize("unasked", [0, 1])
def test_a_part_knows_how_many_users_it_cannot_ask(unasked: int) -> None:
    """A user who comes only after the cut has a target and no history."""
    users = ["a"] * 6 + ["b"] * 5 + ["c"] * unasked
    times = [1_500_000_000 + 60 * n for n in (0, 1, 2, 6, 8, 10, 0, 2, 4, 7, 11, 12)]
    rows = {"user": users, "item": [f"i{n}" for n in range(len(users))], "time": times[: len(users)]}
    test = sr.TemporalSplit(test=0.3, valid=0.2)(sr.read(pl.DataFrame(rows))).test
    assert len(test) == 2
    assert test.unasked == unasked
    assert test.recode(Vocab.of(pl.Series([f"i{n}" for n in range(20)]))).unasked == unasked
    assert test.take(np.array([0])).unasked is None
