"""The sections of docs/results.md about generated logs whose noise is known."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from planted import DETECT, is_current
from planted_measures import REFERENCE, TRIALS

Figures = dict[str, Any]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Runs = dict[str, dict[int, dict[str, float]]]
"""Variant → seed → measure → value."""

COMMANDS = {
    "detect": (
        "Untrained importance, ρ = .4",
        "AUROC of importance for clean against planted interactions before any training, and the controls it must beat. "
        "In the null settings content carries no information, so .50 is right.",
    ),
    "weights": (
        "Weights of the losses, hard, ρ = .4",
        "On a seed that no other table has: five weights λ of vanilla contrast alone, five of the full method (vanilla, "
        "graded, contrast over contrast; the first are the library's own), and both, as chosen, with fewer and more epochs. "
        "What has the best P@10 at six epochs is in the tables below; with other importance, another encoder or a part "
        "changed it was not chosen anew.",
    ),
    "train": (
        "Trained, hard, ρ = .4",
        "Content only; everybody takes the same number of steps and keeps the last weights, because the few validation "
        "questions of so noisy a log choose epochs at random. *gauc*, *p@10*: 20 clean against 80 popularity-drawn "
        "candidates. *shield*: how far the user vector moves when 3 noise interactions are swapped, over when 3 clean ones "
        "are (low is good). *concordance*: how often the less damaged of two fresh views is the closer one. *uniformity*: "
        "of user vectors on the sphere (low is evenly spread). *re-identified*: users found by one half of their history "
        "among all other halves. *auroc*: of importance after training. *full-library* has the library's own weights of "
        "the losses, which were chosen on real logs.",
    ),
    "clean": ("Trained, hard, ρ = 0", "The same without noise."),
    "encoders": (
        "Around other encoders, hard, ρ = .4",
        "The same with `mean`, `gru` and `transformer` in place of `context`.",
    ),
    "parts": ("What each part is worth, hard, ρ = .4", "The full method with one thing changed."),
    "hardness": ("Hardness of views, hard, ρ = .4", "The full method with hardness κ."),
    "over": ("Contrast over contrast, hard, ρ = .4", "The full method with the weight λ of contrast over contrast."),
}

CLAIMS = {
    "train": (
        ("shield", "full", "vanilla", "≤ −.05"),
        ("shield", "full", "full-random", ""),
        ("shield", "full", "next-item", ""),
        ("concordance", "full", "vanilla", "≥ +.01"),
        ("shield", "full-library", "vanilla", "≤ −.05"),
        ("concordance", "full-library", "vanilla", "≥ +.01"),
        ("p@10", "full-library", "vanilla", ""),
        ("gauc", "full-library", "vanilla", ""),
        ("p@10", "full", "full-random", "> 0"),
        ("p@10", "full", "vanilla", ""),
        ("gauc", "full", "vanilla", ""),
        ("popularity@10", "full", "next-item", "< 0"),
        ("out of interest@10", "full", "next-item", "< 0"),
        ("out of interest@10", "full", "vanilla", ""),
    ),
    "clean": tuple(
        (measure, name, "next-item", asked)
        for name in ("full", "full-library")
        for measure, asked in (("gauc", "≥ −.005"), ("p@10", ""))
    ),
}
"""By command: measure, variant, against, and what was asked of the difference."""


def sections(folder: Path, table: Table) -> list[str]:
    """One table per command of planted.py that has figures."""
    parts = []
    for command, (title, text) in COMMANDS.items():
        runs = stored(folder, command)
        if not runs:
            continue
        measures = list(next(iter(next(iter(runs.values())).values())))
        lines = [
            (name, *(spread([each[measure] for each in seeds.values()]) for measure in measures), str(len(seeds)))
            for name, seeds in runs.items()
        ]
        parts += [f"### {title}", text, table(("", *measures, "seeds"), lines)]
        parts += claims(runs, CLAIMS.get(command, ()), table)
        parts += [f"`python benchmarks/planted.py {command}`"]
    if not parts:
        return []
    what = "Generated logs whose noise is known (`siftrec.synthetic`). Mean ± standard deviation over seeds."
    return ["## Planted truth", what, *parts]


def stored(folder: Path, command: str) -> Runs:
    """The figures of a command, and of the same seeds those it refers to, by variant."""
    names = list(TRIALS.get(command, DETECT))
    runs = {name: read(folder, f"{command}.{name}") for name in names}
    seeds = {seed for found in runs.values() for seed in found}
    for name, source in REFERENCE.get(command, {}).items():
        runs[name] = {seed: figures for seed, figures in read(folder, source).items() if seed in seeds}
    return {name: runs[name] for name in sorted(runs) if runs[name]}


def read(folder: Path, source: str) -> dict[int, dict[str, float]]:
    """Seed → figures of one variant, as far as they were made with the settings of now."""
    found = {}
    for path in sorted(folder.glob(f"{source}.seed*.json")):
        figures = json.loads(path.read_text("utf-8"))
        if is_current(path.stem, figures):
            found[int(path.stem.rsplit(".seed", 1)[1])] = figures["figures"]
    return found


def claims(runs: Runs, asked_of: Sequence[tuple[str, str, str, str]], table: Table) -> list[str]:
    """Differences seed by seed, with the 95 % interval of their mean, beside what was asked."""
    lines = []
    for measure, name, against, asked in asked_of:
        shared = sorted(runs.get(name, {}).keys() & runs.get(against, {}).keys())
        if len(shared) > 1:
            gains = [runs[name][seed][measure] - runs[against][seed][measure] for seed in shared]
            lines.append((measure, f"{name} − {against}", *difference(gains), asked, str(len(shared))))
    text = "Differences between two variants of the same seed, with the 95 % interval of their mean (Student's t)."
    return [text, table(("", "between", "difference", "interval", "asked", "seeds"), lines)] if lines else []


def difference(gains: Sequence[float]) -> tuple[str, str]:
    """The mean, and its 95 % interval."""
    from scipy import stats

    mean = statistics.mean(gains)
    half = float(stats.t.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / len(gains) ** 0.5
    return f"{mean:+.3f}", f"{mean - half:+.3f} to {mean + half:+.3f}"


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, three digits."""
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean
