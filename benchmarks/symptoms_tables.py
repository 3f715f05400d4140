"""The three symptoms of noise as tables, from stored cells and controls. No number in them is typed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy import Setting
from page import folded

Figures = Mapping[str, Any]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Methods = Mapping[str, Sequence[Figures]]
MEASURES = {
    "re-identified": "re-identified",
    "uniformity": "uniformity",
    "popularity@10": "popularity",
    "out of interest@10, content": "out of interest, content",
    "out of interest@10, company": "out of interest, company",
}
CONTROLS = {"test targets": "what they had next (test targets)", "drawn": "drawn by popularity"}
OURS = (
    ("ccl4rec-next", "ccl4rec"),
    ("ccl4rec-next", "ccl4rec-denoise"),
    ("ccl4rec-next-recent", "ccl4rec-recent"),
)
"""Before and after, shown at once: contrast, and targets weighed, added to the next-item loss alone."""
OTHERS = (
    ("sasrec", "tce"),
    ("sasrec", "rce"),
    ("sasrec", "hsd"),
    ("ccl4rec-next", "oracle-targets"),
    ("ccl4rec-next", "oracle-all"),
    ("late", "demure"),
    ("ccl4rec-denoise-ungated", "demure-ccl4rec-denoise"),
)
"""Before and after: the same model without and with what else is to keep noise out."""
TEXT = """What noise does to a recommender beside costing accuracy: user vectors become indiscriminating,
recommendations trivial or weird. Of {users:,} test users with at least six interactions, the same ones in every row, on
their histories as they are in the cell; but the row told which interactions are noise has lost those, so its histories
are shorter and its users are others, of those who have six left. *Re-identified*: share of users whose vector by every
other interaction of their history is closest to that by the other interactions, among all of them. *Uniformity*: log
mean e^(−2 |z − z'|²) over pairs of user vectors (low is evenly spread; 0: all the same). *Popularity*: mean train and
validation interactions of the ten best new items. *Out of interest*: share of the ten best new items that are in a
cluster in which the user has no interaction. Interests, popularity and clusters come from the log without planted noise
and without test targets; 50 clusters by k-means, of content and, because that flatters methods that read content, of
who had the items together. Neither is the truth about interests: even what users had next is often outside, so compare
down a column, and methods that read content with each other. First what contrast and weighted targets change in
CCL4Rec, means over the seeds that both have; folded away all methods, mean ± standard deviation over seeds. No test was
made of these."""


def sections(cells: Mapping[Setting, Methods], controls: Path, names: Mapping[str, str], table: Table) -> list[str]:
    """A table for each setting, with controls, and what denoising changed.

    Args:
        cells: stored cells by setting, then by method, one per seed.
        controls: folder of what `symptoms.py` stored.
        names: of methods, in the order of rows.
        table: from head and rows to Markdown.
    """
    stored = {path.stem: json.loads(path.read_text("utf-8"))["figures"] for path in sorted(controls.glob("*.json"))}
    parts = []
    for setting, methods in sorted(cells.items(), key=lambda each: (each[0].data != "microlens50k", each[0])):
        measured = {name: found for name in names if (found := _measured(methods.get(name, ())))}
        if measured and setting.data in stored:
            parts += _section(setting, measured, stored[setting.data], names, table)
    if not parts:
        return []
    users = max(each["users"] for each in stored.values())
    return ["## Symptoms of noise", TEXT.format(users=users), *parts, "Controls: `python benchmarks/symptoms.py`."]


def _measured(runs: Sequence[Figures]) -> list[Figures]:
    return [run["symptoms"] | {"seed": run["cell"]["seed"]} for run in runs if "symptoms" in run]


def _section(
    setting: Setting, measured: Methods, controls: Figures, names: Mapping[str, str], table: Table
) -> list[str]:
    head = (*MEASURES.values(), "seeds")
    rows = [(names[name], *(_mean(runs, key) for key in MEASURES), str(len(runs))) for name, runs in measured.items()]
    rows += [(f"*{what}*", *(_mean([controls[key]], each) for each in MEASURES), "–") for key, what in CONTROLS.items()]
    told = []
    if ours := _changes(measured, OURS, names, table):
        told.append(ours)
    folds = [table(("", *head), rows)]
    if others := _changes(measured, OTHERS, names, table):
        folds += ["Before → after, of others, and of ours told more:", others]
    folds.append(
        f"`python benchmarks/accuracy.py run --again --only '{setting}.[!0-9]*'` measures cells that were run before "
        "symptoms were."
    )
    return [
        f"### {setting.words}, symptoms",
        *told,
        folded(f"{setting.words}: all {len(rows)} rows, controls last", *folds),
    ]


def _changes(measured: Methods, pairs: Sequence[tuple[str, str]], names: Mapping[str, str], table: Table) -> str:
    """Before → after, a row for each pair of which both are there; nothing where none is."""
    lines = [
        (
            f"{names[b]}, after {names[a]}",
            *(_change(measured[a], measured[b], key) for key in MEASURES),
            _both(a, b, measured),
        )
        for a, b in pairs
        if measured.keys() >= {a, b}
    ]
    return table(("before → after", *MEASURES.values(), "seeds"), lines) if lines else ""


def _both(a: str, b: str, measured: Methods) -> str:
    """How many seeds both have."""
    return str(len({run["seed"] for run in measured[a]} & {run["seed"] for run in measured[b]}))


def _mean(runs: Sequence[Figures], key: str) -> str:
    """Mean ± standard deviation; – for methods that have no such figure."""
    values = [run[key] for run in runs if key in run]
    if not values:
        return "–"
    return _short(statistics.mean(values)) + (f" ± {_short(statistics.stdev(values))}" if len(values) > 1 else "")


def _change(before: Sequence[Figures], after: Sequence[Figures], key: str) -> str:
    """Means over the seeds that both have; – where there is none."""
    sides = [{run["seed"]: run[key] for run in runs if key in run} for runs in (before, after)]
    common = sides[0].keys() & sides[1].keys()
    return " → ".join(_short(statistics.mean(side[seed] for seed in common)) for side in sides) if common else "–"


def _short(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
