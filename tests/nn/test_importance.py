"""Importance: agreement against a loop, the guards, calibration, planted noise with its null."""

import pytest
import torch

from siftrec.nn.importance import (
    agreement,
    calibrated,
    calibration,
    geometry,
    hubness,
    top_mean,
)
from siftrec.nn.shares import shares


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_top_mean_equals_topk_and_ignores_what_does_not_count():
    values = torch.randn(4, 7, 5, generator=rng())
    torch.testing.assert_close(top_mean(values, 3, 1), values.topk(3, dim=1).values.mean(1))
    torch.testing.assert_close(top_mean(values, 9, 2), values.mean(2))
    values[0, :, 0] = -torch.inf
    values[1, 2:, 0] = -torch.inf
    found = top_mean(values, 3, 1)
    assert found[0, 0] == -torch.inf
    assert found[1, 0].item() == pytest.approx(values[1, :2, 0].mean().item())


def test_top_mean_leaves_its_input_alone_and_takes_any_k():
    values = torch.randn(3, 6, 4, generator=rng())
    before = values.clone()
    for k in range(1, 9):
        torch.testing.assert_close(top_mean(values, k, 1), values.topk(min(k, 6), dim=1).values.mean(1))
    assert torch.equal(values, before)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_top_mean_has_the_gradient_of_topk(k):
    """What learns through agreement would be pulled by neighbours that do not count, or by none."""
    values = torch.randn(4, 7, 5, generator=rng(), dtype=torch.float64)
    values[1, 2:, 0] = -torch.inf
    values[2, :, 1] = -torch.inf
    weight = torch.randn(4, 5, generator=rng(1), dtype=torch.float64)
    found, wanted = values.clone().requires_grad_(), values.clone().requires_grad_()
    best = wanted.topk(min(k, 7), dim=1).values
    real = best > -torch.inf
    mean = torch.where(real, best, 0.0).sum(1) / real.sum(1).clamp_min(1)
    some = real.any(dim=1)
    (torch.where(some, top_mean(found, k, 1), 0.0) * weight).sum().backward()
    (mean * weight).sum().backward()
    torch.testing.assert_close(found.grad, torch.where(values > -torch.inf, wanted.grad, 0.0))


def test_equals_at_the_edge_share_the_gradient():
    """Two copies of an item vouch equally: which of them counts must not depend on their order."""
    values = torch.tensor([0.9, 0.5, 0.5, 0.5, 0.1]).requires_grad_()
    top_mean(values, 3, 0).backward()
    torch.testing.assert_close(values.grad, torch.tensor([1 / 3, 2 / 9, 2 / 9, 2 / 9, 0.0]))


def test_cosine_is_the_mean_over_parts_present_in_both():
    parts = [torch.randn(6, 4, generator=rng(1)), torch.randn(6, 3, generator=rng(2))]
    parts[0][2] = 0
    parts[1][2] = 0
    parts[1][3] = 0
    space = geometry(parts, [1.0, 1.0])
    unit = [torch.nn.functional.normalize(part, dim=1) for part in parts]
    found = space.cosine(torch.arange(6)[None], torch.arange(6)[None])[0]
    assert found[0, 1].item() == pytest.approx(sum(float(u[0] @ u[1]) for u in unit) / 2, abs=1e-6)
    assert found[0, 3].item() == pytest.approx(float(unit[0][0] @ unit[0][3]), abs=1e-6), (
        "one shared part decides alone"
    )
    assert (found[2] == -torch.inf).all(), "an item without content can be compared with nothing"


def test_agreement_equals_its_loop_and_duplicates_do_not_vouch_for_themselves():
    vectors = torch.randn(20, 8, generator=rng(3))
    vectors[0] = 0
    space = geometry([vectors], [1.0])
    items = torch.tensor([[0, 0, 4, 4, 7, 9, 2], [1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 0, 5]])
    found = agreement(space, items, items, 3)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    for row in range(3):
        for slot in range(7):
            item = int(items[row, slot])
            others = [int(other) for other in items[row] if other not in (0, item)]
            if item == 0 or not others:
                assert found.raw_BC[row, slot] == -torch.inf
                assert found.neighbours_BC[row, slot] == 0
                continue
            best = sorted((float(unit[item] @ unit[other]) for other in others), reverse=True)[:3]
            assert found.raw_BC[row, slot].item() == pytest.approx(sum(best) / len(best), abs=1e-5)
            assert found.neighbours_BC[row, slot] == len(others)


def test_an_item_like_everything_is_a_hub():
    base = torch.randn(300, 16, generator=rng(4))
    base[0] = 0
    base[1] = base[2:].mean(0) * 0 + torch.ones(16) * 2
    base[2:] += torch.ones(16)
    hub = hubness(geometry([base], [1.0]), torch.arange(2, 300))
    assert hub[1] > hub[2:].quantile(0.9)
    assert hub[0] == 0


def test_calibrated_background_has_mean_zero_and_deviation_one_for_every_neighbour_count():
    count = torch.randint(1, 6, (20_000,), generator=rng(5))
    score = torch.randn(20_000, generator=rng(6)) / count + count
    mean, deviation = calibration(score, count)
    z = (score - mean[count]) / deviation[count]
    for neighbours in range(1, 6):
        own = z[count == neighbours]
        assert abs(own.mean()) < 1e-4
        assert abs(own.std() - 1) < 1e-4


def test_without_neighbours_the_score_is_zero_and_shares_sum_to_one():
    space = geometry([torch.nn.functional.pad(torch.eye(5), (0, 0, 1, 0))], [1.0])
    items = torch.tensor([[0, 0, 3], [1, 2, 3]])
    found = agreement(space, items, items, 3)
    z = calibrated(found, torch.zeros(2, 3), (torch.zeros(17), torch.ones(17)))
    assert z[0].abs().sum() == 0
    pi = shares(z, items > 0)
    torch.testing.assert_close(pi.sum(1), torch.ones(2))
    assert (pi[items == 0] == 0).all()
