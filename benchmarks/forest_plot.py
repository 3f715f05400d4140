"""Differences with their intervals, one below the other, as an SVG file of its own in the colours of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from curves_plot import STYLE, WIDTH
from markupsafe import Markup

from siftrec.report.charts import Scale, element, interval
from siftrec.report.data import Estimate

NAMES, FIGURES = 325, 165
"""Room for names at the left, and for figures at the right."""
TOP, ROW, HEADING, BOTTOM = 34, 36, 30, 40
ENDS = 0.3
"""Differences beyond are arrows, so that those near 0 can be told apart."""
BAND = 0.02
SHAPES = (
    ".fill-genuine {fill: var(--genuine)} .whisker {stroke: var(--genuine); stroke-width: 3; stroke-linecap: round} "
    ".rule {stroke: var(--axis); stroke-dasharray: 4 3} .band {fill: var(--genuine); opacity: .17}"
)


class Row(NamedTuple):
    """One difference.

    Attributes:
        first, second: what is compared; first − second.
        estimate: the difference as a share of the second, with its 95 % interval.
        told: beside it.
    """

    first: str
    second: str
    estimate: Estimate
    told: str


def forest(title: str, groups: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The file: groups of rows under their headings, a band of ± 2 % around no difference.

    Args:
        title: above the plot, and what it is called.
        groups: heading and rows of each; at least one row.
    """
    ends = Scale(-ENDS, ENDS, (-ENDS, -ENDS / 2, 0.0, ENDS / 2, ENDS))
    parts, y = [], TOP
    for heading, rows in groups:
        parts.append(element("text", heading, class_="title", x=12, y=y + HEADING - 9))
        y += HEADING
        for row in rows:
            parts += _row(row, ends, y)
            y += ROW
    for tick in ends.ticks:
        parts.append(element("text", f"{tick:+.0%}" if tick else "0", x=_x(ends, tick), y=y + 18, text_anchor="middle"))
    parts.append(element("text", "first − second, as a share of the second", class_="muted", x=12, y=y + 18))
    height = y + BOTTOM
    heads = [
        element("title", title),
        Markup("<style>{}</style>").format(Markup(f"{STYLE} {SHAPES}")),
        element("rect", class_="ground", width=WIDTH, height=height, rx=6),
        element("text", title, class_="title", x=12, y=22),
    ]
    named = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "width": WIDTH, "height": height}
    return str(element("svg", *heads, *parts, view_box=f"0 0 {WIDTH} {height}", **named)) + "\n"


def _row(row: Row, ends: Scale, y: float) -> list[Markup]:
    """Both names, the interval or an arrow to where it lies, and what is told of it."""
    middle = y + ROW / 2
    parts = [
        element("text", row.first, x=12, y=middle - 3),
        element("text", f"− {row.second}", class_="muted", x=12, y=middle + 13),
        element("text", row.told, x=WIDTH - 12, y=middle + 5, text_anchor="end"),
    ]
    value = row.estimate.value
    if abs(value) < ENDS:
        place = {"x": NAMES, "y": y, "width": WIDTH - NAMES - FIGURES, "height": ROW}
        return [*parts, element("svg", interval(row.estimate, ends, 0.0, band=BAND), **place)]
    x, way = _x(ends, ENDS if value > 0 else -ENDS), 1 if value > 0 else -1
    shape = f"M{x - 12 * way} {middle - 6} {x} {middle} {x - 12 * way} {middle + 6}Z"
    return [*parts, element("path", class_="fill-genuine", d=shape)]


def _x(scale: Scale, value: float) -> float:
    return round(NAMES + scale.share(value) * (WIDTH - NAMES - FIGURES), 1)
