"""ADT: which targets count how much, when, and whether those are noise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from kinds import LENGTH, found

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.sequences import Sequences
from siftrec.errors import SettingsError
from siftrec.methods.adt import ADT
from siftrec.methods.model import SequenceModel
from siftrec.methods.sasrec import SASRec
from siftrec.noise.measure import auroc
from siftrec.testing import check_method

STILL = SASRec(dim=8, length=5, dropout=0.0)
SMALL = SASRec(dim=16, length=LENGTH, heads=1, blocks=1)
ITEMS = torch.tensor([[0, 0, 5, 9, 7], [3, 8, 4, 2, 7], [0, 0, 0, 0, 6]])
TARGETS = torch.tensor([[0, 0, 9, 7, 1], [8, 4, 2, 7, 3], [0, 0, 0, 0, 2]])
WEIGHTS = torch.rand(3, 5, generator=torch.Generator().manual_seed(1)) + 0.2


def model_of(method: ADT) -> SequenceModel:
    with seeds.initialised(1, "weights"):
        model = method.build(Catalog(pl.Series(range(9))))
    assert isinstance(model, SequenceModel)
    return model


@torch.no_grad()
def looped(model: SequenceModel, method: ADT, share: float) -> float:
    """The loss by a loop over targets, against all items; every row on its own."""
    items_ND = model.local(model.every)(model.every)
    lost, weights = [], []
    for row in range(3):
        real = ITEMS[row] > 0
        states = model.encoder.states(items_ND[ITEMS[row, real]][None], real[real][None], None)[0]
        for user, target, weight in zip(states, TARGETS[row, real], WEIGHTS[row, real], strict=True):
            scores = [float(user @ items_ND[item]) for item in range(1, 10)]
            lost.append(math.log(sum(map(math.exp, scores))) - scores[int(target) - 1])
            weights.append(float(weight))
    if method.objective == "reweighted":
        weights = [weight * math.exp(-each) ** method.power for weight, each in zip(weights, lost, strict=True)]
    else:
        kept = sorted(lost)[: len(lost) - int(share * len(lost))]
        weights = [weight * (each <= kept[-1]) for weight, each in zip(weights, lost, strict=True)]
    return sum(w * each for w, each in zip(weights, lost, strict=True)) / sum(weights)


@pytest.mark.parametrize("objective", ["truncated", pytest.param("reweighted", marks=pytest.mark.slow)])
def test_contract(objective):
    check_method(ADT(base=SASRec(dim=16, length=8, blocks=1, heads=1), objective=objective, ramp=20))


@pytest.mark.parametrize("objective", ["truncated", "reweighted"])
def test_targets_that_lose_most_are_dropped_ever_more_or_weighted_by_their_probability(objective):
    """By a loop. A share that does not grow drops what is merely not learned yet; loss^β for p^β would feed the noise."""
    method = ADT(base=STILL, objective=objective, share=0.5, ramp=4, power=0.3)
    model, ones = model_of(method), torch.ones(3, 5)
    batch = Batch(ITEMS, TARGETS, WEIGHTS, torch.arange(3), ones)
    for share in (0.0, 0.125, 0.25, 0.375, 0.5, 0.5):
        found = method.loss(model, batch, seeds.generator(1, "loss"))["next_item"]
        assert found.item() == pytest.approx(looped(model, method, share), rel=1e-5), share


def test_a_log_is_judged_by_what_came_before_and_what_comes_first_stays():
    """Of two windows of a long history each judges its own; a first interaction nothing was predicted from."""
    method = ADT(base=STILL, share=0.5)
    model = model_of(method).train().eval()
    histories = [[3, 8, 4, 2, 7, 1, 6], [5, 9], [6], []]
    flat = np.array([item for history in histories for item in history], np.int32)
    log = Sequences.from_items(flat, np.array([len(history) for history in histories]))
    judged = method.judge(model, log)
    assert np.flatnonzero(np.isnan(judged.score)).tolist() == [0, 7, 9]
    before = {1: [3], 2: [3, 8], 5: [3, 8, 4, 2, 7][1:], 6: [8, 4, 2, 7, 1], 8: [5]}
    for event in (6, 8):
        scores = model.scores(torch.tensor([before[event]]))[0, 1:]
        assert judged.score[event] == pytest.approx(float(scores.log_softmax(0)[flat[event] - 1]), rel=1e-5)
    assert sorted(np.flatnonzero(judged.kept == 0)) == sorted(np.argsort(judged.score)[:3])


def test_a_model_of_prefixes_is_asked_as_it_was_trained_after_the_end_of_each():
    """After an inner column it never stood in training: what it lost there would say nothing of the interaction."""
    method = ADT(base=replace(STILL, rows="prefix"))
    model = model_of(method).train().eval()
    histories = [[3, 8, 4, 2, 7, 1, 6], [5, 9]]
    flat = np.array([item for history in histories for item in history], np.int32)
    judged = method.judge(model, Sequences.from_items(flat, np.array([7, 2])))
    assert np.flatnonzero(np.isnan(judged.score)).tolist() == [0, 7]
    event = 0
    for history in histories:
        for end in range(1, len(history)):
            scores = model.scores(torch.tensor([history[max(0, end - 5) : end]]))[0, 1:]
            expected = float(scores.log_softmax(0)[history[end] - 1])
            assert judged.score[event + end] == pytest.approx(expected, rel=1e-5)
        event += len(history)


@pytest.mark.parametrize(("objective", "least"), [("truncated", 0.65), ("reweighted", 0.8)])
def test_planted_noise_loses_more_and_nothing_is_found_where_there_is_none(objective, least):
    method = ADT(base=SMALL, objective=objective, share=0.2, ramp=40)
    judged, other = found(method, planted=True)
    assert auroc(other, -judged.score) > least
    assert judged.kept[other].mean() < judged.kept[~other].mean() - 0.05
    judged, other = found(method, planted=False, users=200)
    assert auroc(other, -judged.score) == pytest.approx(0.5, abs=0.04)


def test_a_base_that_gives_no_probability_is_refused():
    with pytest.raises(SettingsError, match=r"method\.base\.objective.*softmax"):
        ADT(base=SASRec(objective="gbce")).build(Catalog(pl.Series(range(9))))
