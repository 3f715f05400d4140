"""A detector that was tampered with is refused before anything of it is taken over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from detectors.worlds import world
from siftrec import seeds
from siftrec.detectors.blend import Blend
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import ArtifactError
from siftrec.methods.base import Model
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.denoise import Denoise
from siftrec.train.checkpoint import Progress, State
from siftrec.train.settings import Training

HOW = Denoise(detector=Blend(likelihood=Likelihood(folds=2, dim=4, epochs=1, steps=5, negatives=16)))
DETECTOR = "denoising.detector."
PAIRS = f"{DETECTOR}detectors.cooccurrence._extra_state"
Change = Callable[[torch.Tensor], torch.Tensor]


def model(seed: int) -> Model:
    small = world("mid", users=300, items=500, length=12)
    with seeds.initialised(seed, "weights"):
        return dataclasses.replace(CCL4Rec(dim=8), denoise=HOW).build(small.catalog)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (f"{DETECTOR}scale", torch.zeros_like),
        (f"{DETECTOR}detectors.likelihood.background", lambda old: old + 501),
        (f"{DETECTOR}detectors.likelihood.background", lambda old: old - 1),
        (f"{DETECTOR}detectors.cooccurrence.popularity", lambda old: old - 1),
        (PAIRS, lambda old: torch.tensor([[3], [2], [1]], dtype=torch.int32)),
    ],
)
@pytest.mark.parametrize("part", ["model", "best"])
def test_impossible_values_change_nothing(name: str, damage: Change, part: str) -> None:
    state = State.fresh(model(1), Training())
    saved = State.fresh(model(2), Training())
    saved.keep_best()
    tensors = saved.tensors()
    tensors[f"{part}.{name}"] = damage(tensors[f"{part}.{name}"])
    before = {key: tensor.clone() for key, tensor in state.model.state_dict().items()}
    with pytest.raises(ArtifactError, match=r"scale|background|counts"):
        state.restore(tensors, Progress(best_epoch=0))
    after = state.model.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    state.restore(saved.tensors(), Progress(best_epoch=0))
