"""SASRec with calibrated binary cross-entropy, and with content."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import siftrec as sr
from siftrec import seeds
from siftrec.data.interactions import Interactions
from siftrec.data.loader import Batch
from siftrec.errors import SettingsError
from siftrec.methods.sasrec import SASRec
from siftrec.synthetic import behaviours
from siftrec.testing import check_method

SMALL = {"dim": 16, "length": 8, "negatives": 64}


# Binary cross-entropy begins slowly; with most of the 600 items drawn, four short epochs are enough.
@pytest.mark.parametrize(
    "more",
    [
        {"objective": "gbce", "negatives": 500, "calibration": 0.0},
        {"content": True},
        {"rows": "prefix"},
        {"rows": "prefix", "objective": "gbce", "negatives": 500, "calibration": 0.0},
    ],
    ids=["gbce", "content", "prefixes", "gbce, prefixes"],
)
def test_contract(more):
    check_method(SASRec(**SMALL | more))


class Told(nn.Module):
    """An encoder that answers every history with the same state."""

    def __init__(self, state_D: torch.Tensor) -> None:
        super().__init__()
        self.state_D = nn.Parameter(state_D)

    def forward(self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        """The state, for every row."""
        return self.state_D.expand(len(vectors_BLD), -1)


@pytest.mark.parametrize("negatives", [2, 6, 60])
def test_calibrated_scores_are_probabilities_however_many_negatives_are_asked_of_few_items(negatives):
    """At t = 1 the loss rests there and is the full cross-entropy, but for α; drawing 60 of 6 items would shift both."""
    odds, rows = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.2, 0.3]), 20_000
    method = SASRec(dim=6, heads=1, objective="gbce", calibration=1.0, negatives=negatives)
    model = method.build(sr.Catalog(pl.Series(range(6))))
    model.tower.ids.weight.data[1:] = torch.eye(6)  # so that the state is the scores
    drawn = min(negatives, 6)
    model.encoder = Told(torch.logit(odds) + math.log(6))  # less the constant, log(β / K)
    targets = torch.repeat_interleave(torch.arange(1, 7), (odds * rows).round().long()).unsqueeze(1)
    ones = torch.ones(rows, 1)
    batch = Batch(targets, targets, ones, torch.arange(rows), ones)
    loss = method.loss(model, batch, seeds.generator(1, "loss"))["next_item"]
    loss.backward()
    assert model.encoder.state_D.grad.abs().max() < 4e-3
    entropy = -float((odds * odds.log() + (1 - odds) * (1 - odds).log()).sum())
    assert loss.item() * (1 + drawn) / (drawn / 6) == pytest.approx(entropy, rel=0.01)


def test_without_content_a_catalog_s_content_changes_nothing():
    planted = behaviours("easy", users=60, items=600, length=8)
    bare = sr.Catalog(planted.catalog.vocab.ids)
    with_it, without = (
        sr.fit(SASRec(**SMALL), planted.split, catalog, epochs=1, seed=3).scorer.tensors()
        for catalog in (planted.catalog, bare)
    )
    assert with_it.keys() == without.keys()
    assert all(torch.equal(with_it[name], without[name]) for name in without)


def test_content_is_refused_where_there_is_none():
    with pytest.raises(SettingsError, match=r"method.content.*the catalog has none"):
        SASRec(content=True).build(sr.Catalog(pl.Series(range(3))))


def cold(content: bool) -> float:
    """How often an item never trained on scores higher for users of its own kind of content than the other kind's."""
    rng = np.random.default_rng(5)
    users, length, half = 200, 8, 40
    drawn = rng.integers(0, half - 10, (users, length)) + half * (np.arange(users) % 2)[:, None]
    row = np.arange(users * length)
    frame = pl.DataFrame({"user": row // length, "item": drawn.ravel(), "time": row % length, "row": row})
    kind = np.where(np.arange(2 * half) < half, -1.0, 1.0)[:, None]
    vectors = (kind + 0.5 * rng.standard_normal((2 * half, 6))).astype(np.float32)
    ids = pl.Series(range(2 * half))
    catalog = sr.Catalog(ids, look=sr.Modality(vectors, np.ones(2 * half, dtype=bool)))
    split = sr.leave_one_out(Interactions(frame, "order"))
    trained = sr.fit(SASRec(**SMALL, content=content), split, catalog, epochs=5, learning_rate=0.01, seed=2)
    scores = (trained.users([list(each) for each in drawn]) @ trained.scorer.items().T)[:, 1:]
    right = scores[:, 2 * half - 10 :].mean(dim=1) > scores[:, half - 10 : half].mean(dim=1)
    return float((right.numpy() == (np.arange(users) % 2 == 1)).mean())


def test_content_places_items_never_trained_on_and_ids_alone_cannot():
    assert cold(content=True) > 0.9
    assert cold(content=False) < 0.75
