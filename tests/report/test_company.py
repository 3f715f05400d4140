"""What an interaction goes with is what counting by hand says, and a planted noise interaction goes with nothing."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec.data.sequences import Sequences
from siftrec.report.company import FEWEST, Companies

HISTORIES = st.lists(st.lists(st.integers(1, 6), max_size=6), min_size=2, max_size=12)


def of(histories: list[list[int]]) -> Sequences:
    return Sequences.from_items(
        np.array([code for each in histories for code in each], np.int32), np.array([len(each) for each in histories])
    )


def by_hand(histories: list[list[int]], row: int, code: int) -> dict[int, tuple[int, float]]:
    """Other item of the history → others who have both, and how many would by chance."""
    others = [set(each) for user, each in enumerate(histories) if user != row]
    events, rest = sum(map(len, others)), sum(len(each) - 1 for each in others if code in each)
    return {
        item: (
            sum({item, code} <= each for each in others),
            rest * sum(item in each for each in others) / max(1, events),
        )
        for item in set(histories[row]) - {code}
    }


@settings(max_examples=200)
@given(HISTORIES)
def test_company_is_what_counting_says(histories: list[list[int]]) -> None:
    companies = Companies(of(histories), 7)
    for row, history in enumerate(histories):
        for code in set(history):
            counts, found = by_hand(histories, row, code), companies.of(row, code)
            total = sum(chance for _, chance in counts.values())
            if not total:
                assert found is None
                continue
            assert found is not None
            assert math.isclose(found.lift, sum(both for both, _ in counts.values()) / total, abs_tol=1e-12)
            clear = {k: n * math.log(n / e) for k, (n, e) in counts.items() if n >= FEWEST and n > e}
            if found.best is None:
                assert not clear
                continue
            item, both, chance = found.best
            assert both == counts[item][0]
            assert math.isclose(chance, counts[item][1])
            assert math.isclose(clear[item], max(clear.values()))


def test_two_tastes_and_one_slip() -> None:
    """Users of one taste have 1-3, of the other 4-6; who has 4 among 1, 2 and 3 has it with nothing."""
    histories = [[1, 2, 3]] * 10 + [[4, 5, 6]] * 10 + [[1, 2, 3, 4]]
    companies = Companies(of(histories), 7)
    slip, taste = companies.of(20, 4), companies.of(20, 1)
    assert slip is not None
    assert taste is not None
    assert (slip.lift, slip.best) == (0.0, None)
    assert taste.lift > 1.3
    assert taste.best == (2, 10, 20 * 10 / 60)
