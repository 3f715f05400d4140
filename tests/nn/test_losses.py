"""Losses against loops, limits and invariances."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec.nn.losses.contrast import (
    contrast_over_contrast,
    false_negative_mask,
    graded,
    info_nce,
    one_class,
    strengths,
)
from siftrec.nn.losses.softmax import every_item, sampled_negatives, slots_of, softmax_loss


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=rng(seed)), dim=-1)


@pytest.mark.parametrize(("rows", "draws"), [(1, 3), (7, 40), (700, 900)])
def test_fused_softmax_equals_autograd_in_value_and_gradient(rows, draws):
    size, dim = 60, 8
    table = torch.randn(size, dim, generator=rng(1), dtype=torch.float64)
    users = torch.randn(rows, dim, generator=rng(2), dtype=torch.float64)
    targets = torch.randint(1, size, (rows,), generator=rng(3))
    weights = torch.rand(rows, generator=rng(4), dtype=torch.float64)
    popularity = torch.rand(size, generator=rng(5))
    popularity[0] = 0
    drawn = sampled_negatives(popularity, draws, rng(6))
    offset = drawn.offset_K.double()

    def fused(u, t):
        hit = slots_of(targets, drawn, size)
        return softmax_loss(u, t[targets], t[drawn.items_K], offset, hit, weights)

    def plain(u, t):
        positive = (u * t[targets]).sum(1)
        logits = u @ t[drawn.items_K].T - offset
        logits = logits.masked_fill(drawn.items_K == targets[:, None], -torch.inf)
        each = torch.cat([positive[:, None], logits], dim=1).logsumexp(1) - positive
        return (each * weights).sum() / weights.sum()

    results = []
    for loss in (fused, plain):
        u, t = users.clone().requires_grad_(), table.clone().requires_grad_()
        value = loss(u, t)
        value.backward()
        results.append((value.detach(), u.grad, t.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_merging_repeated_negatives_changes_no_sum():
    """A negative drawn c times is one column whose correction counts c times."""
    popularity = torch.tensor([0.0, 5.0, 1.0, 1.0])
    drawn = sampled_negatives(popularity, 50, rng())
    q = popularity[drawn.items_K] / popularity.sum()
    repeats = torch.exp(torch.log(50 * q) - drawn.offset_K)
    assert repeats.sum().item() == pytest.approx(50, abs=1e-3)
    torch.testing.assert_close(repeats, repeats.round(), rtol=0, atol=1e-4)


def test_sampled_softmax_is_a_consistent_estimate_of_the_full_one():
    """With many corrected draws the sampled loss approaches the full softmax; without correction it does not."""
    size, dim, rows = 40, 6, 64
    table = torch.randn(size, dim, generator=rng(1))
    users = torch.randn(rows, dim, generator=rng(2))
    targets = torch.randint(1, size, (rows,), generator=rng(3))
    ones = torch.ones(rows)
    popularity = torch.rand(size, generator=rng(4)) ** 3
    popularity[0] = 0
    full = every_item(size)
    exact = softmax_loss(users, table[targets], table[full.items_K], full.offset_K, slots_of(targets, full, size), ones)
    drawn = sampled_negatives(popularity, 200_000, rng(5))
    hit = slots_of(targets, drawn, size)
    near = softmax_loss(users, table[targets], table[drawn.items_K], drawn.offset_K, hit, ones)
    far = softmax_loss(users, table[targets], table[drawn.items_K], drawn.offset_K * 0, hit, ones)
    assert near.item() == pytest.approx(exact.item(), abs=0.02)
    assert abs(far.item() - exact.item()) > 0.02 or full.items_K.equal(drawn.items_K)


def test_zero_weights_give_zero_loss_and_finite_gradient():
    users = torch.randn(3, 4, requires_grad=True)
    items = torch.randn(3, 4)
    loss = softmax_loss(users, items, items, torch.zeros(3), torch.full((3,), -1), torch.zeros(3))
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(users.grad).all()


@given(st.integers(1, 6), st.sampled_from(["quality", "distance", "both", "equal"]), st.sampled_from(["pull", "push"]))
@settings(max_examples=40)
def test_strengths_sum_to_the_surviving_views(views, mode, action):
    damage, similar = torch.rand(9, views, generator=rng(1)), torch.rand(9, views, generator=rng(2))
    made = torch.rand(9, views, generator=rng(3)) < 0.6
    found = strengths(damage, similar, made, mode, action, 0.1)
    torch.testing.assert_close(found.sum(1), made.sum(1).float(), rtol=0, atol=1e-5)
    assert (found[~made] == 0).all()


def test_infinite_strength_temperature_is_equal_strengths():
    damage, similar = torch.rand(9, 3, generator=rng(1)), torch.rand(9, 3, generator=rng(2))
    made = torch.rand(9, 3, generator=rng(3)) < 0.7
    equal = strengths(damage, similar, made, "equal", "pull", 0.1)
    for mode in ("quality", "distance", "both"):
        assert strengths(damage, similar, made, mode, "push", math.inf).equal(equal)


def test_strengths_pull_the_least_damaged_and_push_the_most_damaged():
    damage = torch.tensor([[0.05, 0.2]])
    made, similar = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[0.9, 0.1]])
    pull = strengths(damage, similar, made, "quality", "pull", 0.1)
    push = strengths(damage, similar, made, "quality", "push", 0.1)
    assert pull[0, 0] > pull[0, 1]
    assert push[0, 1] > push[0, 0]
    assert strengths(damage, similar, made, "distance", "pull", 0.1)[0, 1] > 1, "far positives are pulled harder"
    assert strengths(damage, similar, made, "distance", "push", 0.1)[0, 0] > 1, "near negatives are pushed harder"


def test_graded_contrast_equals_its_formula():
    rows, views, tau = 5, 3, 0.2
    near, far = torch.rand(rows, views, generator=rng(1)), torch.rand(rows, views, generator=rng(2))
    pull, push = torch.rand(rows, views, generator=rng(3)), torch.rand(rows, views, generator=rng(4))
    pull[0], push[1, 0] = 0, 0
    others = torch.rand(rows, rows, generator=rng(5)).masked_fill(torch.eye(rows, dtype=torch.bool), -torch.inf)
    each = []
    for row in range(1, rows):
        rest = sum(push[row, n] * math.exp(far[row, n] / tau) for n in range(views))
        rest += sum(math.exp(others[row, u] / tau) for u in range(rows) if u != row)
        own = [math.exp(near[row, v] / tau) for v in range(views)]
        each.append(float(sum(-pull[row, v] * math.log(own[v] / (own[v] + rest)) for v in range(views)) / views))
    assert graded(near, far, pull, push, others, tau).item() == pytest.approx(sum(each) / len(each), rel=1e-5)


def test_graded_contrast_without_any_positive_is_zero_with_finite_gradient():
    near = torch.rand(3, 2, requires_grad=True)
    nothing = torch.zeros(3, 2)
    loss = graded(near, near, nothing, nothing, torch.full((3, 3), -torch.inf), 0.2)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(near.grad).all()


def test_contrast_over_contrast_equals_its_loop():
    similar, damage = torch.rand(6, 4, generator=rng(1)), torch.rand(6, 4, generator=rng(2)) * 0.1
    made = torch.rand(6, 4, generator=rng(3)) < 0.8
    terms = []
    for row in range(6):
        for i in range(4):
            for j in range(4):
                gap = damage[row, j] - damage[row, i]
                if made[row, i] and made[row, j] and gap > 0.01:
                    terms.append(max(0.0, (0.7 * gap - (similar[row, i] - similar[row, j])).item()))
    found = contrast_over_contrast(similar, damage, made, 0.7)
    assert found.item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_contrast_over_contrast_is_zero_exactly_when_order_and_margin_hold():
    damage = torch.tensor([[0.0, 0.1, 0.3]])
    made = torch.ones(1, 3, dtype=torch.bool)
    assert contrast_over_contrast(1 - damage, damage, made, 1.0).item() == pytest.approx(0, abs=1e-6)
    assert contrast_over_contrast(1 - 0.9 * damage, damage, made, 1.0).item() > 0
    assert contrast_over_contrast(torch.rand(1, 3), damage * 0, made, 1.0).item() == 0


def test_info_nce_equals_its_loop_and_ignores_masked_pairs():
    left, right = unit(5, 8, seed=1), unit(5, 8, seed=2)
    mask = ~torch.eye(5, dtype=torch.bool)
    mask[0, 3] = False  # 3 is no negative of 0, but 0 is one of 3: the way back reads the mask by columns

    def loop(a, b, allowed):
        total = 0.0
        for row in range(5):
            s = [math.exp((a[row] @ b[c]).item() / 0.2) for c in range(5) if c == row or allowed[row, c]]
            total -= math.log(math.exp((a[row] @ b[row]).item() / 0.2) / sum(s))
        return total / 5

    expected = 0.5 * (loop(left, right, mask) + loop(right, left, mask.T))
    assert info_nce(left, right, mask, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_false_negative_mask_leaves_out_self_same_target_and_the_closest():
    content = unit(60, 16)
    content[7] = content[3] + 0.01
    same = torch.zeros(60, 60, dtype=torch.bool)
    same[1, 2] = same[2, 1] = True
    mask = false_negative_mask(content, same, 0.02)
    assert not mask.diagonal().any()
    assert not mask[1, 2]
    assert not mask[3, 7]
    assert (~mask).sum(1).min() >= 1 + math.ceil(0.02 * 59)
    assert false_negative_mask(content, same, 0.0).sum() == 60 * 59 - 2


@given(st.integers(2, 6), st.integers(0, 7), st.floats(0.1, 2.0))
@settings(max_examples=30)
def test_one_class_by_loop(members, others, temperature):
    """Each member's share of every other member; were members counted against themselves, collapse would pay."""
    m, o = unit(members, 5, seed=members), unit(others, 5, seed=9)
    expected = 0.0
    for i in range(members):
        rest = [m[j] for j in range(members) if j != i]
        mass = sum(math.exp(float(m[i] @ each) / temperature) for each in [*rest, *o])
        expected -= sum(float(m[i] @ each) / temperature - math.log(mass) for each in rest) / len(rest) / members
    assert one_class(m, o, temperature).item() == pytest.approx(expected, rel=1e-4)
    assert one_class(m[:1], o, temperature).item() == 0
