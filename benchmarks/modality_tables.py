"""The section "Which modality counted" of docs/results.md, from the figures that modality.py stored."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import machine

from modality import settings_of, units

Figures = dict[str, Any]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

CAUSES = """One modality of each interaction is its cause, drawn from what the user prefers; nothing is told. *Top-1*: share
of interactions whose cause has the largest weight; *AUROC*: of the weight, for the cause against the other modalities;
*preference*: correlation of ω with the planted preference; *p@10*: 20 clean against 80 popularity-drawn candidates. In
the null setting nothing causes anything, so top-1 is right at chance. Mean ± standard deviation over seeds.

*softmax* is Demure without a lift of the ids; *logistic* has other bags, *uncalibrated* no calibration; *vanilla* and
*contrast* add contrast over slots, with two random views alone and with graded ones, at weights chosen on another seed;
*attention*, *none* and *random* are other gates. Asked were, for three modalities, top-1 .72, AUROC .88 and preference .80;
for a useless one and one whose vectors are all alike, less than .10 of the weight and top-1 .72, and without the guard at
least .1 less."""
OVER = """The content is real, the interactions are generated: users prefer modalities, and in them some of 24 clusters of
vectors. The clusters were made in the space in which items are compared before training, which favours agreement."""
FOREIGN = """Each modality of each train and validation interaction was replaced by that of a popularity-drawn item with
probability ρ. `siftrec.judge_content` finds it from what the rest of the history showed in that modality, without the
item's own content and without its other modalities. AUROC, mean over seeds [least–most], in histories of at least 2, 6 and
12; *agreement*: the same from untrained agreement; *control*: by popularity; *found*: share of the foreign content that is
flagged at q = .2; *wrong*: share of genuine content among what is flagged, which should be at most q; *at most*: the upper
bound of ρ."""
WORLDS = {
    "plain": "three modalities",
    "hard": "three modalities, blurred",
    "useless": "a fourth modality that causes nothing",
    "look_alike": "a fourth modality whose vectors are all alike",
    "missing": "text missing for 20 %, image for 40 %, audio for 60 % of the items",
    "noisy": "30 % of the interactions are noise",
    "null": "null: nothing causes anything",
}


def sections(results: Path, table: Table) -> list[str]:
    """All tables for which something is stored that was made with the settings of now.

    Args:
        results: folder of the units.
        table: from head and rows to Markdown.
    """
    runs: dict[tuple[str, str], dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    for unit in sorted(units()):
        path = results / f"{unit}.json"
        stored = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if machine.as_before(stored.get("settings", {})) == settings_of(unit):
            kind, what, variant = unit.rsplit(".seed", 1)[0].split(".", 2)
            runs[kind, what][variant].append(stored["figures"])
    planted = [
        part
        for what, title in WORLDS.items()
        if ("planted", what) in runs
        for part in (f"#### {title}", _causes(runs["planted", what], table), _command(f"planted.{what}"))
    ]
    over = [
        part
        for (kind, what), found in runs.items()
        if kind == "over"
        for part in (f"#### {what}", _causes(found, table), _command(f"over.{what}"))
    ]
    foreign = [
        part
        for (kind, what), found in runs.items()
        if kind == "foreign"
        for rho, figures in sorted(found.items())
        for part in (
            f"#### {what}, ρ = {rho.removeprefix('rho')}",
            _foreign(figures, table),
            _command(f"foreign.{what}"),
        )
    ]
    parts = []
    for title, text, found in (
        ("Planted causes", CAUSES, planted),
        ("Planted preferences over real content", OVER, over),
        ("Foreign content in real logs", FOREIGN, foreign),
    ):
        parts += [f"### {title}", text, *found] if found else []
    return ["## Which modality counted", *parts] if parts else []


def _command(pattern: str) -> str:
    return f"`python benchmarks/modality.py run --only '{pattern}.*'`"


def _causes(found: dict[str, list[Figures]], table: Table) -> str:
    extra = [name for name in ("useless", "look_alike") if name in next(iter(found.values()))[0]["mass"]]
    head = ("gate", "top-1", "AUROC", "preference", "p@10", *(f"mass of {name}" for name in extra), "seeds")
    rows = [
        (
            variant,
            *(_mean(figures, key) for key in ("top1", "auroc", "preference", "p@10")),
            *(_mean([each["mass"] for each in figures], name) for name in extra),
            str(len(figures)),
        )
        for variant, figures in found.items()
    ]
    return table(head, rows)


def _mean(figures: list[Figures], key: str) -> str:
    values = [each[key] for each in figures if each[key] is not None]
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def _foreign(figures: list[Figures], table: Table) -> str:
    head = ("modality", "≥ 2", "≥ 6", "≥ 12", "agreement", "control", "found", "wrong", "at most", "seeds")
    rows = [
        (
            name,
            *(_range([run[name][f"noise_{least}"]["auroc"] for run in figures]) for least in (2, 6, 12)),
            _range([run[name]["agreement_2"]["auroc"] for run in figures]),
            _range([run[name]["auroc_popularity"] for run in figures]),
            _range([run[name]["recall_at_fdr"]["0.2"] for run in figures]),
            _range([run[name]["fdr_reached"]["0.2"] for run in figures]),
            _range([run[name]["rho_upper"] for run in figures]),
            str(len(figures)),
        )
        for name in figures[0]
    ]
    return table(head, rows)


def _range(values: Sequence[float | None]) -> str:
    real = [value for value in values if value is not None]
    if not real:
        return "–"
    mean = f"{statistics.mean(real):.3f}"
    return f"{mean} [{min(real):.3f}–{max(real):.3f}]" if len(real) > 1 else mean
