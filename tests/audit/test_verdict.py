"""The rules of the verdict, one by one, and what gains are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftrec.audit.gains import TOGETHER, Gain, Pair, gains
from siftrec.audit.verdict import LEAVE, SHORT, WEIGHT, decide
from siftrec.evaluate.evaluation import About, Evaluation

SURE, UNSURE = 0.001, 0.6


def gain(proxy: str, relative: float, p: float, wide: float = 0.02) -> Gain:
    bounds = (relative - wide, relative + wide)
    return Gain(proxy, "raw", "ndcg@50", 5000, 1, 0.1, 0.1 * (1 + relative), relative, *bounds, p, p)


def answer(*family: Gain, users: int = 5000) -> str:
    return decide(family, users, "Noise.").answer


@pytest.mark.parametrize(
    ("first", "second", "both", "right"),
    [
        (gain("a", 0.04, SURE), gain("b", 0.01, UNSURE), gain(TOGETHER, 0.025, UNSURE), WEIGHT),
        (gain("a", 0.01, UNSURE), gain("b", 0.01, UNSURE), gain(TOGETHER, 0.01, SURE), WEIGHT),
        (gain("a", 0.003, SURE), gain("b", 0.004, SURE), gain(TOGETHER, 0.0035, SURE), LEAVE),
        (gain("a", 0.03, SURE), gain("b", -0.02, UNSURE), gain(TOGETHER, 0.005, UNSURE), LEAVE),
        (gain("a", 0.04, SURE), gain("b", -0.03, SURE), gain(TOGETHER, 0.005, UNSURE), LEAVE),
        (gain("a", 0.04, SURE), gain("b", -0.005, SURE), gain(TOGETHER, 0.017, SURE), WEIGHT),
        (gain("a", 0.02, SURE), gain("b", -0.08, UNSURE), gain(TOGETHER, -0.03, UNSURE), LEAVE),
        (gain("a", 0.0, UNSURE), gain("b", 0.0, UNSURE), gain(TOGETHER, 0.0, UNSURE), LEAVE),
        (gain("a", -0.2, SURE), gain("b", -0.1, SURE), gain(TOGETHER, -0.15, SURE), LEAVE),
        (gain("a", 0.02, UNSURE), gain("b", 0.0, UNSURE), gain(TOGETHER, 0.01, UNSURE, wide=0.07), SHORT),
        (gain("a", 0.04, UNSURE), gain("b", 0.04, UNSURE), gain(TOGETHER, 0.04, UNSURE, wide=0.07), SHORT),
        (gain("a", 0.02, UNSURE), gain("b", 0.02, UNSURE), gain(TOGETHER, 0.02, UNSURE, wide=0.02), LEAVE),
        # Harm, and a gain that is shown but small, answer before the interval does; a gain of nothing does not.
        (gain("a", 0.04, SURE), gain("b", -0.03, SURE), gain(TOGETHER, 0.005, UNSURE, wide=0.09), LEAVE),
        (gain("a", 0.03, SURE), gain("b", -0.02, UNSURE), gain(TOGETHER, 0.005, UNSURE, wide=0.09), LEAVE),
        (gain("a", 0.03, SURE), gain("b", -0.05, UNSURE), gain(TOGETHER, -0.01, UNSURE, wide=0.09), SHORT),
        (gain("a", 0.03, UNSURE), gain("b", -0.02, UNSURE), gain(TOGETHER, 0.005, UNSURE, wide=0.09), SHORT),
    ],
)
def test_rules(first: Gain, second: Gain, both: Gain, right: str) -> None:
    assert answer(first, second, both) == right


def test_few_users_or_no_hit_are_too_short() -> None:
    sure = gain("a", 0.3, SURE)
    assert answer(sure, users=199) == SHORT
    assert answer(sure, users=200) == WEIGHT
    assert answer() == SHORT


@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.01, 0.3))
def test_what_is_not_significant_is_never_weighted(a: float, b: float, wide: float) -> None:
    family = (gain("a", a, UNSURE, wide), gain("b", b, UNSURE, wide), gain(TOGETHER, (a + b) / 2, UNSURE, wide))
    assert answer(*family) != WEIGHT


def test_two_sentences_hold_the_figures() -> None:
    told = decide((gain("ItemKNN", 0.041, SURE),), 5000, "At most 21 % are noise.").sentences
    assert told.startswith("Weight it: ")
    for figure in ("ItemKNN +4.1%", "+2.1% to +6.1%", "p = 0.0010", "At most 21 %"):
        assert figure in told


def evaluation(values: np.ndarray, seed: int = 1) -> Evaluation:
    about = About("m", seed, "test", "leave-one-out", 50, {"train": "", "test": "same"}, 0.0, {}, {})
    table = values[None]
    return Evaluation(pl.Series(range(len(values))), ("ndcg@50",), {"seen": table, "none": table}, about)


def pair(name: str, one: Sequence[np.ndarray], other: Sequence[np.ndarray], against: str = "raw") -> Pair:
    sides = (tuple(evaluation(values, seed) for seed, values in enumerate(side)) for side in (one, other))
    return Pair(name, against, *sides)


def family(*pairs: Pair) -> dict[str, Gain]:
    return {each.proxy: each for each in gains(pairs, "ndcg@50", 7)}


def test_a_gain_is_the_relative_difference_of_means_and_holm_spans_the_family() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(400)
    better = base * 1.1 + 0.05 * rng.standard_normal(400)
    better, equal = better * 1.1 * base.mean() / better.mean(), base + 0.1 * rng.standard_normal(400)
    found = family(pair("good", [better], [base]), pair("idle", [equal], [base]))
    assert found["good"].relative == pytest.approx(0.1)
    assert found["good"].low < 0.1 < found["good"].high
    assert found[TOGETHER].relative == pytest.approx((found["good"].relative + found["idle"].relative) / 2)
    assert all(each.p_holm >= each.p for each in found.values())
    assert found["idle"].p == max(each.p for each in found.values())


@pytest.mark.parametrize("more", [0.0, 0.3, 1.0])
def test_the_interval_of_a_gain_covers_it_however_large_it_is(more: float) -> None:
    """Who reads +100 % [+60 to +140] plans by it; the baseline was measured on the same few users and may be off as well."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(150):
        both, alone, other = rng.random((3, 600)) < np.array([[0.025], [0.025 + 0.05 * more], [0.025]])
        found = family(pair("a", [(both | alone) * 1.0], [(both | other) * 1.0]))["a"]
        truth = (1 - 0.975 * (0.975 - 0.05 * more)) / (1 - 0.975**2) - 1
        covered.append(found.low <= truth <= found.high)
    assert 0.9 < np.mean(covered) < 1


def test_a_gain_of_as_much_for_all_is_certain() -> None:
    """Every user gains a tenth, so the ratio is no matter of who was asked: an interval would tell of doubt there is not."""
    base = np.random.default_rng(1).random(400)
    found = family(pair("a", [base * 1.1], [base]))["a"]
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_a_proxy_answers_with_its_smallest_gain_and_is_silent_without_hits() -> None:
    rng = np.random.default_rng(2)
    base = rng.random(300)
    more = base + 0.05 * rng.random(300)
    found = gains(
        [pair("a", [more], [base]), pair("a", [more], [more], "level"), pair("b", [base], [base * 0])], "ndcg@50", 7
    )
    assert [(each.proxy, each.against, each.relative) for each in found] == [("a", "level", 0.0)]


def test_all_together_say_what_they_are_compared_with() -> None:
    rng = np.random.default_rng(4)
    base = rng.random(300)
    more, most = base + 0.05 * rng.random(300), base + 0.1 * rng.random(300)
    harder, easier = pair("a", [most], [more], "level"), pair("a", [most], [base])
    other = pair("b", [most], [base])
    assert {name: each.against for name, each in family(easier, harder, other).items()} == {
        "a": "level",
        "b": "raw",
        TOGETHER: "mixed",
    }
    same = family(easier, harder, pair("b", [most], [base], "level"))
    assert {each.against for each in same.values()} == {"level"}


def test_training_noise_widens_the_interval_and_a_lucky_seed_proves_nothing() -> None:
    rng = np.random.default_rng(3)
    base = rng.random(20_000)

    def runs(*shifts: float) -> list[np.ndarray]:
        return [base * (1 + shift) + 0.05 * rng.standard_normal(20_000) for shift in shifts]

    steady = family(pair("a", runs(0.02, 0.02), runs(0, 0)))["a"]
    lucky = family(pair("a", runs(0.05, -0.01), runs(0.02, -0.02)))["a"]
    assert steady.p < 0.001
    assert lucky.relative == pytest.approx(steady.relative, abs=0.003)
    assert lucky.p > 0.2
    assert lucky.high - lucky.low > 5 * (steady.high - steady.low)


def test_seeds_that_differ_by_users_alone_are_not_counted_twice() -> None:
    """Without training noise the p values are uniform: two seeds per side reject as often as they should."""
    rejected = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        base = rng.random(200)
        sides: list[Any] = [[base + 0.3 * rng.standard_normal(200) for _ in range(2)] for _ in range(2)]
        rejected.append(family(pair("a", *sides))["a"].p < 0.05)
    assert 0.0 < np.mean(rejected) < 0.1


def test_other_questions_are_refused() -> None:
    one = evaluation(np.ones(5))
    other = replace(one, about=replace(one.about, fingerprint={"train": "", "test": "other"}))
    with pytest.raises(Exception, match="different test fingerprints"):
        gains([Pair("a", "raw", (one,), (other,))], "ndcg@50", 7)
