"""The leave-one-out model: against a loop, what may speak and what may not, and its normalisation."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from siftrec.nn.cloze import LONGEST, Cloze

SIZE, CONTENT, DIM = 30, 5, 6
ITEMS = torch.tensor([[0, 0, 4, 4, 7, 9, 2], [1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 0, 5], [0, 0, 0, 0, 8, 8, 8]])
BACKGROUND = torch.tensor([11, 12, 13, 11, 2, 29])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def content() -> torch.Tensor:
    vectors = torch.randn(SIZE, CONTENT, generator=rng(9))
    vectors[[0, 4, 13]] = 0
    return vectors


@pytest.fixture(params=[CONTENT, 0], ids=["content", "ids"])
def model(request: pytest.FixtureRequest) -> Cloze:
    """Every parameter away from its start, so that none can be forgotten unnoticed."""
    made = Cloze(SIZE, request.param, DIM, 0.5).eval()
    generator = rng(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    return made


def vectors_of(model: Cloze) -> torch.Tensor:
    return content() if model.content_asked is not None else content()[:, :0]


def vector(model: Cloze, side: str, item: int) -> torch.Tensor:
    found = getattr(model, side).weight[item]
    mapped = getattr(model, f"content_{side}")
    return found if mapped is None else found + mapped.weight @ content()[item]


def logit(model: Cloze, history: list[int], place: int, item: int) -> float:
    """By the equations, one number at a time: what the rest of a history says of an item in a place."""
    there = history[place]
    rest = [u for u, other in enumerate(history) if other not in (0, there)]
    near = torch.stack([model.distance[u - place + LONGEST] for u in rest]).softmax(0)
    c = sum(near[n] * vector(model, "speaks", history[u]) for n, u in enumerate(rest))
    h = c + model.back(functional.gelu(model.wide(c)))
    h = h * model.scale[min(len(rest), LONGEST)]
    return float(h @ vector(model, "asked", item) + model.bias[item])


@torch.no_grad()
def test_logits_equal_a_loop(model: Cloze) -> None:
    found = model(ITEMS, BACKGROUND, vectors_of(model))
    for row, history in enumerate(ITEMS.tolist()):
        for place, item in enumerate(history):
            speaks = item > 0 and any(other not in (0, item) for other in history)
            assert bool(found.judged_BL[row, place]) == speaks
            if speaks:
                assert float(found.own_BL[row, place]) == pytest.approx(logit(model, history, place, item), abs=1e-4)
                said = [logit(model, history, place, other) for other in BACKGROUND.tolist()]
                torch.testing.assert_close(found.background_BLK[row, place], torch.tensor(said), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_interaction_has_no_say_in_what_is_said_of_it(model: Cloze) -> None:
    """Another item put in its place is called what it was called as a background item there."""
    place, history, vectors = 2, ITEMS[1:2], vectors_of(model)
    before = model(history, BACKGROUND, vectors)
    for k, item in enumerate(BACKGROUND.tolist()):
        if item in history:
            continue
        changed = history.clone()
        changed[0, place] = item
        after = model(changed, BACKGROUND, vectors)
        torch.testing.assert_close(after.background_BLK[0, place], before.background_BLK[0, place])
        torch.testing.assert_close(after.own_BL[0, place], before.background_BLK[0, place, k])
        assert not torch.allclose(after.own_BL[0, place + 1], before.own_BL[0, place + 1]), "it does speak of others"


@torch.no_grad()
def test_the_same_item_elsewhere_does_not_vouch(model: Cloze) -> None:
    vectors = vectors_of(model)
    without = ITEMS[:1].clone()
    without[0, 2] = 0
    one, two = (model.information(items, BACKGROUND, vectors)[0] for items in (without, ITEMS[:1]))
    torch.testing.assert_close(one[3], two[3])
    assert not torch.allclose(one[4:], two[4:]), "for others it speaks"
    assert (model.information(ITEMS[2:], BACKGROUND, vectors) == 0).all(), "one item, once or thrice: nobody speaks"


@torch.no_grad()
def test_padding_company_and_asking_for_some_places_change_nothing(model: Cloze) -> None:
    vectors = vectors_of(model)
    every = model.information(ITEMS, BACKGROUND, vectors)
    padded = model.information(functional.pad(ITEMS, (5, 0)), BACKGROUND, vectors)
    torch.testing.assert_close(padded[:, 5:], every)
    assert (padded[:, :5] == 0).all()
    torch.testing.assert_close(model.information(ITEMS.flip(0), BACKGROUND, vectors).flip(0), every)
    torch.testing.assert_close(model.information(ITEMS[:2, 2:], BACKGROUND, vectors)[0], every[0, 2:])
    places = torch.tensor([[6, 2], [0, 0], [6, 1], [5, 6]])
    torch.testing.assert_close(model.information(ITEMS, BACKGROUND, vectors, places), every.gather(1, places))


@torch.no_grad()
def test_information_is_normalised_in_each_place(model: Cloze) -> None:
    """The mean ratio of a background item is 1, and what is added to all logits does not matter."""
    vectors, history = vectors_of(model), torch.tensor([[1, 3, 5, 6, 7]])
    ratios = []
    for item in BACKGROUND.tolist():
        changed = history.clone()
        changed[0, 1] = item
        ratios.append(math.exp(model.information(changed, BACKGROUND, vectors)[0, 1].item()))
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=1e-4)
    before = model.information(ITEMS, BACKGROUND, vectors)
    model.bias += 3
    torch.testing.assert_close(model.information(ITEMS, BACKGROUND, vectors), before, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_of_what_is_there(model: Cloze) -> None:
    vectors = vectors_of(model)
    weights = torch.rand(ITEMS.shape, generator=rng(3))
    found = model(ITEMS, BACKGROUND, vectors)
    total = weight = 0.0
    for row, place in torch.nonzero(found.judged_BL).tolist():
        other = found.background_BLK[row, place][ITEMS[row, place] != BACKGROUND]
        logits = torch.cat([found.own_BL[row, place].view(1), other])
        total += float(weights[row, place] * functional.cross_entropy(logits.view(1, -1), torch.tensor([0])))
        weight += float(weights[row, place])
    loss = model.loss(ITEMS, BACKGROUND, vectors, weights)
    assert float(loss) == pytest.approx(total / weight, abs=1e-4)
    heavier = model.loss(ITEMS, BACKGROUND, vectors, torch.where(found.judged_BL, weights, 5.0))
    assert float(heavier) == pytest.approx(float(loss), abs=1e-6), "what nobody speaks of is not learned from"


def test_nothing_to_learn_from_is_no_gradient(model: Cloze) -> None:
    loss = model.loss(ITEMS[2:], BACKGROUND, vectors_of(model), torch.ones(2, 7))
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


@torch.no_grad()
def test_without_ids_an_item_is_its_content() -> None:
    """A detector of foreign content that knew items by number could learn which content they had."""
    model, vectors = Cloze(SIZE, CONTENT, DIM, 0.5, ids=False).eval(), content()
    vectors[20] = vectors[3]
    other = ITEMS.where(ITEMS != 3, 20)
    torch.testing.assert_close(model(ITEMS, BACKGROUND, vectors).own_BL, model(other, BACKGROUND, vectors).own_BL)
    assert not [name for name, each in model.named_parameters() if len(each) == SIZE and each.requires_grad]
    with pytest.raises(ValueError, match="id embedding or content"):
        Cloze(SIZE, 0, DIM, 0.5, ids=False)
