"""The headline's benchmarks: the protocol runs on files of the published shape, and averages are what they are called."""

from __future__ import annotations

import json
import sys

import headline_protocol
import machine
import numpy as np
import polars as pl
import pytest
import rankers
import rankers_compare
import rankers_tables

from data.test_impression_readers import kuairand_folder, kuaivideo_folder, microvideo_folder
from siftrec.evaluate.impressions import Judged


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run the protocol in this process at one learning rate; gives what it wrote, read as strictly as JSON is."""
    monkeypatch.setattr(machine, "one_thread", lambda: None)
    monkeypatch.setattr(headline_protocol, "RATES", (1e-3,))

    def run(*arguments: str) -> dict:
        out = tmp_path / "out.json"
        few = ("--epochs", "1", "--length", "4", "--batch", "4", "--json", str(out))
        monkeypatch.setattr(sys, "argv", ["headline_protocol.py", *arguments, *few])
        headline_protocol.main()
        return json.loads(out.read_text(), parse_constant=pytest.fail)

    return run


@pytest.mark.slow
def test_the_protocol_runs_on_published_shapes(call, tmp_path):
    told = call("--format", "kuairand", str(kuairand_folder(tmp_path / "a", 40)), "--methods", "two-tower", "din")
    assert sum(told["impressions"].values()) == 400
    assert 0 <= told["methods"]["din"]["gauc"] <= 1
    told = call("--format", "kuaivideo", str(kuaivideo_folder(tmp_path / "b", 40)), "--methods", "ccl4rec")
    assert told["impressions"]["test"] == 200
    assert told["protocol"] == "impressions by split"


def test_test_items_that_training_lacks_are_known_by_content_from_files(call, tmp_path):
    """MicroVideo-1.7M's way, which needs what only its owners have: all test items are new, their vectors in two files."""
    folder = microvideo_folder(tmp_path, 40)
    frame = pl.read_csv(folder / "test_data.csv").with_columns(pl.col("item_id") + 9)
    frame.write_csv(folder / "test_data.csv")
    asked = ("--format", "microvideo", str(folder), "--methods", "two-tower")
    with pytest.raises(SystemExit, match=r"no test item occurs in training.*give --content"):
        call(*asked)
    np.save(tmp_path / "cover.npy", np.random.default_rng(1).normal(size=(18, 4)).astype(np.float32))
    (tmp_path / "items.tsv").write_text("item\n" + "".join(f"{item}\n" for item in reversed(range(18))))
    content = ("--content", f"image={tmp_path / 'cover.npy'}", "--ids", str(tmp_path / "items.tsv"))
    told = call(*asked, *content)
    assert told["share of test impressions with an item of training"] == 0
    assert told["ids"] is False
    assert 0 <= told["methods"]["two-tower"]["gauc"] <= 1
    frame.with_columns(is_click=1).write_csv(folder / "test_data.csv")
    assert call(*asked, *content)["methods"]["two-tower"]["gauc"] is None, "NaN is no JSON"


@pytest.fixture
def stored(monkeypatch, tmp_path):
    """AUC of 300 test users in three runs of every method: planted is how far each is better than two towers."""
    planted = {"two-tower": 0.0, "ccl4rec-clicks": 0.0, "ccl4rec": 0.08, "din": 0.1, "self-attention": 0.08}
    rng = np.random.default_rng(1)
    shown, easy = rng.integers(2, 60, 300), rng.uniform(0.4, 0.7, 300)
    nobody = rng.random(300) < 0.2
    monkeypatch.setattr(rankers, "VALUES", tmp_path)
    monkeypatch.setattr(rankers_compare, "is_done", lambda cell: cell.values.exists())
    for cell in rankers.cells(["train.ml100k.*.L20.grouped.*"]):
        if cell.seed < 4:
            aucs = easy + planted[cell.method] + rng.normal(0, 0.02, 300)
            np.savez(cell.values, shown=shown, aucs=np.where(nobody, np.nan, aucs))
    return planted


def test_compared_figures_are_gauc_and_say_how_sure_they_are(stored):
    """Five pairs at six places are thirty chances of a lucky find; and "as good as DIN" needs a test of its own."""
    (found,) = rankers_compare.compared()
    assert (found["data"], found["length"], found["seeds"]) == ("ml100k", 20, [1, 2, 3])
    file = np.load(rankers.Cell("train", "din", 20, "ml100k", "grouped", 1).values)
    kept = Judged(pl.Series(file["shown"]), file["shown"], file["shown"], file["shown"], file["aucs"], 0.5, 0.0)
    one = rankers_compare.evaluation(rankers.Cell("train", "din", 20, "ml100k", "grouped", 1))
    assert one.per_user("gauc", "none").mean() == pytest.approx(kept.means()["gauc"])
    pairs = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    assert list(pairs) == list(rankers_compare.PAIRS)
    for (a, b), pair in pairs.items():
        assert pair["difference"] == pytest.approx(stored[a] - stored[b], abs=0.01)
        assert pair["low"] < stored[a] - stored[b] < pair["high"]
        assert pair["p_holm"] >= pair["p"]
        assert (pair["p_holm"] < 0.05) == (stored[a] != stored[b])
    assert sum(pair["p_holm"] > pair["p"] for pair in found["pairs"]) >= 4
    assert (
        pairs["ccl4rec", "self-attention"]["p_equivalent_holm"] < 0.05 < pairs["ccl4rec", "two-tower"]["p_equivalent"]
    )
    share = found["share of the gap"]
    assert share["low"] < 0.8 < share["high"]
    assert share["high"] - share["low"] < 0.2
    assert share["value"] == pytest.approx(0.8, abs=0.1)
    told = rankers_tables._pairs([found])
    assert "CCL4Rec − DIN | -0.0" in told
    assert told.count("equivalent within ±2 %") == sum(pair["p_equivalent_holm"] < 0.05 for pair in found["pairs"])


def test_every_cell_has_settings_of_its_own_and_a_name_that_finds_it():
    every = rankers.cells()
    assert len({str(cell) for cell in every}) == len(every)
    for cell in every[::17]:
        assert rankers.cells([str(cell)]) == [cell]
        assert rankers.settings_of(cell)["method"]["length"] == cell.length


def test_time_to_equal_gauc_ends_where_the_slowest_to_learn_gets_to():
    def run(method: str, *curve: tuple[float, float]) -> dict:
        return {"cell": {"method": method, "seed": 1}, "curve": curve}

    runs = [run("din", (5.0, 0.6), (10.0, 0.8)), run("ccl4rec", (1.0, 0.6), (2.0, 0.7), (3.0, 0.65))]
    assert rankers_tables.equal(runs) == {"din": 10.0, "ccl4rec": 2.0}


def test_a_cell_without_a_measure_of_now_or_of_other_settings_is_not_done(monkeypatch, tmp_path):
    """Else columns that came later stay empty for ever, and a method of before is compared with those of now."""
    cell, asked = rankers.Cell("answer", "din", 20), rankers.MEASURES["answer"]["us_per_candidate"]
    settings, spent = rankers.settings_of(cell), {name: [6.0, 7.0] for name in asked}
    parameters = {"ids": 1, "content": 2, "network": 3}
    figures = {"cell": cell.__dict__, "settings": settings, "us_per_candidate": spent, "parameters": parameters}
    figures |= {"machine": {"processor": "one"}, "rates": {"gemm_gflops": 80.0, "copy_gb_per_s": 20.0}}
    monkeypatch.setattr(rankers, "RESULTS", tmp_path / "rankers.json")

    def stored() -> str:
        rankers.RESULTS.write_text(json.dumps({"schema": 1, "cells": {str(cell): figures}}))
        return "\n".join(rankers_tables.sections(rankers.RESULTS, tmp_path))

    assert "L = 20, DIN" in stored()
    assert rankers.is_done(cell)
    figures["us_per_candidate"] = {name: each for name, each in spent.items() if name != rankers.BATCH}
    assert "L = 20, DIN" in stored()
    assert not rankers.is_done(cell)
    figures |= {"us_per_candidate": spent, "settings": {"method": settings["method"] | {"dim": 7}}}
    assert "L = 20, DIN" not in stored()
    assert not rankers.is_done(cell)
