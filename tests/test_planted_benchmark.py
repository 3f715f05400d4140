"""Units and differences of benchmarks/planted.py: nothing stale is shown, and a difference is one of equal seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import planted
import planted_measures
import planted_tables
import pytest
import torch
from scipy import stats

from siftrec.methods.trained import Trained
from siftrec.synthetic import behaviours
from siftrec.train.fit import fit


def test_every_unit_is_named_once_and_none_is_trained_twice() -> None:
    every = planted.units("all", 3)
    assert len(every) == len(set(every))
    for seed in (1, planted_measures.CHOICE):
        told = [
            (planted.parts_of(unit)[0] == "clean", json.dumps(planted.settings_of(unit)))
            for unit in every
            if unit.endswith(f".seed{seed}") and not unit.startswith("detect")
        ]
        assert len(set(told)) == len(told)
    assert not any(
        unit.endswith(f".seed{planted_measures.CHOICE}") for unit in planted.units("train", planted.MOST_SEEDS)
    )


def test_figures_of_other_settings_are_made_again_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a table would mix figures of four epochs with figures of six, or keep rows that no command makes any more."""
    monkeypatch.setattr(planted, "RESULTS", tmp_path)
    keep(tmp_path, "train.full.seed1", shield=0.7)
    keep(tmp_path, "parts.no-over.seed1", shield=0.8)
    keep(tmp_path, "over.lambda0.4.seed1", shield=0.9)
    keep(tmp_path, "over.lambda9.seed1", like="over.lambda0.4.seed1", shield=0.1)
    later = {"training": planted.settings_of("train.full.seed2")["training"] | {"epochs": 4}}
    keep(tmp_path, "train.full.seed2", later, shield=0.2)
    (tmp_path / "train.full.seed3.json").write_text(json.dumps({"figures": {"shield": 0.3}}))
    done = [unit for unit in planted.units("train", 3) if planted.is_done(unit)]
    assert done == ["train.full.seed1"]
    assert planted_tables.stored(tmp_path, "over") == {
        "lambda0": {1: {"shield": 0.8}},
        "lambda0.1": {1: {"shield": 0.7}},
        "lambda0.4": {1: {"shield": 0.9}},
    }


def keep(
    folder: Path, unit: str, changes: dict[str, Any] | None = None, like: str | None = None, **figures: float
) -> None:
    settings = planted.settings_of(like or unit) | (changes or {})
    (folder / f"{unit}.json").write_text(json.dumps({"settings": settings, "figures": figures}))


def test_the_last_weights_are_kept_whatever_validation_would_say() -> None:
    """Under such noise the best of six validation figures is a draw, and it often fell on the epoch before contrast."""
    world = behaviours("easy", rho=0.4, users=40, items=1000, seed=1)
    method = replace(planted_measures.VARIANTS["next-item"], dim=8)
    short, long = (planted_measures.trained_on(world, method, 1, epochs=epochs) for epochs in (1, 3))
    wrong = [trained_hash(each) for each in (short, long)]
    assert wrong[0] != wrong[1], "more steps, other weights: no epoch was chosen"
    chosen = fit(method, world.split, world.catalog, seed=1, **{**planted_measures.TRAINING, "epochs": 3})
    assert trained_hash(chosen) != wrong[1], "validation interactions are trained on"


def trained_hash(trained: Trained) -> bytes:
    assert isinstance(trained.scorer, torch.nn.Module)
    return b"".join(each.detach().numpy().tobytes() for each in trained.scorer.state_dict().values())


def test_differences_are_between_equal_seeds(tmp_path: Path) -> None:
    """Seeds differ by more than variants do, so a difference of means over other seeds would be one of seeds."""
    shields = {"full": {1: 0.70, 2: 0.80, 3: 0.91, 4: 0.1}, "vanilla": {1: 0.77, 2: 0.86, 3: 0.95, 5: 0.99}}
    for name, seeds in shields.items():
        for seed, value in seeds.items():
            keep(tmp_path, f"train.{name}.seed{seed}", **{each[0]: value for each in planted_tables.CLAIMS["train"]})
    runs = planted_tables.stored(tmp_path, "train")
    told = planted_tables.claims(runs, planted_tables.CLAIMS["train"])[1].splitlines()
    row = next(line for line in told if line.startswith("| shield"))
    gains = [-0.07, -0.06, -0.04]
    half = stats.t.ppf(0.975, 2) * stats.tstd(gains) / 3**0.5
    assert (
        row == f"| shield | full − vanilla | -0.057 | {-0.17 / 3 - half:+.3f} to {-0.17 / 3 + half:+.3f} | ≤ −.05 | 3 |"
    )
    assert not any("full-random" in line for line in told)


def test_encoders_are_those_asked_for() -> None:
    method, changes = planted_measures.TRIALS["encoders"]["gru-vanilla"]
    assert (method, changes) == (replace(planted_measures.VARIANTS["vanilla"], encoder="gru"), {})
