"""Charts as inline SVG, coloured by CSS variables only.

Those that stand in a table are drawn in per cent of their cell, so that text keeps its size on any screen, and are hidden
from screen readers: the cells beside them hold the same figures. Those that stand alone carry a title and a description.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from siftrec.report.data import Bin, Estimate, Mark, Point
from siftrec.report.palette import PARTS
from siftrec.report.words import known, level, percent, plain

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 22, 12, 44


def element(name: str, *children: str, **attributes: object) -> Markup:
    """One SVG element; everything that is not Markup is escaped, `view_box` becomes `viewBox` and `text_anchor` likewise."""
    spelled = {"class_": "class", "view_box": "viewBox"}
    pairs = (f' {spelled.get(key, key.replace("_", "-"))}="{escape(value)}"' for key, value in attributes.items())
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup("".join(pairs)), inner)  # noqa: S704 - values are escaped above


@dataclass(frozen=True)
class Scale:
    """A range of values and the round ones among them."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float | None], include: Sequence[float] = (0.0,), ticks: int = 4) -> Scale:
        """A scale with round ends around the finite values and `include`."""
        finite = [value for value in (*values, *include) if value is not None and math.isfinite(value)]
        low, high = min(finite), max(finite)
        span = high - low if high - low > sys.float_info.min else 1.0  # smaller numbers have no logarithm left to round
        unit = 10.0 ** math.floor(math.log10(span / ticks))
        step = next(unit * k for k in (1, 2, 5, 10) if unit * k * ticks >= span * (1 - 1e-9))
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        last = max(last, first + 1)
        return cls(first * step, last * step, tuple(k * step for k in range(first, last + 1)))

    def share(self, value: float) -> float:
        """Where a value lies, in [0, 1]; beyond the ends it stays at them."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def at(self, value: float) -> str:
        """The same in per cent, for coordinates."""
        return f"{100 * self.share(value):.2f}%"


def bar(value: float, scale: Scale, kind: str = "noise") -> Markup:
    """A bar for a table cell."""
    ground = element("rect", class_="rail", width="100%", height="100%", rx=2)
    fill = element("rect", class_=f"fill-{kind}", width=scale.at(value), height="100%", rx=2)
    return element("svg", ground, fill, class_="bar", aria_hidden="true", focusable="false")


def stack(weights: Sequence[float | None]) -> Markup:
    """Weights that sum to 1 as one bar, a colour for each place; None and 0 take no room."""
    parts, left = [element("rect", class_="rail", width="100%", height="100%", rx=2)], 0.0
    for place, weight in enumerate(weights):
        if weight:
            body = {"x": f"{100 * left:.2f}%", "width": f"{100 * weight:.2f}%", "height": "100%"}
            parts.append(element("rect", class_=f"part-{place % PARTS}", **body))
            left += weight
    return element("svg", *parts, class_="bar stack", aria_hidden="true", focusable="false")


def interval(
    estimate: Estimate, scale: Scale, reference: float, other: Estimate | None = None, band: float | None = None
) -> Markup:
    """A forest plot's row: point and 95 % interval, a reference line, a diamond for `other`, a band of ± `band`."""
    parts = []
    if band:
        left, right = scale.share(reference - band), scale.share(reference + band)
        parts.append(
            element("rect", class_="band", x=f"{100 * left:.2f}%", width=f"{100 * (right - left):.2f}%", height="100%")
        )
    parts.append(element("line", class_="rule", x1=scale.at(reference), x2=scale.at(reference), y1=0, y2="100%"))
    if other is not None and known(other.value):
        shape = element("path", class_="fill-wait", d="M-6 14 0 8 6 14 0 20Z")
        parts.append(element("svg", shape, x=scale.at(other.value), overflow="visible"))
    if estimate.low is not None and estimate.high is not None and known(estimate.low) and known(estimate.high):
        ends = {"x1": scale.at(estimate.low), "x2": scale.at(estimate.high)}
        parts.append(element("line", class_="whisker", y1="50%", y2="50%", **ends))
    if known(estimate.value):
        parts.append(element("circle", class_="fill-genuine", cx=scale.at(estimate.value), cy="50%", r=5))
    return element("svg", *parts, class_="forest", aria_hidden="true", focusable="false")


def ruler(scale: Scale, middle: float | None = None, relative: bool = True) -> Markup:
    """The tick labels above a column of bars or intervals: the ends and one between them."""
    shown = {scale.low: "start", scale.high: "end"}
    if middle is not None and 0.12 < scale.share(middle) < 0.88:
        shown[middle] = "middle"
    texts = [
        element("text", _tick(value, relative), x=scale.at(value), y=11, text_anchor=anchor)
        for value, anchor in shown.items()
    ]
    return element("svg", *texts, class_="ruler", aria_hidden="true", focusable="false")


def strip(marks: Sequence[Mark]) -> Markup:
    """A history at a glance: one cell per interaction, the darker the noisier; a flag stands over flagged ones."""
    width = 100 / max(len(marks), 1)
    parts = []
    for index, mark in enumerate(marks):
        x = f"{index * width + 0.4:.2f}%"
        kind = f"level-{level(mark.noise)}" if mark.evidence else "unjudged"
        parts.append(element("rect", class_=kind, x=x, y=10, width=f"{width - 0.8:.2f}%", height=18, rx=2))
        if mark.flagged:
            flag = element("path", class_="fill-noise", d="M-5 0H5L0 8Z")
            parts.append(element("svg", flag, x=f"{(index + 0.5) * width:.2f}%", overflow="visible"))
    return element("svg", *parts, class_="strip", aria_hidden="true", focusable="false")


def histogram(key: str, title: str, description: str, bins: Sequence[Bin], across: str) -> Markup:
    """Vertical bars, the flagged part of each in another colour; labels at the ends and in the middle."""
    tall = Scale.over([each.count for each in bins])
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(bins), 1)
    parts = [*_rows(tall, relative=False)]
    for index, each in enumerate(bins):
        x, width = _LEFT + index * step + step * 0.08, step * 0.84
        for value, kind in ((each.count, "genuine"), (each.flagged, "noise")):
            y = _y(tall, value)
            body = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{_base() - y:.1f}"}
            if value:
                parts.append(element("rect", class_=f"fill-{kind}", **body))
    every = max(1, math.ceil(len(bins) / 5))
    for index in range(0, len(bins), every):
        middle = f"{_LEFT + (index + 0.5) * step:.1f}"
        parts.append(
            element(
                "text", plain(bins[index].label.split(" to ")[0], 12), x=middle, y=_base() + 15, text_anchor="middle"
            )
        )
    return _figure(key, title, description, [*parts, _across(across)])


def reliability(key: str, title: str, description: str, points: Sequence[Point]) -> Markup:
    """What was said against what was so, with the intervals as a band and the diagonal of honest probabilities."""
    points = sorted((point for point in points if known(point.found.value)), key=lambda point: point.said)
    unit = Scale.over([0, 1])
    parts = [*_rows(unit), *_columns(unit)]
    parts.append(element("line", class_="rule", x1=_x(unit, 0), y1=_y(unit, 0), x2=_x(unit, 1), y2=_y(unit, 1)))
    edges = [point for point in points if known(point.found.low) and known(point.found.high)]
    if len(edges) > 1:
        upper = [(point.said, point.found.high or 0.0) for point in edges]
        lower = [(point.said, point.found.low or 0.0) for point in reversed(edges)]
        parts.append(element("polygon", class_="band", points=_path(unit, [*upper, *lower])))
    line = [(point.said, point.found.value) for point in points]
    parts.append(element("polyline", class_="curve", points=_path(unit, line)))
    parts += [
        element("circle", class_="fill-genuine", cx=f"{_x(unit, a):.1f}", cy=f"{_y(unit, b):.1f}", r=3.5)
        for a, b in line
    ]
    return _figure(key, title, description, [*parts, _across("said: noise probability")])


def concentration(key: str, title: str, description: str, points: Sequence[tuple[float, float]]) -> Markup:
    """Share of the interactions that the most popular items hold."""
    unit = Scale.over([0, 1])
    line = [(0.0, 0.0), *sorted(points)]
    area = element("polygon", class_="band", points=_path(unit, [*line, (line[-1][0], 0.0)]))
    curve = element("polyline", class_="curve", points=_path(unit, line))
    return _figure(
        key, title, description, [*_rows(unit), *_columns(unit), area, curve, _across("items, most popular first")]
    )


def _tick(value: float, relative: bool) -> str:
    return (
        f"{'−' if value < 0 else ''}{abs(100 * value):.3g}\u00a0%" if relative else f"{value:,.10g}".replace("-", "−")
    )


def _base() -> float:
    return _HEIGHT - _BOTTOM


def _x(scale: Scale, value: float) -> float:
    return _LEFT + scale.share(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(scale: Scale, value: float) -> float:
    return _base() - scale.share(value) * (_base() - _TOP)


def _path(scale: Scale, points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_x(scale, a):.1f},{_y(scale, b):.1f}" for a, b in points)


def _rows(scale: Scale, relative: bool = True) -> Iterable[Markup]:
    for tick in scale.ticks:
        y = f"{_y(scale, tick):.1f}"
        yield element("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y)
        text = _tick(tick, relative) if relative else _short(tick)
        yield element("text", text, x=_LEFT - 6, y=f"{_y(scale, tick) + 4:.1f}", text_anchor="end")


def _columns(scale: Scale) -> Iterable[Markup]:
    for tick in scale.ticks:
        yield element("text", percent(tick), x=f"{_x(scale, tick):.1f}", y=_base() + 15, text_anchor="middle")


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _across(text: str) -> Markup:
    return element("text", text, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 8, text_anchor="middle")


def _figure(key: str, title: str, description: str, parts: Sequence[Markup]) -> Markup:
    heads = (element("title", title, id=f"{key}-title"), element("desc", description, id=f"{key}-desc"))
    labels = {"role": "img", "aria_labelledby": f"{key}-title", "aria_describedby": f"{key}-desc"}
    return element("svg", *heads, *parts, class_="chart", view_box=f"0 0 {_WIDTH} {_HEIGHT}", **labels)
