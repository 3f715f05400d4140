"""The section of docs/results.md on rankers: what they need, how fast they answer and train, how well they do."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rankers import BATCH, Cell, current

from siftrec.evaluate.compare import p_text

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Figures = dict[str, Any]

NAMES = {
    "two-tower": "two towers (mean of the history)",
    "ccl4rec-clicks": "CCL4Rec without contrast",
    "ccl4rec": "CCL4Rec",
    "din": "DIN",
    "self-attention": "self-attention ranker",
}
MEASURES = ("gauc", "auc", "precision@50/weighted", "precision@50/plain", "f1@50/weighted", "f1@50/plain")


def sections(path: Path, table: Table) -> list[str]:
    """Markdown of what is stored in `rankers.json`; nothing where there is none."""
    if not path.exists():
        return []
    figures = json.loads(path.read_text("utf-8"))
    cells = [each for each in figures["cells"].values() if current(Cell(**each["cell"]), each)]
    answers = [cell for cell in cells if cell["cell"]["kind"] == "answer"]
    runs = [cell for cell in cells if cell["cell"]["kind"] == "train"]
    parts = ["## Rankers", HEAD]
    if answers:
        parts += ["### Parameters, and time per candidate", ANSWERS, _answers(answers, table)]
    for (data, mode), group in _grouped(runs, "data", "mode").items():
        parts += [f"### {data}, {mode}", _runs(group, table), *_alone(figures.get("controls", {}).get(data))]
    if figures.get("comparisons"):
        parts += ["### Paired over users and seeds", PAIRED, _pairs(figures["comparisons"], table)]
    return parts if len(parts) > 2 else []


HEAD = (
    "CCL4Rec beside DIN and a ranker by self-attention over history and candidate: same ids, same item tower, D = 64, one "
    "thread, see [docs/methods/rankers.md](methods/rankers.md). `python benchmarks/rankers.py run`"
)
ANSWERS = (
    "MicroLens-50k's items with ids and content, users with full histories, weights as they start. *343* and *catalog*: "
    "µs of CPU per candidate for one user asked alone, reading the history included; *64 users*: asked at once; medians. "
    "*× slower*: than CCL4Rec at the same L. *network*: parameters beside the id table and the maps of content, which all "
    "share."
)
PAIRED = (
    "Test GAUC, grouped training; 95 % interval of a bootstrap that draws users and seeds together, *p* corrected by Holm "
    "over all lines here, verdict at 5 %. *Share of the gap*: (CCL4Rec − two towers) / (DIN − two towers). Where DIN is "
    "below two towers there is nothing to recover, and it is the part of DIN's loss that CCL4Rec shares; it means nothing "
    "where the interval of DIN − two towers holds 0."
)


def _answers(cells: Sequence[Figures], table: Table) -> str:
    median = {(c["cell"]["method"], c["cell"]["length"]): _medians(c["us_per_candidate"]) for c in cells}
    rows = []
    for cell in sorted(cells, key=lambda c: (c["cell"]["length"], list(NAMES).index(c["cell"]["method"]))):
        method, length = cell["cell"]["method"], cell["cell"]["length"]
        mine, ours = median[method, length], median.get(("ccl4rec", length))
        counts = cell["parameters"]
        shown = [f"{counts['ids']:,}", f"{counts['content']:,}", f"{counts['network']:,}"]
        for name in ("candidates", BATCH, "catalog"):
            both = ours is not None and name in mine and name in ours
            shown += [f"{mine[name]:.3g}" if name in mine else "–", f"{mine[name] / ours[name]:,.1f}" if both else "–"]
        known = f"{mine['candidates, user known']:.3g}" if "candidates, user known" in mine else "–"
        rows.append((f"L = {length}, {NAMES[method]}", *shown, known))
    timed = ("343", "× slower", "343, 64 users", "× slower", "catalog", "× slower", "343, user vector known")
    head = ("", "ids", "content", "network", *timed)
    return table(head, rows)


def _alone(controls: Mapping[str, Mapping[str, float]] | None) -> list[str]:
    if controls is None:
        return []
    told = ", ".join(f"{name} GAUC {means['gauc']:.4f}, AUC {means['auc']:.4f}" for name, means in controls.items())
    return [f"Control, the same for all users (an item's clicks in training, or their rate): {told}."]


def _medians(spent: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in spent.items()}


def _runs(cells: Sequence[Figures], table: Table) -> str:
    rows = []
    for length, group in _grouped(cells, "length").items():
        reached = _equal(group)
        for method, runs in sorted(_grouped(group, "method").items(), key=lambda each: list(NAMES).index(each[0])):
            means = [f"{statistics.mean(run['test'][name] for run in runs):.4f}" for name in MEASURES]
            seeds = ", ".join(str(run["cell"]["seed"]) for run in runs)
            epoch = f"{statistics.median(run['epoch_cpu_s'] for run in runs):.2f}"
            rows.append((f"L = {length}, {NAMES[method]}", *means, epoch, reached.get(method, "–"), seeds))
    return table(("", *MEASURES, "CPU s per epoch", "CPU s to equal validation GAUC", "seeds"), rows)


def _equal(runs: Sequence[Figures]) -> dict[str, str]:
    """Method → CPU seconds of training until the validation GAUC that all methods reach, at the rate chosen; medians."""
    spent: dict[str, list[float]] = defaultdict(list)
    for here in _grouped(runs, "seed").values():
        target = min(max(value for _, value in run["curve"]) for run in here)
        for run in here:
            spent[run["cell"]["method"]].append(next(cpu for cpu, value in run["curve"] if value >= target))
    return {method: f"{statistics.median(values):.1f}" for method, values in spent.items()}


def _pairs(comparisons: Sequence[Figures], table: Table) -> str:
    rows = []
    for each in comparisons:
        place, seeds = f"{each['data']}, L = {each['length']}: ", ", ".join(map(str, each["seeds"]))
        for pair in each["pairs"]:
            named = f"{NAMES[pair['a']]} − {NAMES[pair['b']]}"
            p = p_text(pair["p_holm"]).removeprefix("= ")
            rows.append((place + named, f"{pair['difference']:+.4f}", _interval(pair), p, pair["verdict"], seeds))
        share = each["share of the gap"]
        rows.append((place + "share of the gap", f"{share['value']:.2f}", _interval(share), "–", "–", seeds))
    return table(("", "difference, or share", "95 % interval", "p", "verdict", "seeds"), rows)


def _interval(values: Figures) -> str:
    return f"{values['low']:+.4f} … {values['high']:+.4f}"


def _grouped(cells: Sequence[Figures], *keys: str) -> dict[Any, list[Figures]]:
    found: dict[Any, list[Figures]] = defaultdict(list)
    for cell in sorted(cells, key=lambda c: tuple(c["cell"][key] for key in keys)):
        values = tuple(cell["cell"][key] for key in keys)
        found[values if len(keys) > 1 else values[0]].append(cell)
    return dict(found)
