"""Stored cells can be compared by whoever has the repository, and what cannot be compared anew stays while it is true."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import accuracy
import comparisons
import comparisons_tables
import families
import numpy as np
import per_user
import polars as pl
import pytest
from accuracy import MAIN, Cell, Setting
from variants import PAIRS, VARIANTS, training_of

from siftrec.evaluate.compare import compare
from siftrec.evaluate.evaluation import About, Evaluation
from siftrec.methods.base import Learned

SETTING = Setting("microlens50k", 0.3)
NAMES = {name: f"the {name}" for pair in (*PAIRS, *families.PRIMARY_FOREIGN) for name in pair}


def made_in(setting: Setting, before: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The tests of one setting, with the families that they are in."""
    return told_of(setting, before).get("comparisons", [])


def told_of(setting: Setting, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is stored of one setting."""
    found = comparisons.compare_all({} if before is None else {"settings": [before]})["settings"]
    return next((each for each in found if comparisons._setting(each) == setting), {})


def evaluation(seed: int, hit: float, users: int = 400) -> Evaluation:
    """Ranks drawn at random, a share of them within the best twenty."""
    draw = np.random.default_rng([seed, round(hit * 1000)])
    rank = np.where(draw.random(users) < hit, draw.integers(0, 20, users), 99)
    gain = 1 / np.log2(rank + 2)
    values = np.stack([gain * (rank < 10), gain * (rank < 20), rank < 10, rank < 20]).astype(np.float64)
    about = About("siftrec:X", seed, "test", "leave-one-out", 500, {"train": "t", "test": "q"}, 0.0, {}, {}, "m")
    return Evaluation(
        pl.Series("user", [f"u{i}" for i in range(users)]), MAIN, {"seen": values, "none": values / 2}, about
    )


@pytest.fixture
def cells(monkeypatch, tmp_path):
    """Two methods with three seeds each, figures and values stored."""
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path)
    monkeypatch.setattr(accuracy, "VALUES", tmp_path / "values")
    made = {}
    for method, hit in (("ccl4rec-denoise", 0.5), ("ccl4rec-next", 0.3)):
        for seed in (1, 2, 3):
            cell = Cell("microlens50k", 0.3, method, seed)
            store(cell)
            made[cell] = evaluation(seed, hit)
            per_user.write(made[cell], MAIN, cell.values)
    return made


def store(cell: Cell) -> None:
    cell.result.write_text(json.dumps({"commit": "abc", "settings": accuracy.settings_of(cell)}))


def test_no_pair_compares_schedules() -> None:
    """One side at a constant rate and the other at a falling one would tell of schedules, under names of methods."""
    for data in accuracy.DATASETS:
        for pair in (*PAIRS, *families.PRIMARY):
            trained = [each for each in pair if each in VARIANTS and isinstance(VARIANTS[each].make(), Learned)]
            there = [training_of(data, each) for each in trained if data in (VARIANTS[each].data or accuracy.DATASETS)]
            assert len({each.schedule for each in there}) <= 1, pair
            assert len({each.patience for each in there}) <= 1, pair


def test_every_method_but_one_that_needs_fewer_has_the_epochs_of_ml1m() -> None:
    """A number of epochs chosen on MicroLens would be another schedule on ml1m."""
    for name, variant in VARIANTS.items():
        if not (variant.superseded or name.endswith("-recent")):
            assert training_of("ml1m", name).epochs == 24, name


def test_what_is_trained_no_more_is_done_as_it_stands(monkeypatch, tmp_path) -> None:
    """Else `run` would spend hours on a protocol that nothing new is compared with."""
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path)
    monkeypatch.setattr(accuracy, "VALUES", tmp_path / "values")
    old, new = Cell("ml1m", 0.3, "sasrec-constant", 2), Cell("ml1m", 0.3, "sasrec", 2)
    assert new in accuracy.cells()
    assert old not in accuracy.cells(), "nothing is stored"
    for cell in (old, new):
        store(cell)
    assert old in accuracy.cells()
    assert (old.done, new.done) == (True, False)
    assert (accuracy.settings_of(old)["training"]["schedule"], old.stands, new.stands) == ("constant", True, True)


def test_values_per_user_come_back_as_they_were(tmp_path) -> None:
    one = evaluation(1, 0.4)
    per_user.write(one, ("ndcg@20", "recall@10"), tmp_path / "one.parquet")
    read = per_user.read(tmp_path / "one.parquet")
    assert read.metrics == ("ndcg@20", "recall@10")
    assert all((read.per_user(metric) == one.per_user(metric)).all() for metric in read.metrics)
    assert read.about == replace(one.about, coverage={}, slices={})
    assert len(read.users) == len(one.users) == read.users.n_unique()


def test_kept_values_give_the_comparison_that_the_evaluations_give(cells) -> None:
    found = made_in(SETTING)
    assert sorted(each["metric"] for each in found) == sorted(MAIN)
    sides = [
        [made for cell, made in cells.items() if cell.method == name] for name in ("ccl4rec-denoise", "ccl4rec-next")
    ]
    for each in found:
        direct = compare(*sides, each["metric"])
        assert (each["difference"], each["p"], each["low"]) == (direct.difference, direct.p, direct.low)
        assert each["seeds"] == 3


def test_without_values_a_comparison_stays_until_settings_or_seeds_change(cells) -> None:
    """A machine that never trained an older cell must neither lose what was measured nor show it beside new figures."""
    before = json.loads(json.dumps(told_of(SETTING)))
    gone = next(iter(cells))
    gone.values.unlink()
    kept = told_of(SETTING, before)
    assert kept["comparisons"] == [each | {"kept": True} for each in before["comparisons"]]
    assert told_of(SETTING, json.loads(json.dumps(kept))) == kept
    assert not made_in(SETTING), "nothing is made up where nothing was stored"
    other = before["settings"] | {"ccl4rec-denoise": before["settings"]["ccl4rec-next"]}
    assert not made_in(SETTING, before | {"settings": other})
    extra = Cell("microlens50k", 0.3, "ccl4rec-denoise", 4), Cell("microlens50k", 0.3, "ccl4rec-next", 4)
    store(extra[0])
    assert told_of(SETTING, before)["comparisons"] == kept["comparisons"], (
        "a seed that only one side has is not compared"
    )
    for cell in extra:
        store(cell)
    assert not made_in(SETTING, before), "of three seeds, where there are four"


def test_a_pair_is_compared_on_the_seeds_that_both_have(cells) -> None:
    """One seed of an opponent meets the same seed of ours, whatever became of the values of our other seeds."""
    opponent = Cell("microlens50k", 0.3, "tce", 1)
    store(opponent)
    per_user.write(evaluation(1, 0.2), MAIN, opponent.values)
    Cell("microlens50k", 0.3, "ccl4rec-denoise", 2).values.unlink()
    found = made_in(SETTING)
    assert {(each["a"], each["b"], each["seeds"]) for each in found if each["families"]} == {
        ("ccl4rec-denoise", "tce", 1)
    }


def test_without_noise_a_counted_method_faces_every_seed(monkeypatch, tmp_path) -> None:
    """It has one run, for a seed changes nothing about it: pairing by seed would leave one seed of the other side."""
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path)
    monkeypatch.setattr(accuracy, "VALUES", tmp_path / "values")
    for method, seeds in (("markov", (1,)), ("sasrec", (1, 2, 3)), ("ccl4rec-next", (2, 3))):
        for seed in seeds:
            cell = Cell("microlens50k", 0.0, method, seed)
            store(cell)
            per_user.write(evaluation(seed, 0.3 if method == "markov" else 0.4), MAIN, cell.values)
    stored = comparisons.compare_all({})
    found = {(each["a"], each["b"], each["seeds"]) for each in stored["settings"][0]["comparisons"]}
    assert found == {("sasrec", "markov", 3), ("ccl4rec-next", "sasrec", 2)}
    for path in (tmp_path / "values").iterdir():
        path.unlink()
    again = comparisons.compare_all(json.loads(json.dumps(stored)))
    assert [each["families"] for each in again["settings"][0]["comparisons"]] == [
        each["families"] for each in stored["settings"][0]["comparisons"]
    ]


def test_a_cell_of_no_declared_pair_changes_no_primary_p(cells) -> None:
    """Else what a page says of the main pairs drifts with whatever is run next, until something is decided."""
    before = {each["metric"]: each["families"] for each in made_in(SETTING)}
    assert {metric: list(each) for metric, each in before.items()} == {
        metric: ["primary"] if metric == "ndcg@20" else ["secondary"] for metric in MAIN
    }
    for seed in (1, 2, 3):
        cell = Cell("microlens50k", 0.3, "tce", seed)
        store(cell)
        per_user.write(evaluation(seed, 0.29), MAIN, cell.values)
    after = {
        each["metric"]: each["families"]
        for each in made_in(SETTING)
        if each["a"] == "ccl4rec-denoise" and each["b"] != "tce"
    }
    assert after["ndcg@20"] == before["ndcg@20"]
    assert after["ndcg@20"]["primary"]["tests"] == len(families.PRIMARY)
    assert after["recall@20"]["secondary"]["tests"] > before["recall@20"]["secondary"]["tests"]


def test_every_declared_pair_is_compared_and_none_is_declared_twice() -> None:
    """A pair that nobody compares would count against the others for ever."""
    assert set(families.PRIMARY + families.PRIMARY_FOREIGN) <= set(PAIRS)
    every = families.families()
    for each in every:
        assert len(set(each.members)) == len(each.members)
    apart = [set(each.members) for each in every if not each.name.startswith("curve")]
    assert sum(map(len, apart)) == len(set().union(*apart)), "a test is primary or secondary"


def test_two_more_seeds_after_three_are_a_second_look(cells) -> None:
    """Seeds that are added because three decided nothing find something too often, unless p is doubled."""
    once = {each["metric"]: each for each in made_in(SETTING)}["ndcg@20"]
    for method, hit in (("ccl4rec-denoise", 0.5), ("ccl4rec-next", 0.499)):
        for seed in (1, 2, 3, 4, 5):
            cell = Cell("microlens50k", 0.3, method, seed)
            store(cell)
            per_user.write(evaluation(seed, hit), MAIN, cell.values)
    twice = {each["metric"]: each for each in made_in(SETTING)}["ndcg@20"]
    assert (once["looks"], twice["looks"], twice["seeds"]) == (1, 2, 5)
    tests = len(families.PRIMARY)
    assert twice["families"]["primary"]["p_holm"] == min(1.0, 2 * twice["p"] * tests)
    assert twice["families"]["primary"]["p_equivalent_holm"] == min(1.0, 2 * twice["p_equivalent"] * tests)


def test_the_page_names_what_is_better_and_what_rests_on_one_seed(cells, tmp_path) -> None:
    """Names of cells mean nothing to a reader, and p over users alone says nothing of another seed."""
    for cell in [*cells][:3]:
        cell.values.unlink()
        cell.result.unlink()
    lone = Cell("microlens50k", 0.3, "ccl4rec-denoise", 1)
    store(lone)
    per_user.write(evaluation(1, 0.5), MAIN, lone.values)
    file = tmp_path / "comparisons.json"
    file.write_text(json.dumps(comparisons.compare_all({})))
    page = "\n".join(comparisons_tables.sections(file, tmp_path / "plots", NAMES, table))
    pair = "the ccl4rec-denoise − the ccl4rec-next"
    (row,) = [line for line in page.splitlines() if line.startswith(f"{pair}|microlens50k")]
    assert row.endswith("|the ccl4rec-denoise is better (users only)")
    assert f"{pair}|1 (users only)|**+" in page
    assert "|*primary*|" in page
    assert "- microlens50k, ρ = 0.3: the sasrec − the markov, not run" in page
    assert "- ml1m, ρ = 0: none of its 9 pairs" in page, "a setting of which nothing is stored was declared as well"
    assert "(plots/forest-microlens50k.svg)" in page
    drawn = ElementTree.fromstring((tmp_path / "plots" / "forest-microlens50k.svg").read_text())
    told = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"the ccl4rec-denoise", "− the ccl4rec-next"} <= set(told)


def test_what_was_kept_is_marked_wherever_it_is_shown(cells, tmp_path) -> None:
    before = json.loads(json.dumps(comparisons.compare_all({})))
    next(iter(cells)).values.unlink()
    file = tmp_path / "comparisons.json"
    file.write_text(json.dumps(comparisons.compare_all(before)))
    page = "\n".join(comparisons_tables.sections(file, tmp_path / "plots", NAMES, table))
    rows = [line for line in page.splitlines() if line.startswith("the ccl4rec-denoise − the ccl4rec-next")]
    assert len(rows) == 2
    assert all(" †|" in row for row in rows)
    assert " †<" in (tmp_path / "plots" / "forest-microlens50k.svg").read_text()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("|".join(row) for row in (head, *rows))
