"""The proxies of benchmarks/symptoms.py: the same users whatever is planted, and clusters that find planted interests."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import accuracy
import cell_log
import datasets
import numpy as np
import per_user
import pytest
import symptoms
import symptoms_tables
from accuracy import Setting
from datasets import Data
from sklearn.metrics import adjusted_rand_score

from siftrec.data.split import TEST
from siftrec.noise.inject import inject
from siftrec.synthetic import Planted, behaviours


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Planted:
    monkeypatch.setattr(symptoms, "CLUSTERS", 20)
    monkeypatch.setattr(symptoms, "DIRECTIONS", 19)
    return behaviours("easy", rho=0.0, users=1500, items=600, seed=2)


@pytest.mark.parametrize("mechanism", ["replace", "insert", "swap"])
def test_the_same_users_are_asked_and_judged_by_the_log_as_it_is(world: Planted, mechanism: str) -> None:
    """Else a difference between two cells would be one between two groups of users."""
    noisy = inject(world.split, mechanism, 0.5, 3).split  # type: ignore[arg-type]
    clean = world.split.log.where(world.split.role < TEST)
    assert (symptoms.asked(noisy).users == symptoms.asked(world.split).users).all()
    assert (symptoms.as_it_is(noisy).items == clean.items).all()
    assert (symptoms.as_it_is(world.split).items == clean.items).all()


def test_clusters_find_the_topics_and_nothing_where_there_is_none(world: Planted) -> None:
    """Users with two topics each, against a log drawn from the whole catalog; content of the null world says nothing."""
    for null in (False, True):
        planted = behaviours("easy", rho=0.0, users=1500, items=600, seed=2, null=True) if null else world
        log = planted.split.log.where(planted.split.role < TEST)
        found = symptoms.clusters(log, planted.catalog)
        scores = {name: adjusted_rand_score(planted.item_topic[1:], each[1:]) for name, each in found.items()}
        if null:
            assert abs(scores["company"]) < 0.05
        else:
            assert min(scores.values()) > 0.5, scores


def test_items_of_which_nothing_is_known_are_in_no_cluster(world: Planted) -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 4))
    vectors[[0, 7]] = 0
    found = symptoms.grouped(vectors)
    assert np.flatnonzero(found < 0).tolist() == [0, 7]


def test_controls_stand_at_both_ends(world: Planted) -> None:
    """What users had next is of interest to them, what popularity draws mostly is not: else the proxy says nothing."""
    found = symptoms.controls(Data(world.events, world.split, world.catalog))
    for group in ("content", "company"):
        key = f"out of interest@10, {group}"
        assert found["test targets"][key] < found["drawn"][key] - 0.3, found
    assert found["users"] == 1500


def test_the_page_sets_denoised_beside_what_it_was(world: Planted) -> None:
    figures = dict.fromkeys(symptoms_tables.MEASURES, 0.5)
    first, second = ({"cell": {"seed": seed}} for seed in (1, 2))
    runs = [first | {"symptoms": figures}, second | {"symptoms": figures | {"uniformity": -1.5}}]
    methods = {"sasrec": runs, "tce": [first | {"symptoms": figures | {"popularity@10": 12.34}}], "ease": [first]}
    parts = symptoms_tables._section(
        Setting("ml1m", 0.3),
        {name: found for name in methods if (found := symptoms_tables._measured(methods[name]))},
        {"test targets": {"popularity@10": 3.0}, "drawn": {}},
        {"sasrec": "SASRec", "tce": "T-CE"},
        lambda head, rows: "\n".join("|".join(row) for row in (head, *rows)),
    )
    page = "\n".join(parts)
    assert "SASRec|0.500 ± 0.000|-0.500 ± 1.414" in page
    assert "T-CE, after SASRec|0.500 → 0.500|0.500 → 0.500|0.500 → 12.3" in page
    assert "*what they had next (test targets)*|–|–|3.000" in page


def test_what_contrast_and_weights_change_is_shown_at_once() -> None:
    """It is what the section is read for; in a table of thirty rows nobody finds it."""
    run = [{"seed": 1} | dict.fromkeys(symptoms_tables.MEASURES, 0.5)]
    measured = dict.fromkeys(("sasrec", "tce", "ccl4rec-next", "ccl4rec-denoise"), run)
    controls = {name: {} for name in symptoms_tables.CONTROLS}
    _, shown, hidden = symptoms_tables._section(
        Setting("ml1m", 0.3),
        measured,
        controls,
        {name: name for name in measured},
        lambda head, rows: "\n".join("|".join(row) for row in (head, *rows)),
    )
    assert "ccl4rec-denoise, after ccl4rec-next|0.500 → 0.500" in shown
    assert "tce, after sasrec" not in shown
    assert hidden.startswith("<details>")
    assert "tce, after sasrec" in hidden


def test_what_a_cell_cost_is_told_without_the_search_for_symptoms(monkeypatch, tmp_path) -> None:
    """Minutes of the table would grow by what no method needs."""
    cell = accuracy.Cell("microlens50k", 0.0, "sasrec", 1)
    evaluation = SimpleNamespace(to_json=lambda run: {}, write=lambda path: None)
    data = SimpleNamespace(split=None, catalog=None)

    def busy(*_: object) -> dict[str, float]:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
        return {"uniformity": -1.0}

    monkeypatch.setattr(symptoms, "symptoms_of", busy)
    monkeypatch.setattr(datasets, "load", lambda *_: data)
    monkeypatch.setattr(accuracy, "replace", lambda data, **_: data)
    monkeypatch.setattr(cell_log, "split_of", lambda cell, data: data.split)
    monkeypatch.setattr(per_user, "write", lambda *_: None)
    monkeypatch.setattr(accuracy, "trained_evaluation", lambda cell, data: (object(), evaluation, {}))
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path)
    accuracy.run_cell(cell, tmp_path)
    told = json.loads(cell.result.read_text())
    assert told["symptoms"] == {"uniformity": -1.0}
    assert told["cpu_s"] < 0.4


def test_before_and_after_are_of_the_same_seeds() -> None:
    """A seed that one side lacks would pass for an effect: here each seed of both gains exactly 1."""
    before = [{"seed": seed, "uniformity": 10.0 * seed} for seed in (1, 2, 3)]
    after = [{"seed": seed, "uniformity": 10.0 * seed + 1} for seed in (1, 2)]
    assert symptoms_tables._change(before, after, "uniformity") == "15.0 → 16.0"
    assert symptoms_tables._change(before[2:], after, "uniformity") == "–"
