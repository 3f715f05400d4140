"""A detector that was tampered with is refused before anything of it is taken over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import damage
from detectors.worlds import world
from siftrec import files, seeds
from siftrec.artifact import WEIGHTS, load, save
from siftrec.detectors.blend import Blend
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import ArtifactError
from siftrec.methods.base import Model
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.contrast import Contrast
from siftrec.methods.denoise import Denoise
from siftrec.synthetic import behaviours
from siftrec.train.checkpoint import Progress, State
from siftrec.train.fit import fit
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
    ("name", "change"),
    [
        (f"{DETECTOR}scale", torch.zeros_like),
        (f"{DETECTOR}detectors.likelihood.background", lambda old: old + 501),
        (f"{DETECTOR}detectors.likelihood.background", lambda old: old - 1),
        (f"{DETECTOR}detectors.cooccurrence.popularity", lambda old: old - 1),
        (PAIRS, lambda old: torch.tensor([[3], [2], [1]], dtype=torch.int32)),
    ],
)
@pytest.mark.parametrize("part", ["model", "best"])
def test_impossible_values_change_nothing(name: str, change: Change, part: str) -> None:
    state = State.fresh(model(1), Training())
    saved = State.fresh(model(2), Training())
    saved.keep_best()
    tensors = saved.tensors()
    tensors[f"{part}.{name}"] = change(tensors[f"{part}.{name}"])
    before = {key: tensor.clone() for key, tensor in state.model.state_dict().items()}
    with pytest.raises(ArtifactError, match=r"scale|background|counts"):
        state.restore(tensors, Progress(best_epoch=0))
    after = state.model.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    state.restore(saved.tensors(), Progress(best_epoch=0))


def test_an_artifact_with_an_impossible_detector_is_refused(tmp_path: Path) -> None:
    small = behaviours("easy", users=30, items=1000, length=6)
    method = CCL4Rec(dim=4, contrast=Contrast(vanilla=0, graded=0, over=0), denoise=HOW)
    save(fit(method, small.split, small.catalog, epochs=1, patience=0), tmp_path)
    path = tmp_path / WEIGHTS
    tensors = files.read_tensors(path)
    tensors[f"{DETECTOR}scale"] = -tensors[f"{DETECTOR}scale"]
    files.write_tensors(path, tensors)
    damage.reseal(tmp_path)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors.*scale of a detector"):
        load(tmp_path)
