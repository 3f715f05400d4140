"""Pairwise and calibrated losses against loops, limits, and what calibration promises."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siftrec.nn.losses.pairwise import bpr_loss, distinct_negatives, gbce_loss, others, uninformed


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(rows: int = 5, count: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores of targets and negatives, which negatives count, weights of rows."""
    counted = torch.rand(rows, count, generator=rng(3)) < 0.7
    counted[0] = False
    positive, negative = torch.randn(rows, generator=rng(1)), torch.randn(rows, count, generator=rng(2))
    return positive, negative, counted, torch.rand(rows, generator=rng(4))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bpr_equals_its_loop():
    positive, negative, counted, weights = drawn()
    expected = 0.0
    for row in range(5):
        pairs = [-math.log(sigmoid(float(positive[row] - negative[row, k]))) for k in range(7) if counted[row, k]]
        expected += float(weights[row] / weights.sum()) * (sum(pairs) / len(pairs) if pairs else 0.0)
    assert bpr_loss(positive, negative, counted, weights).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("alpha", "t"), [(0.05, 0.0), (0.05, 0.75), (0.3, 1.0), (1.0, 0.4)])
def test_gbce_equals_the_formula_of_the_paper(alpha, t):
    """Their β, and −( log σ^β(s⁺) + Σ log(1 − σ(s⁻)) ) / (K + 1)."""
    positive, negative, counted, weights = drawn()
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    expected = 0.0
    for row in range(5):
        value = math.log(sigmoid(float(positive[row])) ** beta)
        value += sum(math.log(1 - sigmoid(float(negative[row, k]))) for k in range(7) if counted[row, k])
        expected -= float(weights[row] / weights.sum()) * value / 8
    assert gbce_loss(positive, negative, counted, weights, alpha, t).item() == pytest.approx(expected, rel=1e-5)


def slope(count: int, t: float) -> float:
    """Largest gradient of the expected loss where every σ(s) is the probability of its item: 6 items, `count` drawn."""
    odds = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.2, 0.3])
    scores = torch.logit(odds).requires_grad_()
    loss = torch.zeros(())
    draws = list(itertools.combinations(range(6), count))
    for target, chosen in itertools.product(range(6), draws):
        items = torch.tensor(chosen)
        counted = (items != target)[None]
        each = gbce_loss(scores[target][None], scores[items][None], counted, torch.ones(1), count / 6, t)
        loss = loss + odds[target] / len(draws) * each
    (gradient,) = torch.autograd.grad(loss, scores)
    return float(gradient.abs().max())


def test_calibration_makes_scores_probabilities_again_and_without_it_they_are_not():
    """What gBCE is for: drawing few negatives must not make the model overconfident."""
    assert slope(2, 1.0) < 1e-6
    assert slope(6, 0.0) < 1e-6, "nothing is sampled, so nothing is to be calibrated"
    assert slope(2, 0.0) > 1e-2


def test_the_uninformed_score_is_where_nothing_known_pulls_nowhere():
    """One target among N alike items, K drawn: the expected gradient of that score is zero, of zero it is not."""
    size, count, t = 1000, 50, 0.75
    for start, balanced in ((uninformed(count / size, t, count), True), (0.0, False)):
        score = torch.tensor([start]).requires_grad_()
        everywhere = torch.ones(1, count, dtype=torch.bool)
        gbce_loss(score, score.expand(1, count), everywhere, torch.ones(1), count / size, t).backward()
        assert (abs(score.grad.item()) < 1e-3) == balanced


@pytest.mark.parametrize("loss", [bpr_loss, lambda *given: gbce_loss(*given, 0.1, 0.75)])
def test_zero_weights_give_zero_loss_and_finite_gradient(loss):
    positive, negative, counted, _ = drawn()
    positive.requires_grad_()
    value = loss(positive, negative, counted, torch.zeros(5))
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(positive.grad).all()


@given(st.lists(st.lists(st.integers(0, 11), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(1, 14))
def test_a_row_s_own_items_are_no_negatives_of_it(rows, count):
    negatives = distinct_negatives((torch.arange(12) > 0).float(), count, rng(count))
    found = others(torch.tensor(rows), negatives, 12)
    expected = [[item not in row for item in negatives.items_K.tolist()] for row in rows]
    assert found.tolist() == expected


def test_negatives_are_distinct_follow_their_weights_and_run_out():
    weights = torch.tensor([0.0, 1.0, 1.0, 4.0, 0.0])
    first = torch.zeros(5)
    for seed in range(600):
        items = distinct_negatives(weights, 2, rng(seed)).items_K
        assert len(set(items.tolist())) == 2
        first[items[0]] += 1 / 600
    assert (first[[0, 4]] == 0).all()
    assert first[3].item() == pytest.approx(4 / 6, abs=0.08)
    assert first[1].item() == pytest.approx(1 / 6, abs=0.06)
    assert sorted(distinct_negatives(weights, 9, rng()).items_K.tolist()) == [1, 2, 3]
