"""Write docs/results.md, and the accuracy tables of README.md and docs/findings.md, from the stored figures.

No number in them is typed.

python benchmarks/render.py
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import headline
import machine
from accuracy import MAIN, SETTINGS, Cell, Setting, current
from comparisons_tables import sections as compared
from curves_tables import sections as curves
from modality_tables import sections as counted
from noise_tables import sections as finding_noise
from peer import PEERS
from peer_tables import sections as beside
from planted_tables import sections as planted
from rankers_tables import sections as ranked
from service_tables import sections as served
from symptoms_tables import sections as symptoms
from tuning_tables import sections as tuned
from variants import VARIANTS
from verdict_tables import sections as audited

from siftrec.settings import describe, resolve

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "results.md"
README, FINDINGS = HERE.parent / "README.md", HERE.parent / "docs" / "findings.md"
NAMES = {name: variant.what for name, variant in VARIANTS.items()} | {name: peer.what for name, peer in PEERS.items()}
Figures = dict[str, Any]


def main() -> None:
    """Render every section whose figures are there."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    cells, stale = accuracy_cells()
    sections = [
        HEAD,
        *planted(RESULTS / "planted", table),
        *finding_noise(RESULTS / "noise", table),
        *counted(RESULTS / "modality", table),
        *speed(),
        *served(RESULTS, table),
        *audited(RESULTS / "audit", table),
        *accuracy(cells, stale),
        *compared(RESULTS / "accuracy" / "comparisons.json", PAGE.parent / "plots", NAMES, table),
        *curves(cells, RESULTS / "accuracy" / "comparisons.json", PAGE.parent / "plots", table),
        *symptoms(cells, RESULTS / "symptoms", NAMES, table),
        *beside(cells, NAMES, table),
        *tuned(RESULTS / "tuning", table),
        *ranked(RESULTS / "rankers.json", table),
    ]
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n\n".join(sections) + "\n", "utf-8")
    headline.write(README, headline.FEW, cells, table)
    headline.write(FINDINGS, headline.ROWS, cells, table)


HEAD = """# Results

Written by `python benchmarks/render.py` from the figures stored in `benchmarks/results`; change those, not this page.
How each is measured: [benchmarks/README.md](../benchmarks/README.md)."""


def stored(path: Path) -> Figures | None:
    """A stored JSON file, None where it has not been made."""
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def number(value: float) -> str:
    """Three significant digits, or a whole number with separators."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median and, between brackets, the least and the most."""
    if len(values) < 2:
        return number(values[0])
    return f"{number(statistics.median(values))} [{number(min(values))}–{number(max(values))}]"


def machine_line(rows: Iterable[Figures]) -> str:
    """Machines and versions that made some rows, each named once."""
    lines = {
        f"{m['processor']}, {m['cores']} cores, Python {m['python']}, torch {m['torch']}, NumPy {m['numpy']}, "
        f"Polars {m['polars']}, siftrec {m['siftrec']}"
        for m in (row["machine"] for row in rows)
    }
    return "Machine: " + "; ".join(sorted(lines)) + "."


def speed() -> list[str]:
    """One row per measurement, peers beside it, and what the machine could do meanwhile."""
    figures = stored(RESULTS / "speed.json")
    if figures is None:
        return []
    rows = figures["rows"]
    head = ("what", "unit", "measured", "asked", "reached", "peers in the same run", "product, copy", "known")
    lines = [
        (
            row["what"],
            row["unit"],
            spread(row["values"]),
            asked(row),
            "yes" if reached(row) else "**no**",
            "; ".join(
                f"{name} {spread(peer['values'])} (× {times(row, peer):.1f})" for name, peer in row["peers"].items()
            ),
            "; ".join(f"{rate['gemm_gflops']:.0f}, {rate['copy_gb_per_s']:.0f}" for rate in row["rates"]),
            row["known"],
        )
        for row in rows.values()
    ]
    text = (
        "One thread; rates are per CPU second, `siftrec --help` is wall time. Median of the repeats [least–most]. "
        "*Product, copy*: float32 product of 1024² matrices in GFLOP/s and copying 64 MiB in GB/s (read and written), by "
        "the same process before and after the row. Training rows run the library's own loop. *Asked*: an aim set before "
        "anything was built; *known*: what stood then for what can be had."
    )
    parts = ["## Speed", text, table(head, lines), machine_line(rows.values()), "Settings of each row:"]
    parts.append("\n".join(f"- {row['what']}: {settings(row)}. `{row['command']}`" for row in rows.values()))
    return parts + [profile(name, row) for name, row in rows.items() if not reached(row)]


def times(row: Figures, peer: Figures) -> float:
    """Ours over the peer's, medians."""
    return float(row["median"] / statistics.median(peer["values"]))


def reached(row: Figures) -> bool:
    """Whether the figure asked for was reached."""
    if row["times_peer"]:
        return bool(row["peers"]) and times(row, next(iter(row["peers"].values()))) >= row["asked"]
    return bool(row["median"] <= row["asked"]) if row["less"] else bool(row["median"] >= row["asked"])


def asked(row: Figures) -> str:
    """The figure asked for, in words."""
    if row["times_peer"]:
        return f"{row['asked']:g} × {next(iter(row['peers']), 'the peer')}"
    return f"at {'most' if row['less'] else 'least'} {number(row['asked'])}"


def settings(row: Figures) -> str:
    """What ran: ours, then each peer."""
    peers = [f"{name}: {flat(peer['settings'])}, {flat(peer['versions'])}" for name, peer in row["peers"].items()]
    beside = flat(row["beside"])
    return "; ".join(part for part in (flat(row["settings"]), beside, *peers) if part)


def flat(values: Figures) -> str:
    """`key value, key value`; nested tables behind their name; of one of our settings classes, what is no default."""
    words = []
    if str(values.get("use", "")).startswith("siftrec:"):
        values = {"use": values["use"], **unlike(values, describe(resolve(values["use"], "use")()))}
    for key, value in values.items():
        if isinstance(value, dict):
            words.append(f"{key} ({flat(value)})")
        elif isinstance(value, list):
            words.append(f"{key} {' + '.join(map(str, value)) or 'none'}")
        else:
            words.append(f"{key} {number(value) if isinstance(value, float) else value}")
    return ", ".join(words)


def unlike(values: Figures, defaults: Figures) -> Figures:
    """The values that differ from the defaults, nested tables likewise; one that is off by default is all there."""
    nested = {key: unlike(value, defaults.get(key, {})) for key, value in values.items() if isinstance(value, dict)}
    plain = {key: value for key, value in values.items() if key not in nested and value != defaults.get(key)}
    return plain | {key: value for key, value in nested.items() if value}


def profile(name: str, row: Figures) -> str:
    """The stored profile of a row that is out of reach."""
    if row["unit"] != "targets/s":
        return f"{row['what']} is out of reach."
    path = RESULTS / "profiles" / f"{name}.txt"
    command = f"`python benchmarks/speed.py {name} --profile`"
    if not path.exists():
        return f"{row['what']} is out of reach; {command} shows where its time goes."
    return f"{row['what']} is out of reach. Where its time goes ({command}):\n\n```\n{path.read_text().rstrip()}\n```"


def accuracy_cells() -> tuple[dict[Setting, dict[str, list[Figures]]], int]:
    """What is stored with the settings of now, by setting, then by method; and how many cells are left out."""
    cells: dict[Setting, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    stale = 0
    for path in sorted((RESULTS / "accuracy").glob("*.seed*.json")):
        figures = json.loads(path.read_text("utf-8"))
        cell = Cell(**figures["cell"])
        if current(cell, figures):
            cells[cell.setting][cell.method].append(figures)
        else:
            stale += 1
    return cells, stale


def accuracy(cells: dict[Setting, dict[str, list[Figures]]], stale: int) -> list[str]:
    """One table per data set and share of noise; how many stored cells are left out is said."""
    if not cells:
        return []
    everything = [each for methods in cells.values() for runs in methods.values() for each in runs]
    text = (
        "Leave-one-out, every item ranked for every user. Mean over seeds ± standard deviation between seeds (noise and "
        "training both follow the seed); without noise, counted methods have no seed. *Filtered*: items of the user's "
        "history cannot be recommended; *unfiltered*: all can. ρ: share of train and validation interactions replaced by "
        "popularity-drawn ones; foreign content: share of train and validation interactions, modality by modality, where "
        "what was shown is a popularity-drawn item's; test targets are never touched. Leave-one-out leaks time. Settings "
        "are the defaults, but for what is named below each table and, if there is any, in tables named *tuned*; CCL4Rec "
        "trains on prefixes on MicroLens and on windows on ml1m (decision 0017); there `rows_per_user` bounds what else "
        "trains on prefixes. The learning rate falls along half a cosine; on ml1m over 24 epochs, and what was trained "
        "there before, at a constant rate and until two epochs were no better, stands beside it (decision 0020). The source "
        "of ml1m lacks the interaction before the last for 5,528 of its 6,040 users: there leave-one-out asks for the item "
        "after the next, and no validation question does. *ml1m-but-two* is the same log without the last two interactions "
        "of each user: its test questions are for the next item, and nothing was chosen on them (decision 0021)."
    )
    parts = ["## Accuracy", text, machine_line(everything)]
    if stale:
        parts.append(f"{stale} stored cells were run with settings that are no longer these; they are left out.")
    for setting in SETTINGS:
        if methods := cells.get(setting):
            parts += cell_table(setting, methods)
    return parts


def cell_table(setting: Setting, methods: dict[str, list[Figures]]) -> list[str]:
    """Filtered and unfiltered means of one setting."""
    order = [name for name in NAMES if name in methods]
    parts = [f"### {setting.words}"]
    for spelling in ("filtered", "unfiltered"):
        head = (spelling, *MAIN, "seeds", "parameters", "epochs", "minutes")
        lines = []
        for name in order:
            runs = methods[name]
            values = [[run["evaluation"]["metrics"][spelling][metric] for run in runs] for metric in MAIN]
            lines.append((NAMES[name], *map(deviation, values), seeds(runs), *effort(runs)))
        parts.append(table(head, lines))
    command = f"`python benchmarks/accuracy.py run --only '{setting}.[!0-9]*'`"
    parts.append(f"{command}. Settings that differ: {training(methods)}")
    return parts


def deviation(values: Sequence[float]) -> str:
    """Mean ± standard deviation."""
    mean = f"{statistics.mean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def seeds(runs: Sequence[Figures]) -> str:
    """The seeds that ran."""
    return ", ".join(str(run["cell"]["seed"]) for run in runs)


def effort(runs: Sequence[Figures]) -> tuple[str, str, str]:
    """Parameters, epochs of the weights kept and trained, CPU minutes; medians."""
    parameters = f"{runs[0]['parameters']:,}" if "parameters" in runs[0] else "–"
    kept = [run["best_epoch"] + 1 for run in runs if "best_epoch" in run]
    epochs = f"{statistics.median(kept):g} of {statistics.median(run['epochs'] for run in runs):g}" if kept else "–"
    return parameters, epochs, f"{statistics.median(run['cpu_s'] for run in runs) / 60:.1f}"


def training(methods: dict[str, list[Figures]]) -> str:
    """Which methods were trained with which settings, each once."""
    by_settings: dict[str, list[str]] = defaultdict(list)
    for name, runs in methods.items():
        for run in runs:
            shown = flat({"training": machine.as_before(run.get("training", {})), "content": run["modalities"]})
            if NAMES[name] not in by_settings[shown]:
                by_settings[shown].append(NAMES[name])
    return "; ".join(f"{', '.join(names)}: {shown}" for shown, names in by_settings.items()) + "."


if __name__ == "__main__":
    main()
