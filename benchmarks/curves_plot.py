"""One plot of lines as an SVG file of its own, with the colours of the reports, light and dark."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from siftrec.report.charts import Scale, element
from siftrec.report.palette import DARK, LIGHT, variables

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 250, 44, 52
GAP = 17  # between two labels
STYLE = (
    f":root {{{variables(LIGHT)}}} @media (prefers-color-scheme: dark) {{:root {{{variables(DARK)}}}}} "
    "text {font: 13px system-ui, sans-serif; fill: var(--ink)} .title {font-weight: 600} .muted {fill: var(--muted)} "
    ".ground {fill: var(--card)} .grid {stroke: var(--line)} "
    ".line {fill: none; stroke-width: 2} .sparse {stroke-width: 1; opacity: .4} "
    ".spread {stroke-width: 1} .leader {stroke-width: 1; opacity: .5; stroke-dasharray: 1 4}"
)
Points = Mapping[float, Sequence[float]]


class Line(NamedTuple):
    """One method.

    Attributes:
        label: beside its last point.
        role: its colour, of `siftrec.report.palette`.
        dashed: whether it is another's.
        points: across → a value for each seed.
    """

    label: str
    role: str
    dashed: bool
    points: Points


def drawn(title: str, across: str, up: str, shares: Sequence[float], lines: Sequence[Line]) -> str:
    """The file: means joined by lines, from the least to the most over seeds as whiskers, the vertical scale from 0.

    A line that passes shares at which nothing was measured is thin and pale.

    Args:
        title: above the plot, and what it is called.
        across: below the plot.
        up: above the vertical axis.
        shares: where points may be, ascending, at least two.
        lines: at least one, each with at least one point.
    """
    wide = Scale(shares[0], shares[-1], tuple(shares))
    tall = Scale.over([value for line in lines for values in line.points.values() for value in values], ticks=5)
    parts = [
        element("title", title),
        Markup("<style>{}</style>").format(Markup(STYLE)),
        element("rect", class_="ground", width=WIDTH, height=HEIGHT, rx=6),
        element("text", title, class_="title", x=LEFT, y=20),
        element("text", up, class_="muted", x=LEFT, y=TOP - 6),
        element("text", across, class_="muted", x=_x(wide, (wide.low + wide.high) / 2), y=HEIGHT - 14, **MIDDLE),
    ]
    for tick in tall.ticks:
        y = _y(tall, tick)
        parts.append(element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        parts.append(element("text", f"{tick:.3g}", x=LEFT - 8, y=y + 4, text_anchor="end"))
    parts += [element("text", f"{tick:.3g}", x=_x(wide, tick), y=HEIGHT - BOTTOM + 20, **MIDDLE) for tick in wide.ticks]
    for line in lines:
        parts += _line(line, wide, tall)
    parts += _labels(lines, wide, tall)
    named = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "width": WIDTH, "height": HEIGHT}
    return str(element("svg", *parts, view_box=f"0 0 {WIDTH} {HEIGHT}", **named)) + "\n"


MIDDLE = {"text_anchor": "middle"}


def skips(points: Collection[float], shares: Sequence[float]) -> bool:
    """Whether nothing was measured at a share between the first and the last."""
    return any(min(points) < share < max(points) and share not in points for share in shares)


def _line(line: Line, wide: Scale, tall: Scale) -> list[Markup]:
    colour = f"var(--{line.role})"
    means = [(_x(wide, share), _y(tall, statistics.mean(values))) for share, values in sorted(line.points.items())]
    dash = {"stroke_dasharray": "5 4"} if line.dashed else {}
    kind = "line sparse" if skips(line.points, wide.ticks) else "line"
    parts = [element("polyline", class_=kind, points=" ".join(f"{x},{y}" for x, y in means), stroke=colour, **dash)]
    parts += [element("circle", cx=x, cy=y, r=4, fill=colour) for x, y in means]
    for share, values in line.points.items():
        x, low, high = _x(wide, share), _y(tall, min(values)), _y(tall, max(values))
        if low != high:
            parts.append(element("line", class_="spread", x1=x, x2=x, y1=low, y2=high, stroke=colour))
    return parts


def _labels(lines: Sequence[Line], wide: Scale, tall: Scale) -> list[Markup]:
    """Names beside the last points, moved apart, each tied to its point."""
    ends = []
    for line in lines:
        last = max(line.points)
        ends.append((_y(tall, statistics.mean(line.points[last])), _x(wide, last), line))
    ends.sort(key=lambda end: end[:2])
    parts, place = [], float(TOP)
    for index, (y, x, line) in enumerate(ends):
        room = HEIGHT - BOTTOM - (len(ends) - 1 - index) * GAP
        place = min(max(y, place), max(room, place))
        colour = f"var(--{line.role})"
        side = WIDTH - RIGHT + 14
        parts.append(element("line", class_="leader", x1=x + 4, y1=y, x2=side - 3, y2=round(place, 1), stroke=colour))
        parts.append(element("text", line.label, x=side, y=round(place + 4, 1), style=f"fill: {colour}"))
        place += GAP
    return parts


def _x(scale: Scale, value: float) -> float:
    return round(LEFT + scale.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(scale: Scale, value: float) -> float:
    return round(HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - BOTTOM - TOP), 1)
