"""The noise curves as plots and tables, from stored cells. No number in them is typed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy import DATASETS, Setting, curve_cells
from comparisons_tables import COMMAND, stored_places, wide
from curves import CURVES, METRIC, WHERE, Curve
from curves_plot import Line, drawn, skips
from page import folded

UP = f"{METRIC.upper()} on test questions, filtered"
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Seeded = Mapping[float, Mapping[int, float]]
"""Share → seed → the metric."""
Cells = Mapping[Setting, Mapping[str, Sequence[Mapping[str, Any]]]]
LABELS = {
    "sasrec": ("SASRec", "part-5"),
    "cl4srec": ("CL4SRec", "part-1"),
    "coserec": ("CoSeRec", "part-2"),
    "causerec": ("CauseRec around SASRec", "part-4"),
    "tce": ("T-CE around SASRec", "part-3"),
    "ccl4rec-next": ("CCL4Rec, next-item only", "ink"),
    "ccl4rec": ("CCL4Rec, full", "part-0"),
    "ccl4rec-denoise": ("CCL4Rec, weighted targets", "noise"),
    "late": ("late fusion, no gate", "part-5"),
    "demure": ("Demure", "part-2"),
    "demure-ccl4rec": ("Demure + CCL4Rec", "part-3"),
    "ccl4rec-denoise-ungated": ("CCL4Rec, weighted targets, no gate", "noise"),
    "demure-ccl4rec-denoise": ("Demure + CCL4Rec, weighted targets", "part-0"),
}
"""Name and colour of each method."""
OPPONENTS = ("sasrec", "cl4srec", "coserec", "causerec", "tce")
TEXT = f"""What becomes of accuracy as more and more of a log is false. {WHERE} Mean over seeds (noise and training
both follow the seed), whiskers from the least to the most; methods of others are dashed; settings are the defaults,
and nothing is tuned. The scale begins at 0; a dot is what was measured, and a line is thin and pale where it passes
shares at which nothing was. *Left*: the share of its accuracy that a method has left at the largest share of
corruption that was run, where it was run without any too, over the seeds of both."""
TESTS = """First − second as a share of the second, with its 95 % interval; **bold**: a difference at 5 % after Holm
over this table; ≈: equivalent within ± 2 % after Holm over this table; then p of the difference after Holm. –: not
run, or values per user not kept. One seed is taken as it is; †, and how else: [comparisons](#comparisons)."""


def sections(cells: Cells, compared: Path, plots: Path, table: Table) -> list[str]:
    """A plot and a table for each data set and curve of which something more than its beginning is stored.

    Args:
        cells: stored cells by setting, then by method, one per seed.
        compared: what `accuracy.py compare` wrote.
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
                plot = [
                    Line(*LABELS[each], each in OPPONENTS, {share: list(of.values()) for share, of in points.items()})
                    for each, points in lines.items()
                ]
                plots.mkdir(parents=True, exist_ok=True)
                shares = [share for share, _ in curve.settings(data)]
                picture = drawn(f"{data}: {curve.title}", curve.across, UP, shares, plot)
                (plots / f"{name}.svg").write_text(picture, "utf-8")
                parts += section(data, key, lines, missing(cells, data, key), table)
                parts += tests(compared, data, key, table)
    return ["## Noise curves", TEXT, *parts] if parts else []


def points_of(cells: Cells, data: str, curve: Curve, method: str) -> Seeded:
    """Share that is followed → stored seed → the metric; shares without any are left out."""
    points: dict[float, dict[int, float]] = {}
    for share, setting in curve.settings(data):
        runs = cells.get(Setting(*setting), {}).get(method, ())
        values = {each["cell"]["seed"]: each["evaluation"]["metrics"]["filtered"][METRIC] for each in runs}
        points |= {share: values} if values else {}
    return points


def missing(cells: Cells, data: str, key: str) -> str:
    """How much of a curve has not been run."""
    wanted = [cell for cell in curve_cells([key]) if cell.data == data]
    there = [
        cell
        for cell in wanted
        if any(run["cell"]["seed"] == cell.seed for run in cells.get(cell.setting, {}).get(cell.method, ()))
    ]
    return (
        "" if there == wanted else f"{len(there)} of its {len(wanted)} cells have been run; the others are left out. "
    )


def section(data: str, key: str, lines: Mapping[str, Seeded], left_out: str, table: Table) -> list[str]:
    """Plot, what was corrupted, figures, and how much of it has been run."""
    curve = CURVES[key]
    shares = [share for share, _ in curve.settings(data)]
    rows = [(LABELS[method][0], *_row(points, shares)) for method, points in lines.items()]
    measured = [share for share in shares if any(share in points for points in lines.values())]
    sparse = any(skips(points, shares) for points in lines.values())
    told = f"Measured at {_listed(measured)} only: what is between is not known. " if sparse else ""
    return [
        f"### {data}: {curve.title}",
        f"![{METRIC.upper()} against the {curve.across}; figures in the table below](plots/curve-{data}-{key}.svg)",
        f"{told}{curve.what} {METRIC.upper()} at each {curve.across}:",
        table(("", *(f"{share:g}" for share in shares), "left"), rows),
        f"{left_out}`python benchmarks/accuracy.py run --curves {key} --only '{data}.*'`",
    ]


def tests(compared: Path, data: str, key: str, table: Table) -> list[str]:
    """Every method against what it is held against, at each share, folded away; nothing where nothing was compared."""
    family, places, records = f"curve {key}", stored_places(compared), []
    for share, setting in CURVES[key].settings(data):
        found = places.get(Setting(*setting), {}).get("comparisons", ())
        records += [(f"{share:g}", each) for each in found if family in each["families"]]
    if not records:
        return []
    shares = [f"{share:g}" for share, _ in CURVES[key].settings(data)]
    names = {name: label for name, (label, _) in LABELS.items()}
    rows = wide(records, shares, family, names)
    title = f"{data}, {CURVES[key].title}: methods compared at each share, {len(records)} tests"
    return [folded(title, f"{TESTS} {COMMAND}", table(("first − second", "seeds", *shares), rows))]


def _listed(shares: Sequence[float]) -> str:
    return " and ".join(filter(None, (", ".join(f"{share:g}" for share in shares[:-1]), f"{shares[-1]:g}")))


def _row(points: Seeded, shares: Sequence[float]) -> tuple[str, ...]:
    return (*(_mean(list(points.get(share, {}).values())) for share in shares), _left(points))


def _left(points: Seeded) -> str:
    """What is left at the largest share of what there was without any, over the seeds of both; – where there are none."""
    last = max(points)
    first, most = points.get(0.0, {}), points[last]
    shared = first.keys() & most.keys()
    whole = sum(first[seed] for seed in shared)
    return f"{sum(most[seed] for seed in shared) / whole:.0%} at {last:g}" if last and whole else "–"


def _mean(values: Sequence[float]) -> str:
    """Mean ± standard deviation between seeds; – where nothing was run."""
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean
