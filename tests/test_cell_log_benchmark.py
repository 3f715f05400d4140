"""What a cell is told of its noise, and what it must never be told."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import cell_log
import judges
import numpy as np
import pytest
from accuracy import Cell
from datasets import Data

from siftrec.data.split import TEST, TRAIN
from siftrec.detectors.likelihood import Likelihood
from siftrec.noise.inject import inject
from siftrec.synthetic import behaviours

RHO, SEED = 0.4, 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "Likelihood", partial(Likelihood, folds=2, epochs=2, steps=150))


@pytest.fixture(scope="module")
def data() -> Data:
    planted: Any = behaviours("easy", rho=0.0, users=600, items=500, seed=3)
    return Data(None, planted.split, planted.catalog)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ccl4rec-weighed", "oracle-detector", "oracle-detector-histories", "oracle-all"])
def test_noise_is_weighed_down_and_the_questions_stay(data: Data, name: str) -> None:
    cell = Cell("microlens50k", RHO, name, SEED)
    split, noisy = cell_log.split_of(cell, data), inject(data.split, "replace", RHO, SEED).noisy
    plain = cell_log.split_of(Cell("microlens50k", RHO, "ccl4rec-next", SEED), data)
    assert (split.test.targets.items == data.split.test.targets.items).all()
    assert (split.test.seen.items == plain.test.seen.items).all(), "what is filtered would make one question easier"
    assert len(split.log) == len(data.split.log)
    kept = len(split.log.items) / len(plain.log.items)
    if name in ("ccl4rec-weighed", "oracle-detector"):
        weights, train = split.log.weights, split.role == TRAIN
        assert weights is not None
        assert kept == 1
        assert (weights[~train] == 1).all()
        assert weights[train & noisy].mean() < weights[train & ~noisy].mean() - 0.25
    else:
        assert kept == pytest.approx(1 - noisy.mean(), abs=0.15)
        assert (split.role == TEST).sum() == (plain.role == TEST).sum()


def test_only_an_oracle_sees_the_log_without_noise(data: Data) -> None:
    """A detector that was told would pass for one that anybody could have."""
    noisy = replace(data, split=inject(data.split, "replace", RHO, SEED).split)
    other = inject(data.split, "replace", 0.2, SEED + 1).split
    for told in (False, True):
        found = [cell_log.judged(noisy, clean, told, SEED) for clean in (data.split, other)]
        assert (found[0] == found[1]).all() != told


def test_who_has_nothing_genuine_keeps_what_there_is(data: Data) -> None:
    """A user without a history could not be asked, and the test users would be others."""
    split = cell_log.without(data.split, np.asarray(data.split.role < TEST))
    assert (split.test.histories.lengths > 0).all()
    assert len(split.log.items) == len(data.split.log.items)
