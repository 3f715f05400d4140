"""Drawings: well-formed, inside their frame, where the figures say, in colours that can be told from the ground."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report import sample
from siftrec.report import charts, palette
from siftrec.report.charts import Scale
from siftrec.report.data import Bin, Estimate, Mark, Point

FINITE = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(st.lists(FINITE, max_size=8))
def test_a_scale_holds_its_values_between_round_ends(values: list[float]) -> None:
    scale = Scale.over(values)
    assert scale.low < scale.high
    slack = 1e-6 * (scale.high - scale.low)
    assert all(scale.low - slack <= value <= scale.high + slack for value in [*values, 0.0])
    assert len(scale.ticks) <= 7
    assert math.isclose(scale.ticks[0], scale.low)
    assert math.isclose(scale.ticks[-1], scale.high)
    assert scale.share(scale.low) == 0.0
    assert scale.share(scale.high) == 1.0


def test_missing_figures_leave_the_scale_alone() -> None:
    assert Scale.over([math.nan, None, 0.4]) == Scale.over([0.4])
    assert Scale.over([5e-324]) == Scale.over([0.0])


def test_a_forest_row_stands_where_its_figures_say() -> None:
    row = ElementTree.fromstring(
        charts.interval(Estimate(0.5, 0.25, 0.75), Scale(0, 1, (0, 1)), 0.1, Estimate(0.9), 0.05)
    )
    where = {each.get("class"): each for each in row.iter()}
    assert where["fill-genuine"].get("cx") == "50.00%"
    assert (where["whisker"].get("x1"), where["whisker"].get("x2")) == ("25.00%", "75.00%")
    assert where["rule"].get("x1") == "10.00%"
    assert (where["band"].get("x"), where["band"].get("width")) == ("5.00%", "10.00%")
    assert row.find("svg").get("x") == "90.00%"  # type: ignore[union-attr]


def test_an_unknown_estimate_draws_no_point() -> None:
    row = charts.interval(Estimate(math.nan, None, None), Scale(0, 1, (0, 1)), 0.5)
    assert "circle" not in row
    assert "nan" not in row


def test_bars_of_a_histogram_are_as_tall_as_their_counts() -> None:
    bins = [Bin("0 to 1", 40, 10), Bin("1 to 2", 20), Bin("2 to 3", 0)]
    tree = ElementTree.fromstring(charts.histogram("k", "t", "d", bins, "x"))
    tall = {kind: [float(each.get("height", 0)) for each in tree.iter("rect") if each.get("class") == kind] for kind in
            ("fill-genuine", "fill-noise")}  # fmt: skip
    assert [height / tall["fill-genuine"][0] for height in tall["fill-genuine"]] == pytest.approx([1, 0.5], abs=0.01)
    assert tall["fill-noise"][0] / tall["fill-genuine"][0] == pytest.approx(0.25, abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 9)), max_size=6))
def test_curves_stay_inside_the_frame(rows: list[tuple[float, float, int]]) -> None:
    points = [Point(said, Estimate(found, found / 2, (found + 1) / 2), n) for said, found, n in rows]
    both = (charts.reliability("k", "t", "d", points), charts.concentration("k", "t", "d", [row[:2] for row in rows]))
    for drawing in both:
        for each in ElementTree.fromstring(drawing).iter():
            for x, y in _pairs(each.get("points", "")):
                assert 0 <= x <= 360
                assert 0 <= y <= 250


def _pairs(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def test_text_in_a_drawing_is_text() -> None:
    text = '<script>"&'
    tree = ElementTree.fromstring(charts.histogram("k", text, text, [Bin(text, 1)], text))
    assert [each.tag for each in tree.iter() if each.text == text] == ["title", "desc", "text", "text"]


def test_flags_and_what_cannot_be_judged_have_shapes_of_their_own() -> None:
    marks = [Mark(1, "a", None, 0.95, True, 2), Mark(2, "b", None, 0.05, False, 2), Mark(3, "c", None, 0.3, False, 0)]
    drawing = charts.strip(marks)
    assert re.findall('class="(level-.|unjudged|fill-noise)"', drawing) == [
        "level-4",
        "fill-noise",
        "level-0",
        "unjudged",
    ]


def luminance(colour: str) -> float:
    channels = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_colours_can_be_read_on_every_ground(colours: dict[str, str]) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for ground in palette.GROUNDS:
        for role in palette.TEXT:
            assert contrast(colours[role], colours[ground]) >= 4.5, (role, ground)
        for role in palette.DRAWN:
            assert contrast(colours[role], colours[ground]) >= 3, (role, ground)
    assert set(palette.LIGHT) == set(palette.DARK)


def test_the_style_uses_no_colour_outside_the_palette() -> None:
    page = sample.noise_page_text()
    style = page[page.index("<style>") : page.index("</style>")]
    assert set(re.findall(r"#[0-9a-fA-F]{6}\b", style)) == {*palette.LIGHT.values(), *palette.DARK.values()}
    assert set(re.findall(r"var\(--([a-z]+)\)", style)) <= set(palette.LIGHT)
