"""Units and differences of benchmarks/planted.py: nothing stale is shown, and a difference is one of equal seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import planted
import planted_measures
import planted_tables
import pytest
from render import table
from scipy import stats

from siftrec.data.split import TEST, TRAIN
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.synthetic import behaviours


def test_every_unit_is_named_once_and_no_two_of_a_command_are_the_same_method() -> None:
    every = planted.units("all", 3)
    assert len(every) == len(set(every))
    for command in planted.COMMANDS:
        told = [json.dumps(planted.settings_of(unit)) for unit in planted.units(command, 1)]
        assert len(set(told)) == len(told) or command == "detect", command


def test_a_unit_made_with_other_training_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a table would mix figures of four epochs with figures of six."""
    monkeypatch.setattr(planted, "RESULTS", tmp_path)
    unit = "train.full.seed1"
    settings = planted.settings_of(unit)
    (tmp_path / f"{unit}.json").write_text(json.dumps({"settings": settings}))
    assert planted.is_done(unit)
    settings["training"]["epochs"] += 1
    (tmp_path / f"{unit}.json").write_text(json.dumps({"settings": settings}))
    assert not planted.is_done(unit)


def test_the_last_weights_are_kept_whatever_validation_would_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under such noise the best of six validation figures is a draw, and it often fell on the epoch before contrast."""
    world = behaviours("easy", rho=0.4, users=40, items=1000, seed=1)
    seen = {}
    monkeypatch.setattr(planted_measures, "fit", lambda method, split, catalog, **training: seen.update(split=split))
    planted_measures.trained_on(world, CCL4Rec(), 1)
    assert set(seen["split"].role.tolist()) <= {TRAIN, TEST}
    assert len(seen["split"].valid.targets.items) == 0
    assert (seen["split"].test.targets.items == world.split.test.targets.items).all()


def test_differences_are_between_equal_seeds(tmp_path: Path) -> None:
    """Seeds differ by more than variants do, so a difference of means over other seeds would be one of seeds."""
    shields = {"full": {1: 0.70, 2: 0.80, 3: 0.91, 4: 0.1}, "vanilla": {1: 0.77, 2: 0.86, 3: 0.95, 5: 0.99}}
    for name, seeds in shields.items():
        for seed, value in seeds.items():
            kept = {"figures": {measure: value for measure, *_ in planted_tables.CLAIMS}}
            (tmp_path / f"train.{name}.seed{seed}.json").write_text(json.dumps(kept))
    runs = planted_tables.stored(tmp_path, "train")
    told = planted_tables.claims(runs, table)[1].splitlines()
    row = next(line for line in told if line.startswith("| shield"))
    gains = [-0.07, -0.06, -0.04]
    half = stats.t.ppf(0.975, 2) * stats.tstd(gains) / 3**0.5
    assert (
        row == f"| shield | full − vanilla | -0.057 | {-0.17 / 3 - half:+.3f} to {-0.17 / 3 + half:+.3f} | < −.05 | 3 |"
    )
    assert not any("full-random" in line for line in told)


def test_encoders_are_those_asked_for() -> None:
    method = planted.method_of("encoders", "gru-vanilla")
    assert method == replace(planted_measures.VARIANTS["vanilla"], encoder="gru")
