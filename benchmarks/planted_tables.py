"""The sections of docs/results.md about generated logs whose noise is known."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from curves_plot import Line, drawn
from page import folded, mean, table
from planted import DETECT, is_current
from planted_measures import REFERENCE, TRIALS

Runs = dict[str, dict[int, dict[str, float]]]
"""Variant → seed → measure → value."""

COMMANDS = {
    "train": (
        "Trained, hard, ρ = .4",
        "Content only; everybody takes the same number of steps and keeps the last weights, because the few validation "
        "questions of so noisy a log choose epochs at random.\n\n"
        "- *gauc*, *p@10*: 20 clean against 80 popularity-drawn candidates.\n"
        "- *popularity*, *out of interest*: of the ten best new items, their interactions in training, and the share whose "
        "topic is not the user's.\n"
        "- *shield*: how far the user vector moves when 3 noise interactions are swapped, over when 3 clean ones are "
        "(low is good).\n"
        "- *concordance*: how often the less damaged of two fresh views is the closer one.\n"
        "- *full-library* has the library's own weights of the losses, which were chosen on real logs; the other rows' were "
        "chosen here, on a seed that no other table has. *full-oracle* is told which interactions are noise; it is "
        "a ceiling, on the seeds that its row says.",
    ),
    "clean": ("Trained, hard, ρ = 0", "The same without noise."),
    "detect": (
        "Untrained importance, ρ = .4",
        "AUROC of importance for clean against planted interactions before any training, and the controls it must beat. "
        "In the null settings content carries no information, so .50 is right.",
    ),
    "parts": ("What each part is worth, hard, ρ = .4", "The full method with one thing changed."),
    "hardness": ("Hardness of views, hard, ρ = .4", "The full method with hardness κ."),
    "over": ("Contrast over contrast, hard, ρ = .4", "The full method with the weight λ of contrast over contrast."),
    "encoders": (
        "Around other encoders, hard, ρ = .4",
        "The same with `mean`, `gru` and `transformer` in place of `context`.",
    ),
    "weights": (
        "Weights of the losses, hard, ρ = .4",
        "On a seed that no other table has: five weights λ of vanilla contrast alone, five of the full method (vanilla, "
        "graded, contrast over contrast; the first are the library's own), and both, as chosen, with fewer and more epochs. "
        "What has the best P@10 at six epochs is in the tables above; with other importance, another encoder or a part "
        "changed it was not chosen anew.",
    ),
}
FOLDED = ("parts", "encoders", "weights")
"""Commands of one seed, whose tables are folded away."""
CEILING = "full-oracle"
"""A row that is told the noise; it may have fewer seeds than those that are compared."""
COLLAPSE = ("mean cosine", "uniformity", "effective rank", "re-identified", "auroc")
"""Measures that are folded away."""
COLLAPSED = (
    "*Mean cosine* between user vectors, their *uniformity* on the sphere (low is evenly spread) and *effective rank*: "
    "whether they collapsed. *Re-identified*: users found by one half of their history among all other halves. *Auroc*: "
    "of importance after training."
)

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


def sections(folder: Path, plots: Path) -> list[str]:
    """One table per command of planted.py that has figures.

    Args:
        folder: of the units.
        plots: folder of the plots, beside the page.
    """
    parts = []
    for command, (title, text) in COMMANDS.items():
        if runs := stored(folder, command):
            told = [text, *measured(runs), *claims(runs, CLAIMS.get(command, ()))]
            if command == "hardness":
                told += sweep(runs, plots)
            told.append(f"`python benchmarks/planted.py {command}`")
            parts += [folded(title, *told)] if command in FOLDED else [f"### {title}", *told]
    if not parts:
        return []
    what = "Generated logs whose noise is known (`siftrec.synthetic`). Mean ± standard deviation over seeds."
    return ["## Planted truth", what, *parts]


def measured(runs: Runs) -> list[str]:
    """What was measured, on the seeds that all rows have; what tells of collapse, and other seeds, are folded away."""
    compared = [set(seeds) for name, seeds in runs.items() if name != CEILING]
    shared = set.intersection(*compared)
    fair = {name: {seed: seeds[seed] for seed in sorted(shared & seeds.keys())} for name, seeds in runs.items()}
    measures = list(next(iter(next(iter(runs.values())).values())))
    main, rest = ([each for each in measures if (each in COLLAPSE) == here] for here in (False, True))
    unequal = any(seeds != shared for seeds in compared)
    if not unequal or not shared:
        parts = [rows(runs, main)]
    else:
        seeds = ", ".join(map(str, sorted(shared)))
        parts = [f"Rows have different seeds; compared are those that all have: {seeds}.", rows(fair, main)]
        parts.append(folded("The same over every seed that a row has, not to be compared", rows(runs, main)))
    return (
        [*parts, folded("Whether vectors collapse", COLLAPSED, rows(fair if shared else runs, rest))] if rest else parts
    )


def rows(runs: Runs, measures: Sequence[str]) -> str:
    """Variant by measure."""
    lines = [
        (name, *(mean(each[measure] for each in seeds.values()) for measure in measures), str(len(seeds)))
        for name, seeds in runs.items()
    ]
    return table(
        ("", *(measure.removesuffix("@10") if measure != "p@10" else measure for measure in measures), "seeds"), lines
    )


def sweep(runs: Runs, plots: Path) -> list[str]:
    """A plot of the sweep of κ."""
    kappas = {float(name.removeprefix("kappa")): list(seeds.values()) for name, seeds in runs.items()}
    if len(kappas) < 2:
        return []
    lines = [
        Line(measure, f"part-{number}", False, {k: [each[measure] for each in of] for k, of in kappas.items()})
        for number, measure in enumerate(("shield", "concordance", "gauc", "p@10", "out of interest@10"))
    ]
    picture = drawn("Hardness of views", "hardness κ", "planted, hard, ρ = .4", sorted(kappas), lines)
    plots.mkdir(parents=True, exist_ok=True)
    (plots / "planted-hardness.svg").write_text(picture, "utf-8")
    return ["![Measures against the hardness of views; figures in the table above](plots/planted-hardness.svg)"]


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


def gains(runs: Runs, measure: str, name: str, against: str) -> list[float]:
    """Differences of a measure between two variants, one for each seed that both have."""
    shared = sorted(runs.get(name, {}).keys() & runs.get(against, {}).keys())
    return [runs[name][seed][measure] - runs[against][seed][measure] for seed in shared]


def claims(runs: Runs, asked_of: Iterable[tuple[str, str, str, str]]) -> list[str]:
    """Differences seed by seed, with the 95 % interval of their mean, beside what was asked."""
    lines = []
    for measure, name, against, asked in asked_of:
        found = gains(runs, measure, name, against)
        if len(found) > 1:
            middle, low, high = interval(found)
            told = (f"{middle:+.3f}", f"{low:+.3f} to {high:+.3f}")
            lines.append((measure, f"{name} − {against}", *told, asked, str(len(found))))
    text = "Differences between two variants of the same seed, with the 95 % interval of their mean (Student's t)."
    return [text, table(("", "between", "difference", "interval", "asked", "seeds"), lines)] if lines else []


def interval(found: Sequence[float]) -> tuple[float, float, float]:
    """The mean of at least two differences, and the ends of its 95 % interval."""
    from scipy import stats

    middle = statistics.mean(found)
    half = float(stats.t.ppf(0.975, len(found) - 1)) * statistics.stdev(found) / len(found) ** 0.5
    return middle, middle - half, middle + half
