"""Co-occurrence against a loop that counts anew without the user."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.worlds import world
from siftrec.data.sequences import Sequences
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.synthetic import Name

HISTORIES = st.lists(st.lists(st.integers(1, 7), max_size=8), min_size=2, max_size=8)
FEW = settings(max_examples=60, deadline=None, derandomize=True)


def log_of(histories: list[list[int]]) -> Sequences:
    items = np.array([item for history in histories for item in history], np.int32)
    return Sequences.from_items(items, np.array([len(history) for history in histories]))


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
    found = Cooccurrence.fit(log, 8).judge(log, np.arange(len(log)))
    alone = [counted(history, histories[:u] + histories[u + 1 :]) for u, history in enumerate(histories)]
    np.testing.assert_allclose(found, [score for scores in alone for score in scores], atol=1e-5)


@FEW
@given(HISTORIES, st.lists(st.integers(1, 7), max_size=8))
def test_a_history_of_nobody_is_judged_by_all(histories: list[list[int]], history: list[int]) -> None:
    found = Cooccurrence.fit(log_of(histories), 8).judge(log_of([history]))
    np.testing.assert_allclose(found, counted(history, histories), atol=1e-5)


def test_a_foreign_item_in_a_users_history_does_not_take_from_its_counts() -> None:
    histories = [[1, 2], [1, 3], [2, 3], [3, 4]]
    found = Cooccurrence.fit(log_of(histories), 5).judge(log_of([[1, 4]]), np.array([0]))
    np.testing.assert_allclose(found, counted([1, 4], histories[1:]), atol=1e-6)


def test_long_histories_are_judged_in_pieces() -> None:
    rng = np.random.default_rng(1)
    log = log_of([rng.integers(1, 60, 45).tolist() for _ in range(20)])
    table, first = Cooccurrence.fit(log, 60), log_of([log[3].tolist()])
    whole = table.judge(first, np.array([3]))
    parts = [table.judge(log_of([part.tolist()]), np.array([3])) for part in np.split(log[3], 3)]
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-6)


@pytest.mark.parametrize(("level", "least"), [("easy", 0.81), ("mid", 0.72), ("hard", 0.65)])
def test_planted_noise_is_found(level: Name, least: float) -> None:
    log = world(level).log
    assert world(level).found(Cooccurrence.fit(log, len(world(level).catalog)).judge(log, world(level).users)) > least


def test_where_nothing_is_planted_nothing_is_found() -> None:
    null = world("easy", null=True)
    found = Cooccurrence.fit(null.log, len(null.catalog)).judge(null.log, null.users)
    assert null.found(found) == pytest.approx(0.5, abs=0.03)
