"""Numbers as they are read."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftrec.report.data import Estimate, Mark
from siftrec.report.marks import Company
from siftrec.report.words import between, counted, decimal, exactly, judged, level, percent, plain, vouched


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0 %"), (1.0, "100 %"), (0.312, "31 %"), (0.042, "4.2 %"), (0.0042, "0.42 %"), (0.00003, "0.0030 %"),
        (0.9999, "99.99 %"), (0.0999, "10 %"), (-0.05, "−5.0 %"), (None, "not measured"), (math.nan, "not measured"),
    ],
)  # fmt: skip
def test_percent(value: float | None, shown: str) -> None:
    assert percent(value).replace("\u00a0", " ") == shown


@given(st.floats(1e-6, 1 - 1e-6))
def test_a_share_is_never_rounded_to_none_or_all(value: float) -> None:
    figure = float(percent(value).split("\u00a0")[0])
    assert 0 < figure < 100
    assert math.isclose(figure, 100 * value, rel_tol=0.06)


def test_decimals_keep_small_differences() -> None:
    shown = [decimal(value) for value in (0.7531, 0.0432, 0.000123, 0.0, 1.0, math.inf)]
    assert shown == ["0.753", "0.043", "0.00012", "0.000", "1.000", "not measured"]
    assert [decimal(value, True) for value in (0.00158, -0.00023, 0.0)] == ["+0.0016", "−0.00023", "0.000"]
    assert exactly(0.05) == "5\u00a0%"


def test_intervals_need_both_ends() -> None:
    assert between(Estimate(0.3, 0.25, 0.35)).replace("\u00a0", " ") == "25 % to 35 %"
    assert [between(Estimate(0.3, low)) for low in (None, 0.2, math.nan)] == ["", "", ""]


@given(st.text(max_size=2000))
def test_plain_text_is_one_short_line_that_says_something(text: str) -> None:
    shown = plain(text)
    shown.encode()
    assert 0 < len(shown) <= 161
    assert not [char for char in shown if char in "\n\r\t\x00\u202e\u2067\x85\u2028"]
    assert plain("Amélie  🎬\n") == "Amélie 🎬"
    assert plain(" \u2028 ") == "(empty)"


def test_an_interaction_is_judged_in_words_beside_its_colour() -> None:
    mark = Mark(3, "i", None, 0.1, False, 4)
    said = [
        judged(Mark(1, "i", None, *each)) for each in ((0.9, True, 2), (0.6, False, 2), (0.3, False, 2), (0.9, True, 0))
    ]
    assert judged(mark) == "Fits its history"
    assert said == ["Flagged as noise", "More likely noise than not", "Doubtful", "Cannot be judged"]
    assert vouched(mark).startswith("4 others could vouch for it; it goes with nothing")
    assert vouched(replace(mark, evidence=0)) == "Nothing else in this history could vouch for it."
    together = replace(mark, company=Company("<b>Up</b>", 12, 3.14159))
    said = "of the whole history it goes best with <bdi>&lt;b&gt;Up&lt;/b&gt;</bdi>: 12 users with both, 3.1 by chance."
    assert vouched(together) == f"4 others could vouch for it; {said}"
    assert [level(noise) for noise in (0.0, 0.19, 0.2, 0.79, 1.0)] == [0, 0, 1, 3, 4]
    assert counted(1, "user") == "1 user"
