"""The section of docs/results.md about accuracy: one table for each data set, share of noise and of foreign content."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import machine
from accuracy import MAIN, SETTINGS, Cell, Setting, current
from page import Figures, filled, folded, mean, table
from peer import PEERS
from variants import VARIANTS, Variant
from words import flat

from siftrec.methods.adt import ADT
from siftrec.methods.base import Learned
from siftrec.methods.hsd import HSD

NAMES = {name: variant.what for name, variant in VARIANTS.items()} | {name: peer.what for name, peer in PEERS.items()}
Cells = dict[Setting, dict[str, list[Figures]]]
"""Setting → method → the figures of each seed."""

TEXT = """Leave-one-out, every item ranked for every user; `python benchmarks/accuracy.py run`.

- Mean over seeds ± standard deviation between them; noise and training both follow the seed. Without noise, counted methods
  have none.
- *Filtered*: items of the user's history cannot be recommended; *unfiltered*: all can.
- ρ: share of train and validation interactions replaced by popularity-drawn ones. *Foreign content*: share of them,
  modality by modality, where what was shown is a popularity-drawn item's. Test targets are never touched.
- Leave-one-out leaks time. Settings are the defaults; nothing is tuned but what a table named *tuned* has.
- CCL4Rec trains on prefixes on MicroLens and on windows on ml1m ([why](decisions/0017-prefixes-or-windows.md)).
- *+ vanilla contrast* has a weight of its own, λ = .05; within *full* it has .01, beside .02 and .05.
- The learning rate falls along half a cosine; on ml1m over 24 epochs, beside what was trained there before, at a
  *constant rate* until two epochs were no better ([why](decisions/0020-a-falling-learning-rate.md)).
- The source of ml1m lacks the interaction before the last for 5,528 of its 6,040 users: there leave-one-out asks for the
  item after the next, and no validation question does. *ml1m-but-two* is the same log without the last two of each user:
  its test questions are for the next item, and nothing was chosen on them
  ([why](decisions/0021-the-most-recent-interaction.md)).
- *Minutes*: CPU, one thread, training and evaluation, on [several machines](#machines) that are not equally fast."""
GROUPS = (
    "counted",
    "ids only",
    "with content",
    "denoising",
    "ours",
    "ours, told something of the truth",
    "other libraries",
)


def stored_cells(folder: Path) -> tuple[Cells, int]:
    """What is stored with the settings of now, by setting, then by method; and how many cells are left out."""
    cells: Cells = defaultdict(lambda: defaultdict(list))
    stale = 0
    for path in sorted(folder.glob("*.seed*.json")):
        figures = json.loads(path.read_text("utf-8"))
        cell = Cell(**figures["cell"])
        if current(cell, figures):
            cells[cell.setting][cell.method].append(figures)
        else:
            stale += 1
    return cells, stale


def sections(cells: Cells, stale: int) -> list[str]:
    """One table per setting; how many stored cells are left out is said."""
    if not cells:
        return []
    parts = ["## Accuracy", TEXT]
    if stale:
        parts.append(f"{stale} stored cells were run with settings that are no longer these; they are left out.")
    for setting in SETTINGS:
        if methods := cells.get(setting):
            parts += of_setting(setting, methods)
    return parts


def of_setting(setting: Setting, methods: Mapping[str, list[Figures]]) -> list[str]:
    """The main figures of one setting, group by group; all figures, what was set, and foreign content are folded."""
    head = ("", "NDCG@20", "Recall@20", "unfiltered NDCG@20", "seeds", "parameters", "minutes")
    lines: list[tuple[str, ...]] = []
    for group in GROUPS:
        members = [name for name in NAMES if name in methods and group_of(name) == group]
        if members:
            lines += [(f"**{group}**", *[""] * (len(head) - 1)), *(main_row(name, methods[name]) for name in members)]
    command = f"`python benchmarks/accuracy.py run --only '{setting}.[!0-9]*'`"
    every = [all_figures(spelling, methods) for spelling in ("filtered", "unfiltered")]
    figures = (
        filled(head, lines),
        folded("All figures, epochs, settings and command", *every, training(methods), command),
    )
    return [folded(setting.words, *figures)] if setting.foreign else [f"### {setting.words}", *figures]


def group_of(name: str) -> str:
    """The group of rows that a method is in."""
    variant = VARIANTS.get(name)
    if variant is None:
        return "other libraries"
    if variant.oracle not in ("nothing", "log"):
        return "ours, told something of the truth"
    if name.startswith(("ccl4rec", "demure", "late")):
        return "ours"
    return of_others(variant)


def of_others(variant: Variant) -> str:
    """The group of a method that is not ours."""
    method = variant.make()
    if isinstance(method, ADT | HSD):
        return "denoising"
    if not isinstance(method, Learned):
        return "counted"
    return "with content" if variant.content else "ids only"


def values(runs: Sequence[Figures], spelling: str, metric: str) -> str:
    """One metric over seeds."""
    return mean((run["evaluation"]["metrics"][spelling][metric] for run in runs), 4)


def main_row(name: str, runs: Sequence[Figures]) -> tuple[str, ...]:
    """What everybody reads."""
    shown = (("filtered", "ndcg@20"), ("filtered", "recall@20"), ("unfiltered", "ndcg@20"))
    parameters, _, minutes = effort(runs)
    return (NAMES[name], *(values(runs, *each) for each in shown), str(len(runs)), parameters, minutes)


def all_figures(spelling: str, methods: Mapping[str, list[Figures]]) -> str:
    """Every main metric, filtered or not, which seeds, and how long each was trained."""
    rows = []
    for name in (name for name in NAMES if name in methods):
        runs = methods[name]
        seeds = ", ".join(str(run["cell"]["seed"]) for run in runs)
        rows.append((NAMES[name], *(values(runs, spelling, metric) for metric in MAIN), seeds, effort(runs)[1]))
    return filled((spelling, *MAIN, "seeds", "epochs"), rows)


def effort(runs: Sequence[Figures]) -> tuple[str, str, str]:
    """Parameters, epochs of the weights kept and trained, CPU minutes; medians."""
    parameters = f"{runs[0]['parameters']:,}" if "parameters" in runs[0] else "–"
    kept = [run["best_epoch"] + 1 for run in runs if "best_epoch" in run]
    epochs = f"{statistics.median(kept):g} of {statistics.median(run['epochs'] for run in runs):g}" if kept else "–"
    return parameters, epochs, f"{statistics.median(run['cpu_s'] for run in runs) / 60:.1f}"


def training(methods: Mapping[str, list[Figures]]) -> str:
    """Which methods were trained how and with which content, each once."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, runs in methods.items():
        for run in runs:
            given = machine.as_before(run.get("training", {}))
            told = flat(given).removeprefix("use siftrec:Training").removeprefix(", ") or "as `Training()` is"
            content = " + ".join(run["modalities"]) or "none"
            if NAMES[name] not in alike[told if given else "none", content]:
                alike[told if given else "none", content].append(NAMES[name])
    rows = [(" · ".join(names), *how) for how, names in alike.items()]
    return table(("trained alike", "settings of training that are no defaults", "content"), rows)
