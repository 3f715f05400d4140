"""The measures of benchmarks/modality.py: right at both ends, and every unit describes itself."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import modality_measures
import modality_tables
import numpy as np
import pytest

import modality
from siftrec.data.split import TEST
from siftrec.methods.demure import SlotWeights
from siftrec.methods.trained import Trained
from siftrec.synthetic import PlantedCauses, Size, modalities

WORLD = modalities(size=Size(300, 900, 8), missing={"audio": 0.3}, rho=0.2, seed=2)


def weighed(world: PlantedCauses, weight_EM: np.ndarray) -> SlotWeights:
    known = world.split.role < TEST
    log = world.split.log
    present_EM = (world.item_topic_NM >= 0)[log.items[known]]
    weight_EM = weight_EM * present_EM
    weight_EM = (weight_EM / weight_EM.sum(axis=1, keepdims=True)).astype(np.float32)
    share_E = np.full(len(weight_EM), 1 / 8, np.float32)
    return SlotWeights(world.names, weight_EM, weight_EM, present_EM.astype(np.int32), present_EM, share_E)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> modality_measures.Figures:
    """What is measured where a method's weights are those of the parameter."""
    cause_E = WORLD.cause_E[WORLD.split.role < TEST]
    weight_EM = np.ones((len(cause_E), 3))
    if request.param == "truth":
        weight_EM += 9 * (cause_E[:, None] == np.arange(3))
    monkeypatch.setattr(modality_measures, "slot_weights", lambda trained, log: weighed(WORLD, weight_EM))
    monkeypatch.setattr(modality_measures, "ranking", lambda trained, planted: {})
    trained: Trained = SimpleNamespace()  # type: ignore[assignment]
    return modality_measures.causes(trained, WORLD)


@pytest.mark.parametrize("figures", ["truth"], indirect=True)
def test_whoever_knows_the_causes_is_told_so(figures: modality_measures.Figures) -> None:
    assert figures["top1"] == 1
    assert figures["auroc"] > 0.99
    assert figures["preference"] > 0.85
    assert figures["events"] == (WORLD.cause_E[WORLD.split.role < TEST] >= 0).sum()


@pytest.mark.parametrize("figures", ["equal"], indirect=True)
def test_equal_weights_get_their_share_of_ties_and_no_more(figures: modality_measures.Figures) -> None:
    """Ties given to the first modality would lift or sink the control by the order of names."""
    present_EM = (WORLD.item_topic_NM >= 0)[WORLD.split.log.items]
    caused = (WORLD.split.role < TEST) & (WORLD.cause_E >= 0)
    assert figures["top1"] == pytest.approx((1 / present_EM[caused].sum(axis=1)).mean())
    assert figures["mass"]["text"] > figures["mass"]["audio"]


def test_every_unit_is_named_once_and_tells_its_settings() -> None:
    every = modality.units()
    assert len(every) == len(set(every))
    assert modality.units(["foreign.ml1m.*.seed1"]) == [f"foreign.ml1m.rho{rho}.seed1" for rho in ("0.2", "0.4", "0")]
    told = {variant: modality.settings_of(f"planted.plain.{variant}.seed1") for variant in modality.VARIANTS}
    assert len({str(each) for each in told.values()}) == len(modality.VARIANTS)
    null = modality.settings_of("planted.null.softmax.seed1")
    assert null["training"]["epochs"] == modality_measures.TRAINING["epochs"]
    assert null["world"]["null"]
    assert null["world"]["size"] == {"users": 2500, "items": 3000, "length": 20}
    assert modality.settings_of("over.ml1m.none.seed1")["world"]["length"] == 20
    for unit in every:
        assert modality.settings_of(unit)


def test_figures_of_other_settings_are_not_shown(tmp_path: Path) -> None:
    """Contrast at other weights under the same name would be a row of the wrong method."""
    figures = {"top1": 0.5, "auroc": 0.5, "preference": 0.5, "mass": {}, "p@10": 0.5, "gauc": 0.5}
    for variant, changes in (("softmax", {}), ("contrast", {"method": {"use": "siftrec:Demure"}})):
        unit = f"planted.plain.{variant}.seed1"
        stored = {"settings": modality.settings_of(unit) | changes, "figures": figures}
        (tmp_path / f"{unit}.json").write_text(json.dumps(stored))
    (tmp_path / "planted.plain.gone.seed1.json").write_text(json.dumps({"settings": {}, "figures": figures}))
    told = "\n".join(modality_tables.sections(tmp_path))
    assert "three modalities: softmax | 0.500 | 1" in told
    assert "contrast |" not in told
    assert "gone" not in told


def test_a_unit_says_what_it_was_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A generator that draws other worlds would leave figures that nobody can tell from those of today's."""
    monkeypatch.setattr(modality, "RESULTS", tmp_path)
    monkeypatch.setattr(modality_measures, "trained_on", lambda world, method, seed: None)
    monkeypatch.setattr(modality_measures, "causes", lambda trained, world: {"events": len(world.split.log.items)})
    for seed in (1, 2):
        unit = f"planted.plain.softmax.seed{seed}"
        modality.run_unit(unit, tmp_path)
        told = json.loads((tmp_path / f"{unit}.json").read_text())
        log = modalities(seed=seed).split.log
        assert (told["log_sha256"], told["figures"]) == (log.fingerprint, {"events": len(log.items)})
        assert len(told["commit"]) >= 12
