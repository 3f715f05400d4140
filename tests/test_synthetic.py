"""The planted world: its truth is findable as measured before, and in the null setting nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from siftrec.data.split import TEST, TRAIN, VALID, LeaveOneOut
from siftrec.errors import UsageError
from siftrec.synthetic import LEVELS, Planted, behaviours

USERS, ITEMS, LENGTH = 2000, 4000, 20
NAMES = ["easy", "mid", "hard"]


@pytest.fixture(scope="module")
def worlds() -> dict[tuple[str, bool], Planted]:
    return {(name, null): behaviours(name, rho=0.4, null=null) for name in NAMES for null in (False, True)}


def histories(world: Planted) -> tuple[np.ndarray, np.ndarray]:
    """Items and truth (U, T), the test target aside."""
    shape = (USERS, LENGTH + 1)
    return world.split.log.items.reshape(shape)[:, :-1], world.noisy.reshape(shape)[:, :-1]


def auroc(noisy: np.ndarray, clean_score: np.ndarray) -> float:
    return float(roc_auc_score(noisy.ravel(), -clean_score.ravel().astype(float)))


def unit_content(world: Planted) -> np.ndarray:
    raw = world.catalog.modalities["content"].vectors(np.arange(ITEMS + 1))
    raw[1:] = (raw[1:] - raw[1:].mean(axis=0)) / raw[1:].std(axis=0)
    return raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)


def agreement(world: Planted) -> np.ndarray:
    """METHOD 2.1 in NumPy: mean of the three largest cosines to other items of the history, minus the item's hub."""
    vectors, (items, _) = unit_content(world), histories(world)
    cosine = vectors[items] @ vectors[items].transpose(0, 2, 1)
    cosine[items[:, :, None] == items[:, None, :]] = -2
    counts = world.split.train.counts(ITEMS + 1).astype(float)
    background = np.random.default_rng(0).choice(ITEMS + 1, 256, p=counts / counts.sum())
    hub = np.sort(vectors @ vectors[background].T, axis=1)[:, -10:].mean(axis=1)
    return np.sort(cosine, axis=2)[:, :, -3:].mean(axis=2) - hub[items]


@pytest.mark.parametrize(("name", "at_least"), [("easy", 0.95), ("mid", 0.88), ("hard", 0.78)])
def test_agreement_finds_the_noise_as_measured(worlds: dict, name: str, at_least: float) -> None:
    world = worlds[name, False]
    vectors, (items, noisy) = unit_content(world), histories(world)
    found = auroc(noisy, agreement(world))
    to_the_next = (vectors[items[:, :-1]] * vectors[items[:, 1:]]).sum(axis=2)
    assert found >= at_least
    assert auroc(noisy[:, :-1], to_the_next) <= found - 0.15


@pytest.mark.parametrize("name", NAMES)
def test_in_the_null_setting_nothing_is_found(worlds: dict, name: str) -> None:
    world = worlds[name, True]
    items, noisy = histories(world)
    counts = world.split.train.counts(ITEMS + 1)
    of_interest = (world.user_topics[:, None, :] == world.item_topic[items][:, :, None]).any(axis=2)
    for score in (agreement(world), counts[items], of_interest):
        assert auroc(noisy, score) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_popularity_alone_finds_nothing(worlds: dict, name: str) -> None:
    items, noisy = histories(worlds[name, False])
    counts = worlds[name, False].split.train.counts(ITEMS + 1)
    assert auroc(noisy, counts[items]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_is_topics(worlds: dict, name: str) -> None:
    world, level = worlds[name, False], LEVELS[name]
    log = world.split.log
    np.testing.assert_array_equal(world.noisy, ~world.of_interest(log.owners, log.items))
    assert world.user_topics.shape == (USERS, level.interests)
    assert (np.diff(np.sort(world.user_topics, axis=1), axis=1) > 0).all()
    assert set(world.item_topic[1:]) == set(range(level.topics))
    by_chance = level.interests / level.topics
    assert histories(world)[1].mean() == pytest.approx(0.4 * (1 - by_chance), abs=0.02)


def test_a_notebook_shows_a_world_in_one_line(worlds: dict) -> None:
    planted = next(iter(worlds.values()))
    assert repr(planted) == f"Planted({planted.split!r}, {int(planted.noisy.sum()):,} noisy)"


def test_no_noise_without_rho() -> None:
    assert not behaviours("easy", rho=0.0, users=200, items=1000).noisy.any()


def test_the_null_truth_is_a_coin(worlds: dict) -> None:
    assert histories(worlds["mid", True])[1].mean() == pytest.approx(0.4, abs=0.01)


def test_popularity_is_zipf(worlds: dict) -> None:
    """In the null setting every interaction is a plain draw: the top tenth of items holds the share the law gives."""
    counts = np.sort(worlds["mid", True].split.train.counts(ITEMS + 1)[1:])[::-1]
    law = np.arange(1, ITEMS + 1) ** -0.8
    assert counts[:400].sum() / counts.sum() == pytest.approx(law[:400].sum() / law.sum(), abs=0.03)


def test_candidates_are_twenty_of_interest_and_eighty_not(worlds: dict) -> None:
    world = worlds["hard", False]
    users = np.repeat(np.arange(USERS), 100)
    of_interest = world.of_interest(users, world.candidates.ravel()).reshape(USERS, 100)
    assert of_interest[:, :20].all()
    assert not of_interest[:, 20:].any()
    np.testing.assert_array_equal(world.split.test.targets.items, world.candidates[:, 0])
    key = users * (ITEMS + 1) + world.candidates.ravel()
    assert len(np.unique(key)) == len(key)
    items, _ = histories(world)
    assert not np.isin(key, (np.arange(USERS)[:, None] * (ITEMS + 1) + items).ravel()).any()


def test_the_split_is_leave_one_out(worlds: dict) -> None:
    world = worlds["mid", False]
    role = world.split.role.reshape(USERS, LENGTH + 1)
    assert (role[:, :-2] == TRAIN).all()
    assert (role[:, -2] == VALID).all()
    assert (role[:, -1] == TEST).all()
    assert not world.noisy.reshape(USERS, -1)[:, -1].any()
    again = LeaveOneOut()(world.events)
    np.testing.assert_array_equal(again.role, world.split.role)
    np.testing.assert_array_equal(again.items.decode(again.log.items), world.split.log.items)


def test_the_seed_decides() -> None:
    one, same, other = (behaviours(users=50, items=1000, seed=s) for s in (1, 1, 2))
    assert one.split.fingerprint == same.split.fingerprint
    assert one.split.fingerprint != other.split.fingerprint
    everything = np.arange(1001)
    content = [w.catalog.modalities["content"].vectors(everything) for w in (one, same, other)]
    np.testing.assert_array_equal(content[0], content[1])
    assert not np.array_equal(content[0], content[2])


@pytest.mark.parametrize("wrong", [{"items": 10}, {"items": 100}, {"length": 1}])
def test_refuses_too_little(wrong: dict) -> None:
    with pytest.raises(UsageError, match="items"):
        behaviours("hard", users=20, **wrong)
