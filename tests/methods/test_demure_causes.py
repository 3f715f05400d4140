"""What Demure's gate makes of planted causes, of a modality that says nothing and of one whose vectors are all alike.

The figures that the design asks for are held where the benchmark holds them, in the slow suite; a world that is trained on
in a second shows the same with less.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import modality_measures
import pytest

import siftrec as sr
from modality import SETTINGS, method_of
from siftrec.methods.demure import Demure
from siftrec.methods.gates import Gate
from siftrec.methods.late import LateFusion
from siftrec.synthetic.modalities import Extra, Size, modalities

SMALL = Size(users=300, items=400, length=12)
OPTIONS = {"epochs": 4, "patience": 0, "rows_per_user": 4, "learning_rate": 0.01, "schedule": "constant"}


def small(extra: Extra, calibrated: bool = True, null: bool = False) -> modality_measures.Figures:
    """Of a world of a second."""
    world = modalities(size=SMALL, extra=extra, null=null)
    base = LateFusion(dim=16, length=SMALL.length, negatives=64, lift="none")
    method: Any = Demure(base=base, gate=Gate(calibrated=calibrated))
    trained = sr.fit(method, world.split, world.catalog, seed=1, validate_users=1, **OPTIONS)  # type: ignore[arg-type]
    return modality_measures.causes(trained, world)


def test_a_modality_that_says_nothing_gets_less_than_its_share() -> None:
    """Its weight would be taken from what did cause the interaction. Where nothing says anything, all have a quarter."""
    found = small("useless")
    assert found["mass"]["useless"] < 0.2
    assert min(weight for name, weight in found["mass"].items() if name != "useless") > 0.25
    assert found["top1"] > 0.57
    null = small("useless", null=True)
    assert null["mass"]["useless"] == pytest.approx(0.25, abs=0.04)
    assert null["top1"] == pytest.approx(0.25, abs=0.04)
    assert null["auroc"] == pytest.approx(0.5, abs=0.03)


def test_a_modality_whose_vectors_are_all_alike_wins_only_without_the_guard() -> None:
    """Placeholder covers agree with every history; uncalibrated they would be called the cause of nearly everything."""
    guarded, bare = small("look_alike"), small("look_alike", calibrated=False)
    assert guarded["top1"] > 0.6
    assert guarded["mass"]["look_alike"] < 0.15
    assert bare["top1"] < guarded["top1"] - 0.3
    assert bare["mass"]["look_alike"] > 0.5


@cache
def full(setting: str, variant: str = "softmax") -> modality_measures.Figures:
    """As `benchmarks/modality.py` measures it, one seed."""
    world = modalities(**SETTINGS[setting], seed=1)
    return modality_measures.causes(modality_measures.trained_on(world, method_of(variant), 1), world)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("setting", ["plain", "useless", "look_alike"])
def test_the_cause_is_found_as_well_as_the_design_asks(setting: str) -> None:
    found = full(setting)
    assert found["top1"] >= 0.72
    assert found["auroc"] >= 0.88
    assert found["preference"] >= 0.80
    assert found["mass"].get(setting, 0.0) < 0.10


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_gate_that_asks_the_content_alone_and_a_world_without_causes_are_at_chance() -> None:
    for found in (full("plain", "attention"), full("null")):
        assert found["top1"] == pytest.approx(1 / 3, abs=0.03)
        assert found["auroc"] == pytest.approx(0.5, abs=0.03)
        assert found["preference"] == pytest.approx(0.0, abs=0.1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_without_the_guard_alike_vectors_win_in_the_full_world_too() -> None:
    assert full("look_alike", "uncalibrated")["top1"] <= full("look_alike")["top1"] - 0.1
