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
    rest = [each - {code} for each in others]
    drawn, events = (
        sum(len(each) for each, whole in zip(rest, others, strict=True) if code in whole),
        sum(map(len, rest)),
    )
    return {
        item: (
            sum({item, code} <= each for each in others),
            drawn * sum(item in each for each in others) / max(1, events),
        )
        for item in set(histories[row]) - {code}
    }


@settings(max_examples=200)
@given(HISTORIES)
def test_company_is_what_counting_says(histories: list[list[int]]) -> None:
    companies = Companies(of(histories), 7)
    for row, history in enumerate(histories):
        for code in set(history):
            counts, found = by_hand(histories, row, code), companies.best(row, code)
            clear = {k: n * math.log(n / e) for k, (n, e) in counts.items() if n >= FEWEST and n > e}
            if found is None:
                assert not clear
                continue
            item, both, chance = found
            assert both == counts[item][0]
            assert math.isclose(chance, counts[item][1])
            assert math.isclose(clear[item], max(clear.values()))


def test_chance_is_what_tasteless_users_have() -> None:
    """Were it less, everything would seem to go with something."""
    rng = np.random.default_rng(5)
    likely = 1 / np.arange(1, 401)
    histories = [rng.choice(400, 12, replace=False, p=likely / likely.sum()) + 1 for _ in range(1500)]
    both, chance = 0.0, 0.0
    for row, history in enumerate(histories[:150]):
        for item, (n, e) in by_hand([list(each) for each in histories[:600]], row, int(history[0])).items():
            both, chance = both + n, chance + e * (item > 0)
    assert 0.9 < both / chance < 1.1


def test_two_tastes_and_one_slip() -> None:
    """Users of one taste have 1-3, of the other 4-6; who has 4 among 1, 2 and 3 has it with nothing."""
    histories = [[1, 2, 3]] * 10 + [[4, 5, 6]] * 10 + [[1, 2, 3, 4]]
    companies = Companies(of(histories), 7)
    assert companies.best(20, 4) is None
    assert companies.best(20, 1) == (2, 10, 20 * 10 / 50)
