"""Methods that are built around another one, and bases of one's own."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

import siftrec as sr
from siftrec.errors import SettingsError
from siftrec.methods.base import Losses, Model
from siftrec.methods.positions import asked, model_of
from siftrec.nn.encoders import Mean
from siftrec.settings import settings
from train.tiny import Tiny, TinyModel, log


@settings
class Stepless:
    """A learned method of one's own, whose author thought of no other around it."""

    length: int = 5
    rows: Literal["prefix"] = "prefix"

    def build(self, catalog: sr.Catalog) -> Model:
        return model_of(catalog, Mean(8, 0.0), 8, scale=1.0)

    def start_epoch(self, model: Any, data: Any, epoch: int, seed: int) -> None:
        if epoch == 0:
            model.count(data)

    def loss(self, model: Any, batch: Any, rng: torch.Generator) -> Losses:
        return asked(model, batch, model.negatives(64, 5000, rng), rng).losses


@settings
class Stepping(Stepless):
    """The same, with what it takes to be a base."""

    def step(self, model: Any, batch: Any, rng: torch.Generator) -> Any:
        return asked(model, batch, model.negatives(64, 5000, rng), rng)


@settings
class Torch(Tiny):
    """A model of torch alone."""

    def step(self, model: Any, batch: Any, rng: torch.Generator) -> Any:
        return None


@settings
class Grandchild(sr.SASRec):
    """SASRec in name."""

    def build(self, catalog: sr.Catalog) -> Model:
        return TinyModel(catalog, 8, 0.0)


def catalog(events: sr.Interactions) -> sr.Catalog:
    vectors = np.random.default_rng(3).normal(size=(len(events.items), 4)).astype(np.float32)
    return sr.Catalog(events.items, text=sr.features(vectors), image=sr.features(vectors[:, ::-1].copy()))


def fit(method: Any) -> sr.Trained:
    events = log()
    return sr.fit(method, sr.leave_one_out(events), catalog(events), epochs=1, batch_size=64)


@pytest.mark.parametrize("around", [sr.Demure, sr.CauseRec])
def test_a_base_of_one_s_own_needs_a_step(around: Any) -> None:
    """Its author would read of a protocol that is on no page, and could not tell what to write."""
    for base in (Stepless(), Stepping, sr.EASE()):
        with pytest.raises(
            SettingsError, match=rf"^{around.__name__}.base: must be .* with a `step` \(see .*own-method.md"
        ):
            around(base=base)
    assert len(fit(around(base=Stepping())).items) == 10


@pytest.mark.parametrize(
    "method",
    [
        sr.Demure(base=Torch()),
        sr.CauseRec(base=Torch()),
        sr.CL4SRec(base=Grandchild()),
        sr.ADT(base=Grandchild()),
        sr.HSD(base=Grandchild()),
    ],
    ids=lambda method: type(method).__name__,
)
def test_a_base_on_a_model_of_its_own_is_told_which_one_is_due(method: Any) -> None:
    """A missing attribute of their model would send its author looking for a fault in siftrec."""
    with pytest.raises(
        SettingsError, match=r"^method\.base\.use: build of \w+ gives TinyModel; due .* a SequenceModel, as"
    ):
        fit(method)
