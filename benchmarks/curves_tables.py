"""The noise curves as plots and tables, from stored cells. No number in them is typed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy import DATASETS, FEWER, Setting
from curves import CURVES, WHERE, Curve
from curves_plot import Line, Points, drawn

METRIC, UP = "ndcg@20", "NDCG@20 on test questions, filtered"
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Cells = Mapping[Setting, Mapping[str, Sequence[Mapping[str, Any]]]]
LABELS = {
    "sasrec": ("SASRec", "part-5"),
    "cl4srec": ("CL4SRec", "part-1"),
    "coserec": ("CoSeRec", "part-2"),
    "causerec": ("CauseRec around SASRec", "part-4"),
    "tce": ("T-CE around SASRec", "part-3"),
    "ccl4rec": ("CCL4Rec", "part-0"),
    "ccl4rec-denoise": ("CCL4Rec, weighted targets", "noise"),
    "late": ("late fusion, no gate", "part-5"),
    "demure": ("Demure", "part-2"),
    "demure-ccl4rec": ("Demure + CCL4Rec", "part-3"),
}
"""Name and colour of each method."""
OPPONENTS = ("sasrec", "cl4srec", "coserec", "causerec", "tce")
TEXT = f"""What becomes of accuracy as more and more of a log is false. {WHERE} Mean over seeds (noise and training both
follow the seed), whiskers from the least to the most; methods of others are dashed; settings are the defaults, and nothing
is tuned. The scale begins at 0. *Left*: the share of its accuracy that a method has left at the largest share of corruption
that was run, where it was run without any too."""


def sections(cells: Cells, plots: Path, table: Table) -> list[str]:
    """A plot and a table for each data set and curve of which something more than its beginning is stored.

    Args:
        cells: stored cells by setting, then by method, one per seed.
        plots: folder of the plots, beside the page.
        table: from head and rows to Markdown.
    """
    parts = []
    for data in DATASETS:
        for key, curve in CURVES.items():
            lines = {method: points_of(cells, data, curve, method) for method in curve.methods}
            lines = {method: points for method, points in lines.items() if points}
            if any(len(points) > 1 for points in lines.values()):
                name = f"curve-{data}-{key}"
                plot = [Line(*LABELS[each], each in OPPONENTS, points) for each, points in lines.items()]
                plots.mkdir(parents=True, exist_ok=True)
                shares = [share for share, _ in curve.settings(data)]
                picture = drawn(f"{data}: {curve.title}", curve.across, UP, shares, plot)
                (plots / f"{name}.svg").write_text(picture, "utf-8")
                parts += section(data, key, curve, lines, table)
    return ["## Noise curves", TEXT, *parts] if parts else []


def points_of(cells: Cells, data: str, curve: Curve, method: str) -> dict[float, list[float]]:
    """Share that is followed → the metric of every stored seed; shares without any are left out."""
    points = {}
    for share, setting in curve.settings(data):
        runs = cells.get(Setting(*setting), {}).get(method, ())
        values = [each["evaluation"]["metrics"]["filtered"][METRIC] for each in runs if each["cell"]["seed"] in FEWER]
        points |= {share: values} if values else {}
    return points


def section(data: str, key: str, curve: Curve, lines: Mapping[str, Points], table: Table) -> list[str]:
    """Plot, what was corrupted, figures, and how much of it has been run."""
    shares = [share for share, _ in curve.settings(data)]
    rows = [(LABELS[method][0], *_row(points, shares)) for method, points in lines.items()]
    there = sum(len(values) for points in lines.values() for values in points.values())
    wanted = len(curve.methods) * len(shares) * len(FEWER)
    missing = f"{there} of {wanted} cells have been run; those that have not are left out. " if there < wanted else ""
    return [
        f"### {data}: {curve.title}",
        f"![{METRIC.upper()} against the {curve.across}; figures in the table below](plots/curve-{data}-{key}.svg)",
        f"{curve.what} {METRIC.upper()} at each {curve.across}:",
        table(("", *(f"{share:g}" for share in shares), "left"), rows),
        f"{missing}`python benchmarks/accuracy.py run --curves {key} --only '{data}.*'`",
    ]


def _row(points: Points, shares: Sequence[float]) -> tuple[str, ...]:
    means = {share: statistics.mean(values) for share, values in points.items()}
    last = max(means)
    left = f"{means[last] / means[0.0]:.0%} at {last:g}" if last and means.get(0.0) else "–"
    return (*(_mean(points.get(share, ())) for share in shares), left)


def _mean(values: Sequence[float]) -> str:
    """Mean ± standard deviation between seeds; – where nothing was run."""
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean
