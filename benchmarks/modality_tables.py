"""The section "Which modality counted" of docs/results.md, from the figures that modality.py stored."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import machine
from page import Figures, counted, filled, folded, mean, table

from modality import VARIANTS as GATES
from modality import settings_of, units

CAUSES = """One modality of each interaction is its cause, drawn from what the user prefers; nothing is told. In the null
world nothing causes anything, so top-1 is right at chance. The last two worlds have real content and generated interactions:
users prefer modalities, and in them some of 24 clusters of vectors, made in the space in which items are compared before
training, which favours agreement. Mean ± standard deviation over seeds. `python benchmarks/modality.py run --only
'planted.*' 'over.*'`

- *softmax*: Demure without a lift of the ids.
- *logistic*: the same with logistic bags in place of MIL-NCE.
- *uncalibrated*: without the calibration that guards against modalities that say little.
- *contrast*, *vanilla*: with contrast over modality slots, graded views or two random ones; weights chosen on another seed.
- *attention*, *none*, *random*: other gates, as controls."""
FOREIGN = """Each modality of each train and validation interaction was replaced by that of a popularity-drawn item with
probability ρ. `siftrec.judge_content` finds it from what the rest of the history showed in that modality, without the
item's own content and without its other modalities. AUROC, mean over seeds [least–most], in histories of at least 2, 6 and
12; *agreement*: the same from untrained agreement; *control*: by popularity; *found*: share of the foreign content that is
flagged at q = .2; *wrong*: share of genuine content among what is flagged, which should be at most q; *at most*: the upper
bound of ρ. `python benchmarks/modality.py run --only 'foreign.*'`"""
WORLDS = {
    "planted.plain": "three modalities",
    "planted.hard": "three modalities, blurred",
    "planted.useless": "a fourth modality that causes nothing",
    "planted.look_alike": "a fourth modality whose vectors are all alike",
    "planted.missing": "text missing for 20 %, image for 40 %, audio for 60 % of the items",
    "planted.noisy": "30 % of the interactions are noise",
    "planted.short": "histories of 5, four times the users",
    "planted.foreign": "30 % of the content is foreign",
    "planted.null": "null: nothing causes anything",
    "over.microlens50k": "real content of microlens50k",
    "over.ml1m": "real content of ml1m",
}
MATRICES = {
    "top1": "*Top-1*: share of interactions whose cause has the largest weight.",
    "p@10": "*P@10*: 20 clean against 80 popularity-drawn candidates.",
}
Worlds = Mapping[str, Mapping[str, Sequence[Figures]]]
"""World → gate → the figures of each seed."""


def stored(results: Path) -> dict[str, dict[str, list[Figures]]]:
    """What was made with the settings of now, by `kind.what`, then by variant."""
    runs: dict[str, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    for unit in sorted(units()):
        path = results / f"{unit}.json"
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if machine.unchanged(found.get("settings"), settings_of(unit)):
            kind, what, variant = unit.rsplit(".seed", 1)[0].split(".", 2)
            runs[f"{kind}.{what}"][variant].append(found["figures"])
    return runs


def sections(results: Path) -> list[str]:
    """All tables for which something is stored that was made with the settings of now."""
    runs = stored(results)
    worlds = {world: runs[world] for world in WORLDS if world in runs}
    foreign = {world: found for world, found in runs.items() if world.startswith("foreign.")}
    parts = []
    if worlds:
        parts += ["### Planted causes", CAUSES]
        parts += [part for key, what in MATRICES.items() for part in (what, matrix(worlds, key))]
        hidden = ["*Correlation of ω with the planted preference.*", matrix(worlds, "preference"), auroc(worlds)]
        parts += [*masses(worlds), folded("Preference, AUROC of the weight, and the seeds of each figure", *hidden)]
    if foreign:
        parts += ["### Foreign content in real logs", FOREIGN, unlike(foreign)]
    return ["## Which modality counted", *parts] if parts else []


def matrix(worlds: Worlds, key: str) -> str:
    """One measure of every gate in every world."""
    rows = [
        (WORLDS[world], *(mean(run[key] for run in found.get(gate, ())) for gate in GATES))
        for world, found in worlds.items()
    ]
    seeds = ["–" if not (of := _seeds(worlds, gate)) else counted(of) for gate in GATES]
    return filled(("", *GATES), [*rows, ("*seeds*", *seeds)])


def _seeds(worlds: Worlds, gate: str) -> list[int]:
    return [len(found[gate]) for found in worlds.values() if gate in found]


def masses(worlds: Worlds) -> list[str]:
    """What a modality gets that says nothing."""
    rows = [
        (
            WORLDS[f"planted.{name}"],
            *(mean(run["mass"][name] for run in worlds[f"planted.{name}"].get(gate, ())) for gate in GATES),
        )
        for name in ("useless", "look_alike")
        if f"planted.{name}" in worlds
    ]
    return ["The share of the weight that the fourth modality gets:", filled(("", *GATES), rows)] if rows else []


def auroc(worlds: Worlds) -> str:
    """AUROC of the weight for the cause against the other modalities, a line for each world and gate."""
    rows = [
        (f"{WORLDS[world]}: {gate}", mean(run["auroc"] for run in found[gate]), str(len(found[gate])))
        for world, found in worlds.items()
        for gate in GATES
        if gate in found
    ]
    return table(("", "AUROC", "seeds"), rows)


def unlike(foreign: Worlds) -> str:
    """How well foreign content is found."""
    head = ("", "≥ 2", "≥ 6", "≥ 12", "agreement", "control", "found", "wrong", "at most", "seeds")
    rows = [
        (f"{world.removeprefix('foreign.')}, ρ = {rho.removeprefix('rho')}, {name}", *_row(figures, name))
        for world, found in foreign.items()
        for rho, figures in sorted(found.items())
        for name in figures[0]
    ]
    return filled(head, rows)


def _row(figures: Sequence[Figures], name: str) -> tuple[str, ...]:
    return (
        *(_range([run[name][f"noise_{least}"]["auroc"] for run in figures]) for least in (2, 6, 12)),
        _range([run[name]["agreement_2"]["auroc"] for run in figures]),
        _range([run[name]["auroc_popularity"] for run in figures]),
        _range([run[name]["recall_at_fdr"]["0.2"] for run in figures]),
        _range([run[name]["fdr_reached"]["0.2"] for run in figures]),
        _range([run[name]["rho_upper"] for run in figures]),
        str(len(figures)),
    )


def _range(values: Sequence[float | None]) -> str:
    real = [value for value in values if value is not None]
    if not real:
        return "–"
    middle = f"{statistics.mean(real):.3f}"
    return f"{middle} [{min(real):.3f}–{max(real):.3f}]" if len(real) > 1 else middle
