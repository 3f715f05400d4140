"""Tables that add up, examples that are what the log holds, and no item that wins by luck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from report import sample
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.report.data import Group
from siftrec.report.summary import Names, lengths_histogram, log_view, popularity_curve, summarise

SEEDS = st.integers(0, 10_000)


@settings(max_examples=25)
@given(seed=SEEDS, users=st.integers(1, 40))
def test_every_table_counts_every_interaction_once(seed: int, users: int) -> None:
    log, names, scores = sample.world(users, 30, seed)
    found = summarise(log, names=names, **scores)
    events, flags = len(log.items), int(scores["flagged"].sum())
    for groups in (found.by_popularity, found.by_position, found.by_length):
        assert sum(each.interactions for each in groups) == events
        assert sum(each.flagged for each in groups) == flags
        assert np.isclose(sum(each.noise * each.interactions for each in groups), scores["noise"].sum(), rtol=1e-5)
    assert sum(each.count for each in found.histogram) == events
    assert sum(each.flagged for each in found.histogram) == flags
    assert found.unjudged == int((scores["evidence"] == 0).sum())


def test_groups_are_the_values_between_their_ends() -> None:
    log, names, scores = sample.world()
    lengths = np.repeat(log.lengths, log.lengths)
    for group in summarise(log, names=names, **scores).by_length:
        low, _, high = group.label.partition(" to ")
        here = (lengths >= int(low)) & (lengths <= int(high or low))
        mean = float(scores["noise"][here].astype(np.float64).mean())
        assert group == Group(group.label, int(here.sum()), pytest.approx(mean), int(scores["flagged"][here].sum()))


def test_positions_are_counted_from_the_first_interaction_of_each_user() -> None:
    log, names, scores = sample.world()
    first = summarise(log, names=names, **scores).by_position[0]
    assert (first.label, first.interactions) == ("1", int((log.lengths > 0).sum()))


@settings(max_examples=25)
@given(seed=SEEDS)
def test_examples_are_histories_of_different_users_as_the_log_holds_them(seed: int) -> None:
    log, names, scores = sample.world(30, 30, seed)
    found = summarise(log, names=names, **scores).histories
    assert found
    assert len({history.user for history in found}) == len(found)
    for history in found:
        row = int(history.user[1:])
        end = int(log.offsets[row + 1])
        events = range(end - len(history.marks), end)
        assert history.length == log.lengths[row]
        for mark, event in zip(history.marks, events, strict=True):
            assert mark.id == names.item(int(log.items[event]))
            assert mark.noise == pytest.approx(scores["noise"][event])
            assert mark.position == event - log.offsets[row] + 1
            shown = (mark.flagged, mark.planted, mark.evidence)
            assert shown == tuple(scores[name][event] for name in ("flagged", "planted", "evidence"))


def test_rules_find_what_they_say() -> None:
    items = np.arange(1, 25, dtype=np.int32)
    log = Sequences.from_items(items, np.array([6, 6, 6, 6]))
    noise = np.array([0.1] * 6 + [0.9] * 6 + [0.3] * 6 + [0.2] * 5 + [0.95])
    names = Names(
        pl.Series(["clean", "noisy", "typical", "odd"]), Vocab.of(pl.Series([f"{code:02d}" for code in items]))
    )
    found = summarise(log, noise, noise > 0.92, np.full(24, 5), names)
    chosen = {history.why.split(":")[0]: history.user for history in found.histories}
    assert chosen == {"Stands out": "odd", "Typical": "typical", "Noisiest": "noisy", "Cleanest": "clean"}


def test_without_truth_no_example_speaks_of_it() -> None:
    for history in sample.summary(planted=None).histories:
        assert history.why.split(":")[0] not in ("Missed", "Wronged")
        assert all(mark.planted is None for mark in history.marks)


def test_a_few_noisy_interactions_do_not_beat_many() -> None:
    items = np.array([1] * 5 + [2] * 200 + [3] * 800, np.int32)
    log = Sequences.from_items(items, np.full(67, 15))
    noise = np.array([0.8] * 5 + [0.78] * 200 + [0.1] * 800)
    names = Names(pl.Series(range(67)), Vocab.of(pl.Series(["few", "many", "zero"])))
    found = summarise(log, noise, noise > 0.79, np.ones(1005), names).mistaken
    assert [item.id for item in found] == ["many", "few"]
    assert found[1].noise == pytest.approx(0.8)
    assert (found[1].interactions, found[1].flagged) == (5, 5)


def test_equal_noise_accuses_no_item() -> None:
    log, names, scores = sample.world()
    flat = scores | {"noise": np.full(len(log.items), 0.3), "flagged": np.zeros(len(log.items), bool)}
    assert not summarise(log, names=names, **flat).mistaken


def test_titles_are_shown_where_there_are_any() -> None:
    log, names, scores = sample.world()
    bare = summarise(log, names=replace(names, titles={}), **scores)
    assert all(item.title is None for item in bare.mistaken)
    assert any(mark.title for history in sample.summary().histories for mark in history.marks)


def test_the_log_in_numbers() -> None:
    log = Sequences.from_items(np.array([1, 1, 2, 2, 1], np.int32), np.array([3, 2, 0]))
    names = Names(pl.Series(["a", "b", "c"]), Vocab.of(pl.Series(["x", "y"])))
    found = log_view(log, names, "here")
    assert (found.users, found.items, found.interactions, found.repeats) == (2, 2, 5, 1)
    assert found.popularity == ((0.5, 0.6), (1.0, 1.0))
    assert [(each.label, each.count) for each in found.lengths] == [("2", 1), ("3 to 5", 1)]


@settings(max_examples=50)
@given(counts=st.lists(st.integers(0, 2000), max_size=60))
def test_the_curve_rises_to_all_and_lengths_lose_no_user(counts: list[int]) -> None:
    values = np.array(counts, np.int64)
    curve = popularity_curve(values)
    assert list(curve) == sorted(curve)
    assert all(held >= share - 1e-9 for share, held in curve)
    assert (curve[-1:] == ((1.0, 1.0),)) == bool(values.any())
    assert sum(each.count for each in lengths_histogram(values)) == int((values > 0).sum())
