"""The section of docs/results.md on rankers: what they need, how fast they answer and train, how well they do."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curves_plot import Line, drawn
from page import Figures, filled, folded, processor, rates, stored, table
from rankers import BATCH, CATALOG_BATCH, FEW, USERS, Cell, current

from siftrec.evaluate.compare import p_text

NAMES = {
    "two-tower": "two towers (mean of the history)",
    "ccl4rec-clicks": "CCL4Rec without contrast",
    "ccl4rec": "CCL4Rec",
    "din": "DIN",
    "self-attention": "self-attention ranker",
}
COLOURS = {"two-tower": "part-5", "ccl4rec": "part-0", "din": "part-2", "self-attention": "part-3"}
AT_50 = tuple(f"{measure}@50/{how}" for measure in ("precision", "recall", "f1") for how in ("weighted", "plain"))


def sections(path: Path, plots: Path, missed: str = "") -> list[str]:
    """Markdown of what is stored in `rankers.json`; nothing where there is none.

    Args:
        path: the file.
        plots: folder of the plots, beside the page.
        missed: which aims are missed.
    """
    figures = stored(path)
    if figures is None:
        return []
    cells = [each for each in figures["cells"].values() if current(Cell(**each["cell"]), each)]
    answers = [cell for cell in cells if cell["cell"]["kind"] == "answer"]
    runs = [cell for cell in cells if cell["cell"]["kind"] == "train"]
    parts = ["## Rankers", HEAD, *([missed] if missed else [])]
    if answers:
        parts += ["### Parameters, and time per candidate", ANSWERS, _same(answers), _answers(answers)]
        parts += _plot(answers, plots)
    if runs:
        parts += ["### Trained on real exposure", TRAINED, *_slower(runs)]
    for (data, mode), group in grouped(runs, "data", "mode").items():
        parts += [f"#### {data}, {mode}", _runs(group), *_alone(figures.get("controls", {}).get(data))]
        parts.append(folded("Precision, recall and F1 at 50, both definitions", _at_50(group)))
    if figures.get("comparisons"):
        parts += ["### Paired over users and seeds", PAIRED, _pairs(figures["comparisons"])]
    return parts if cells else []


HEAD = (
    "CCL4Rec beside DIN and a ranker by self-attention over history and candidate: same ids, same item tower, D = 64, one "
    "thread, see [docs/methods/rankers.md](methods/rankers.md). "
    "`python benchmarks/rankers.py run`"
)
ANSWERS = (
    "MicroLens-50k's items with ids and content, users with full histories, weights as they start. *343* and *catalog*: "
    "µs of CPU per candidate for one user asked alone, reading the history included; medians. "
    f"*{USERS} users*: asked together, as an offline job or a service that gathers requests asks; over the catalog DIN and "
    f"the self-attention ranker get {FEW}, more change nothing for them. "
    "*× slower*: than CCL4Rec at the same L. *network*: parameters beside the id table and the maps of content. *Product, "
    "copy*: what the machine did right after the row, as under *Speed*; a row beside less product is too slow by as much."
)
TRAINED = (
    "Ratings as exposure: whoever rated a film has seen it, 4 stars and more are a click. **Ids alone**: these logs are "
    "trained without content, so nothing here says what a ranker with content would do."
)
PAIRED = (
    "Test GAUC, grouped training; 95 % interval of a bootstrap that draws users and seeds together, *p* corrected by Holm "
    "over all lines here, verdict at 5 %. *Share of the gap*: (CCL4Rec − two towers) / (DIN − two towers). Where DIN is "
    "below two towers there is nothing to recover, and it is the part of DIN's loss that CCL4Rec shares; it means nothing "
    "where the interval of DIN − two towers holds 0."
)


def answered(cells: Sequence[Figures], what: str) -> dict[tuple[str, int], float]:
    """Method and length → median µs per candidate."""
    return {
        (cell["cell"]["method"], cell["cell"]["length"]): statistics.median(cell["us_per_candidate"][what])
        for cell in cells
        if what in cell["us_per_candidate"]
    }


def _same(cells: Sequence[Figures]) -> str:
    """The parameters that all have alike, once."""
    ids, content = ({cell["parameters"][kind] for cell in cells} for kind in ("ids", "content"))
    told = " and ".join(
        f"{next(iter(found)):,} of {what}"
        for found, what in ((ids, "ids"), (content, "maps of content"))
        if len(found) == 1
    )
    where = ", ".join(sorted({processor(cell) for cell in cells}))
    return f"All have the same parameters {told}. Measured on {where}."


def _answers(cells: Sequence[Figures]) -> str:
    timed = {
        "candidates": "343",
        BATCH: f"343, {USERS} users",
        "catalog": "catalog",
        CATALOG_BATCH: f"catalog, {USERS} users",
    }
    found = {what: answered(cells, what) for what in (*timed, "candidates, user known")}
    rows = []
    for cell in sorted(cells, key=lambda c: (c["cell"]["length"], list(NAMES).index(c["cell"]["method"]))):
        at = cell["cell"]["method"], cell["cell"]["length"]
        shown = [f"{cell['parameters']['network']:,}"]
        for what in timed:
            mine, ours = found[what].get(at), found[what].get(("ccl4rec", at[1]))
            shown += ["–" if mine is None else f"{mine:.3g}", f"{mine / ours:,.1f}" if mine and ours else "–"]
        known = found["candidates, user known"].get(at)
        shown += ["–" if known is None else f"{known:.3g}", rates([cell["rates"]])]
        rows.append((f"L = {at[1]}, {NAMES[at[0]]}", *shown))
    columns = (column for name in timed.values() for column in (name, "× slower"))
    return filled(("", "network", *columns, "343, user vector known", "product, copy"), rows)


def _plot(cells: Sequence[Figures], plots: Path) -> list[str]:
    """Time per candidate against the length of the history."""
    found = answered(cells, "candidates")
    lengths = sorted({length for _, length in found})
    lines = [
        Line(NAMES[name], COLOURS[name], name in ("din", "self-attention"), points)
        for name in COLOURS
        if (points := {float(length): [us] for (of, length), us in found.items() if of == name})
    ]
    if len(lengths) < 2:
        return []
    picture = drawn("One of 343 candidates", "length of the history L", "µs of CPU", [float(x) for x in lengths], lines)
    plots.mkdir(parents=True, exist_ok=True)
    (plots / "rankers-latency.svg").write_text(picture, "utf-8")
    return ["![µs per candidate against the length of the history; figures in the table](plots/rankers-latency.svg)"]


def _alone(controls: Mapping[str, Mapping[str, float]] | None) -> list[str]:
    if controls is None:
        return []
    told = ", ".join(f"{name} GAUC {means['gauc']:.4f}, AUC {means['auc']:.4f}" for name, means in controls.items())
    return [f"Control, the same for all users (an item's clicks in training, or their rate): {told}."]


def _runs(cells: Sequence[Figures]) -> str:
    rows = []
    for length, group in grouped(cells, "length").items():
        reached = equal(group)
        for method, runs in _methods(group):
            means = [f"{statistics.mean(run['test'][name] for run in runs):.4f}" for name in ("gauc", "auc")]
            until = f"{reached[method]:.1f}" if method in reached else "–"
            rows.append((f"L = {length}, {NAMES[method]}", *means, f"{epoch(runs):.2f}", until, str(len(runs))))
    return table(("", "GAUC", "AUC", "CPU s per epoch", "CPU s to equal validation GAUC", "seeds"), rows)


def _at_50(cells: Sequence[Figures]) -> str:
    rows = [
        (
            f"L = {length}, {NAMES[method]}",
            *(f"{statistics.mean(run['test'][name] for run in runs):.4f}" for name in AT_50),
        )
        for length, group in grouped(cells, "length").items()
        for method, runs in _methods(group)
    ]
    return table(("", *AT_50), rows)


def _methods(cells: Sequence[Figures]) -> list[tuple[str, list[Figures]]]:
    return sorted(grouped(cells, "method").items(), key=lambda each: list(NAMES).index(each[0]))


def epoch(runs: Sequence[Figures]) -> float:
    """Median CPU seconds of one epoch."""
    return float(statistics.median(run["epoch_cpu_s"] for run in runs))


def _slower(cells: Sequence[Figures]) -> list[str]:
    """Where training CCL4Rec takes longer than training the rankers that it is to be cheaper than."""
    lines = []
    for (data, mode, length), group in grouped(cells, "data", "mode", "length").items():
        until = equal(group)
        for other in ("din", "self-attention"):
            if until.get("ccl4rec", 0.0) > until.get(other, float("inf")):
                times, seeds = until["ccl4rec"] / until[other], len({run["cell"]["seed"] for run in group})
                lines.append(
                    f"- {data}, {mode}, L = {length}, seeds {seeds}: CCL4Rec {until['ccl4rec']:.1f} s, {NAMES[other]} "
                    f"{until[other]:.1f} s, {times:.1f} times as long."
                )
    return ["Training to equal validation GAUC takes CCL4Rec **longer**:", "\n".join(lines)] if lines else []


def equal(runs: Sequence[Figures]) -> dict[str, float]:
    """Method → CPU seconds of training until the validation GAUC that all methods reach, at the rate chosen; medians."""
    spent: dict[str, list[float]] = defaultdict(list)
    for here in grouped(runs, "seed").values():
        target = min(max(value for _, value in run["curve"]) for run in here)
        for run in here:
            spent[run["cell"]["method"]].append(next(cpu for cpu, value in run["curve"] if value >= target))
    return {method: statistics.median(values) for method, values in spent.items()}


def _pairs(comparisons: Sequence[Figures]) -> str:
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


def grouped(cells: Sequence[Figures], *keys: str) -> dict[Any, list[Figures]]:
    """Cells by the values of some keys, in their order."""
    found: dict[Any, list[Figures]] = defaultdict(list)
    for cell in sorted(cells, key=lambda c: tuple(c["cell"][key] for key in keys)):
        values = tuple(cell["cell"][key] for key in keys)
        found[values if len(keys) > 1 else values[0]].append(cell)
    return dict(found)
