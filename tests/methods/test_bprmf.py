"""BPR-MF against the contract, its loop, and on groups of items that are there or not."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.interactions import Interactions
from siftrec.data.loader import Batch
from siftrec.data.split import leave_one_out
from siftrec.methods.bprmf import BPRMF
from siftrec.testing import check_method
from siftrec.train.fit import fit


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_contract(sampling):
    check_method(BPRMF(dim=16, length=8, negatives=64, sampling=sampling))


@pytest.mark.parametrize("normaliser", [0.0, 0.5, 1.0])
def test_the_loss_is_the_mean_over_pairs_of_a_target_and_an_item_not_had(normaliser):
    """A loop over all pairs: with as many negatives as items, all but the row's own are drawn."""
    method = BPRMF(dim=4, length=3, negatives=20, normaliser=normaliser, l2=0.1)
    with seeds.initialised(1, "weights"):
        model = method.build(Catalog(pl.Series(range(9))))
    read, scored = model.read.weight.detach(), model.scored.weight.detach()
    histories, targets, weights = [[2, 5, 2], [7]], [4, 1], [0.3, 1.0]
    rows, squares = [], []
    for history, target, weight in zip(histories, targets, weights, strict=True):
        user = sum(read[item] for item in history) / len(history) ** normaliser
        losses = [
            -math.log(1 / (1 + math.exp(-float(user @ scored[target] - user @ scored[other]))))
            for other in range(1, 10)
            if other != target and other not in history
        ]
        rows.append(weight * sum(losses) / len(losses))
        squares.append(weight * float(user @ user + scored[target] @ scored[target]))
    items_BL = torch.tensor([[2, 5, 2], [0, 0, 7]])
    batch = Batch(items_BL, torch.tensor([[4], [1]]), torch.tensor([[0.3], [1.0]]), torch.arange(2), torch.ones(2, 3))
    losses = method.loss(model, batch, seeds.generator(1, "loss"))
    assert losses["pairs"].item() == pytest.approx(sum(rows) / sum(weights), rel=1e-5)
    mean = sum(squares) / sum(weights) + float(scored[1:].square().sum(dim=1).mean())
    assert losses["l2"].item() == pytest.approx(0.1 * mean, rel=1e-5)


def test_targets_that_weigh_nothing_move_nothing():
    """Were the penalty deaf to weights, interactions held for false positives would still pull on their items."""
    with seeds.initialised(1, "weights"):
        model = BPRMF(dim=4).build(Catalog(pl.Series(range(9))))
    items_BL = torch.tensor([[2, 5, 2], [0, 0, 7]])
    batch = Batch(items_BL, torch.tensor([[4], [1]]), torch.zeros(2, 1), torch.arange(2), torch.ones(2, 3))
    losses = BPRMF(dim=4).loss(model, batch, seeds.generator(1, "loss"))
    assert {name: loss.item() for name, loss in losses.items()} == {"pairs": 0, "l2": 0}


@pytest.mark.parametrize(("sampling", "power"), [("uniform", 0.0), ("popularity", 0.75)])
def test_negatives_follow_the_power_of_popularity_that_was_asked_for(sampling, power):
    """What a step moves, beside its target, is what it drew; counts themselves would draw the head a tenth too often."""
    rng, row = np.random.default_rng(6), np.arange(3000)
    items = rng.choice(6, len(row), p=[0.7, 0.2, 0.05, 0.01, 0.02, 0.02])
    frame = pl.DataFrame({"user": row // 10, "item": items, "time": row % 10, "row": row})
    split, method = leave_one_out(Interactions(frame, "order")), BPRMF(dim=4, negatives=1, sampling=sampling, l2=0)
    with seeds.initialised(1, "weights"):
        model = method.build(Catalog(split.items.ids))
    method.start_epoch(model, split.fitting, 0, 1)
    batch = Batch(torch.tensor([[6]]), torch.tensor([[5]]), torch.ones(1, 1), torch.arange(1), torch.ones(1, 1))
    drawn, draw = torch.zeros(7), seeds.generator(1, "loss")
    for _ in range(3000):
        (moved,) = torch.autograd.grad(method.loss(model, batch, draw)["pairs"], model.scored.weight)
        drawn += moved.abs().sum(dim=1) > 0
    expected = torch.from_numpy(split.fitting.train.counts(7)[1:5]).float() ** power
    assert drawn[6] == 0, "an item of the history is no negative"
    torch.testing.assert_close(drawn[1:5] / drawn[1:5].sum(), expected / expected.sum(), rtol=0, atol=0.035)


def separation(planted: bool) -> float:
    """How often an item of a user's half of the catalog scores above one of the other half."""
    rng = np.random.default_rng(4)
    users, length, half = 200, 8, 30
    side = np.repeat(np.arange(users) % 2, length)
    drawn = rng.integers(0, half, users * length)
    items = drawn + half * (side if planted else rng.integers(0, 2, len(side)))
    row = np.arange(users * length)
    frame = pl.DataFrame({"user": row // length, "item": items, "time": row % length, "row": row})
    split = leave_one_out(Interactions(frame, "order"))
    trained = fit(BPRMF(dim=8, length=8), split, epochs=10, batch_size=64, learning_rate=0.01, seed=1, patience=0)
    vectors = trained.users([list(history) for history in items.reshape(users, length)[:40]])
    scores = (vectors @ trained.scorer.items().T)[:, 1:]
    right = torch.from_numpy(trained.items.ids.to_numpy() >= half)
    above = [
        float((own[right == bool(user % 2)][:, None] > own[right != bool(user % 2)][None]).float().mean())
        for user, own in enumerate(scores)
    ]
    return float(np.mean(above))


def test_groups_that_are_there_are_found_and_none_where_there_are_none():
    assert separation(planted=True) > 0.95
    assert separation(planted=False) == pytest.approx(0.5, abs=0.05)


def test_order_and_padding_of_a_history_do_not_matter_but_what_is_in_it_does():
    with seeds.initialised(1, "weights"):
        model = BPRMF(dim=4).build(Catalog(pl.Series(range(9))))
    scores = model.scores(torch.tensor([[0, 2, 5, 7], [0, 7, 5, 2], [0, 7, 5, 3]]))
    torch.testing.assert_close(scores[0], scores[1])
    assert not torch.allclose(scores[1], scores[2])
