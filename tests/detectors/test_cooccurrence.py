"""Co-occurrence against a loop that counts anew without the user."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.worlds import world
from siftrec.data.sequences import Sequences
from siftrec.detectors.cooccurrence import Cooccurrence, PairCounts
from siftrec.detectors.fitted import judge, judge_drawn
from siftrec.detectors.slots import replaced
from siftrec.errors import ArtifactError
from siftrec.noise.measure import auroc
from siftrec.synthetic import Name

HISTORIES = st.lists(st.lists(st.integers(1, 7), max_size=8), min_size=2, max_size=8)
NONE = torch.zeros(1, 0)
FEW = settings(max_examples=60, derandomize=True)


def log_of(histories: list[list[int]]) -> Sequences:
    items = np.array([item for history in histories for item in history], np.int32)
    return Sequences.from_items(items, np.array([len(history) for history in histories]))


def counts(log: Sequences, size: int) -> PairCounts:
    return PairCounts(Cooccurrence(), size).fit(log, NONE, 7)


def scored(found: PairCounts, log: Sequences, users: np.ndarray | None = None) -> np.ndarray:
    return judge(found, log, NONE, users)


def counted(history: list[int], others: list[list[int]]) -> list[float]:
    """By the definition, one pair at a time."""
    found = []
    for item in history:
        terms = []
        for other in history:
            if other != item:
                seen = sum(item in each and other in each for each in others)
                expected = sum(item in each for each in others) * sum(other in each for each in others)
                terms.append(math.log((seen + 0.5) / (expected / max(len(others), 1) + 0.5)))
        found.append(sum(terms) / len(terms) if terms else 0.0)
    return found


@FEW
@given(HISTORIES)
def test_every_user_is_judged_by_the_others(histories: list[list[int]]) -> None:
    log = log_of(histories)
    found = scored(counts(log, 8), log, np.arange(len(log)))
    alone = [counted(history, histories[:u] + histories[u + 1 :]) for u, history in enumerate(histories)]
    np.testing.assert_allclose(found, [score for scores in alone for score in scores], atol=1e-5)


@FEW
@given(HISTORIES, st.lists(st.integers(1, 7), max_size=8))
def test_a_history_of_nobody_is_judged_by_all(histories: list[list[int]], history: list[int]) -> None:
    found = scored(counts(log_of(histories), 8), log_of([history]))
    np.testing.assert_allclose(found, counted(history, histories), atol=1e-5)


@FEW
@given(HISTORIES, st.integers(0, 99))
def test_a_drawn_item_is_judged_by_neither_user_it_stands_with_nor_the_one_it_came_from(
    histories: list[list[int]], seed: int
) -> None:
    """One who is left in vouches for the noise, and what users did looks genuine beside nothing but popularity."""
    log = log_of(histories)
    background = replaced(log, log.owners, 50, seed)
    found = judge_drawn(counts(log, 8), background, NONE, np.arange(len(log)))
    for number, owner in enumerate(background.owners):
        history, row = background.histories[number].tolist(), background.histories.owners == number
        place = background.slots[number] - background.histories.offsets[number]
        alike = [
            donor
            for donor, had in enumerate(histories)
            if donor != owner and [item in had for item in history] == background.shared[row].tolist()
        ]
        expected = {
            counted(history, [had for user, had in enumerate(histories) if user not in (owner, donor)])[place]
            for donor in alike
        }
        assert history[place] in histories[alike[0]]
        assert len(expected) == 1
        assert found[number] == pytest.approx(expected.pop(), abs=1e-5)


def test_on_a_sparse_log_of_nothing_but_popularity_what_users_did_is_no_more_genuine_than_noise() -> None:
    """The one whose item is drawn makes one more of the few who had it: then such a log flags half of itself."""
    rng, odds = np.random.default_rng(1), np.arange(1, 10_001) ** -0.8
    rows = [(rng.choice(10_000, 10, replace=False, p=odds / odds.sum()) + 1).tolist() for _ in range(1200)]
    log = log_of(rows)
    table, users = counts(log, 10_001), np.arange(len(log))
    real, drawn = scored(table, log, users), judge_drawn(table, replaced(log, log.owners, 12_000, 1), NONE, users)
    truth = np.arange(len(real) + len(drawn)) >= len(real)
    assert auroc(truth, -np.concatenate([real, drawn])) == pytest.approx(0.5, abs=0.03)


def test_long_histories_are_judged_in_pieces() -> None:
    rng = np.random.default_rng(1)
    log = log_of([rng.integers(1, 60, 45).tolist() for _ in range(20)])
    table, first = counts(log, 60), log_of([log[3].tolist()])
    whole = scored(table, first, np.array([3]))
    parts = [scored(table, log_of([part.tolist()]), np.array([3])) for part in np.split(log[3], 3)]
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-6)


@pytest.mark.parametrize(("level", "least"), [("easy", 0.81), ("mid", 0.72), ("hard", 0.65)])
def test_planted_noise_is_found(level: Name, least: float) -> None:
    log = world(level).log
    assert world(level).found(scored(counts(log, len(world(level).catalog)), log, world(level).users)) > least


def test_where_nothing_is_planted_nothing_is_found() -> None:
    null = world("easy", null=True)
    found = scored(counts(null.log, len(null.catalog)), null.log, null.users)
    assert null.found(found) == pytest.approx(0.5, abs=0.03)


def test_a_restored_detector_judges_the_same_and_damage_is_refused() -> None:
    mid = world("mid")
    one, two = counts(mid.log, len(mid.catalog)), PairCounts(Cooccurrence(), len(mid.catalog))
    two.load_state_dict(one.state_dict())
    assert (scored(two, mid.log, mid.users) == scored(one, mid.log, mid.users)).all()
    assert (scored(two, mid.log) == scored(one, mid.log)).all()
    pairs = one.get_extra_state()
    for damaged in (pairs.flip(1), pairs[:1], -pairs, pairs.float(), pairs + len(mid.catalog), pairs[[1, 0, 2]]):
        with pytest.raises(ArtifactError, match="pairs"):
            two.load_state_dict(one.state_dict() | {"_extra_state": damaged})


def test_smoothing_holds_rare_pairs_back() -> None:
    log = log_of([[1, 2], [1, 3], [2, 3], [4, 5]])
    little, much = (PairCounts(Cooccurrence(smoothing=each), 6).fit(log, NONE, 7) for each in (0.1, 10.0))
    assert scored(little, log_of([[4, 5]]))[0] > scored(much, log_of([[4, 5]]))[0] > 0


def test_of_a_long_history_the_latest_count() -> None:
    """A single user with 10,000 interactions would bring fifty million pairs."""
    log = log_of([list(range(1, 603)), [1, 2], [601, 602]])
    table = counts(log, 603)
    low, high, had = table.get_extra_state()
    assert len(had) == 500 * 499 // 2 + 1
    assert had.dtype == torch.int32
    assert had[(low == 1) & (high == 2)].tolist() == [1]
    assert had[(low == 601) & (high == 602)].tolist() == [2]
