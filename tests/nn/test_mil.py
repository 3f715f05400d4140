"""Multiple-instance losses against loops, and their limits: what breaks here teaches gates the wrong modality."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siftrec import seeds
from siftrec.nn.losses.mil import bags, mil_logistic, mil_nce


def logits(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = seeds.generator(seed, "mil")
    draw, real = (torch.randn(3, 2, 7, generator=rng), torch.rand(3, 2, 7, generator=rng) < 0.6)
    return draw[..., :4], real[..., :4], draw[..., 4:], real[..., 4:]


def bag(values: torch.Tensor, real: torch.Tensor) -> float:
    kept = [math.exp(v) for v, r in zip(values.tolist(), real.tolist(), strict=True) if r]
    return math.log(sum(kept) / len(kept))


@given(seed=st.integers(0, 1000))
def test_both_losses_equal_their_formulas_written_as_loops(seed: int) -> None:
    chosen, member, background, there = logits(seed)
    weight = torch.rand(3, 4, generator=seeds.generator(seed, "weights")) * member.any(dim=1)
    nce, right, wrong = [], [], []
    for row in range(3):
        drawn = [bag(background[row, :, j], there[row, :, j]) for j in range(3) if there[row, :, j].any()]
        for t in range(4):
            if member[row, :, t].any():
                own = bag(chosen[row, :, t], member[row, :, t])
                counts = float(weight[row, t])
                nce.append(-counts * math.log(math.exp(own) / (math.exp(own) + sum(map(math.exp, drawn)))))
                right.append(counts * math.log1p(math.exp(-own)))
        wrong += [math.log1p(math.exp(value)) for value in drawn]
    given_ = (bags(chosen, member), weight, bags(background, there), there.any(dim=1))
    mean = [sum(nce) / float(weight.sum() or 1), sum(right) / float(weight.sum() or 1), sum(wrong) / max(len(wrong), 1)]
    assert mil_nce(*given_).item() == pytest.approx(mean[0], abs=1e-5)
    assert mil_logistic(*given_).item() == pytest.approx(mean[1] + mean[2], abs=1e-5)


def test_a_bag_does_not_grow_with_its_number_of_equal_members() -> None:
    one = bags(torch.full((1, 3, 1), 1.7), torch.tensor([True, False, False]).view(1, 3, 1))
    all_ = bags(torch.full((1, 3, 1), 1.7), torch.ones(1, 3, 1, dtype=torch.bool))
    assert one.item() == pytest.approx(1.7) == pytest.approx(all_.item())


def test_empty_bags_give_no_loss_and_no_gradient() -> None:
    value = torch.randn(2, 2, 3, generator=seeds.generator(1, "empty")).requires_grad_()
    none = torch.zeros(2, 2, 3, dtype=torch.bool)
    for loss in (mil_nce, mil_logistic):
        found = loss(bags(value, none), none.any(dim=1), bags(value, none), none.any(dim=1))
        found.backward()
        assert found.item() == 0
    assert value.grad is not None
    assert not value.grad.any()
