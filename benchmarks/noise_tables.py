"""The section "Finding noise" of docs/results.md, from the figures that noise.py stored."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from curves_plot import Line, drawn
from page import Figures, counted, filled, folded, mean, table

from noise import Unit, current
from siftrec.noise.measure import LEVELS
from siftrec.report.palette import PARTS

NAMES = {
    "blend": "blend of the scores below",
    "likelihood": "likelihood, cross-fitted",
    "likelihood, twice": "likelihood, estimated twice",
    "cooccurrence": "co-occurrence, the user left out",
    "agreement": "content agreement, nothing trained",
    "not cross-fitted": "likelihood by a model that has seen the user",
    "loss of the interaction": "loss of the interaction",
    "mean loss of the history": "mean loss of the history",
    "similarity to the next item": "similarity to the next item",
    "tce": "T-CE around SASRec, as trained",
    "rce": "R-CE around SASRec, as trained",
    "hsd": "HSD-style sieve before SASRec, as trained",
    "popularity": "control: popularity alone",
    "ceiling": "ceiling: likelihood fitted on the clean log",
}
PLANTED = {
    "replace": "items replaced by popularity-drawn ones",
    "insert": "popularity-drawn interactions added",
    "swap": "items replaced by another user's at the same position",
    "autoplay": "items replaced by a neighbour of the item before",
}
LOW = "low ratings"
"""What is said of nature's own noise."""
TEXT = """Noise is planted in train and validation interactions, and each of them is judged from the log as it is, noise
included; calibrated throughout on popularity-drawn background, whatever was planted.

| planted | what |
| --- | --- |
{planted}

AUROC of the noise probability, over all histories of at least three / of at least six, mean over seeds; one number where no
history is shorter than six. *Loss*: −log p(item | rest) by a model that has seen the user, as methods that drop large losses
take it."""
DENOISED = """What those who denoise made of the log: share of the genuine interactions that they took away, and share of the
noise that they left. Weights count as the share of an interaction that is left: of the library's own scores 1 − noise, which
`siftrec sift` and `siftrec audit` write, and, as weights of targets, what `denoise` trains CCL4Rec with. AUROC has the
interval of the full tables below:"""
CASE = """*AUROC* ± standard deviation between seeds, and the 95 % interval when users, not interactions, are drawn: of
several seeds the means of its ends, for all judge the same users, and more seeds do not make them more. Other figures
have no stored interval, and only the ±. *At most*: the upper bound ρ of the share of noise, to be compared with the true
share."""
FLAGGED = """*Found*: share of the noise that is flagged at q; *wrong*: share of genuine interactions among what is flagged,
which should be at most q:"""
ERRS = """Where they err. AUROC among the interactions of a group, and behind the stroke the mean noise probability of the
genuine ones there: by popularity of the item, and by whether the user has others of its kind (50 clusters of items by
content, by company where there is none). An interest that a user followed once looks like noise."""
ERRING = ("blend", "likelihood", "agreement", "cooccurrence", "popularity")
CONTROL = "popularity"
NEAR_CHANCE = 0.6
"""The AUROC below which every scorer but the control has to be to say that low ratings are not found."""
NATURAL = f"""**Low ratings are not found.** There nothing is planted: every rating is an interaction, and a rating of at
most 2 counts as noise. It is chosen, watched and disliked, which is not what the mechanism describes: the rest of a
history vouches for such films as for others, and the bound does not hold. AUROC is below {NEAR_CHANCE:g}, but for the
control. Nothing here should be taken to find dislikes."""
RELIABLE = """How sure it says it is, and how often it is right: interactions in ten groups of equal noise probability
by the blend, seed 1; logs other than microlens50k are dashed. On the grey diagonal what is called 30 % noise is 30 %
noise; below it there is less noise than is said."""

COLOURS = (*(f"part-{k}" for k in range(PARTS)), "noise")
Case = tuple[str, str, float]
"""Data set, mechanism, ρ."""


def cases(results: Path) -> dict[Case, dict[str, list[Figures]]]:
    """Everything that is stored: case → scorer → its figures, a seed each, with what they took and were made by."""
    found: dict[Case, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(results.glob("*.seed*.json")):
        told = json.loads(path.read_text("utf-8"))
        unit = told["unit"]
        if not current(Unit(**unit), told):
            continue
        for name, figures in told["figures"].items():
            about = {"cpu_s": told["scorer_cpu_s"][name], "commit": told["commit"], "seed": unit["seed"]}
            found[unit["data"], unit["mechanism"], unit["rho"]][name].append(figures | about)
    return {case: found[case] for case in sorted(found, key=_order)}


def _order(case: Case) -> tuple[bool, bool, str, int, float]:
    data, mechanism, rho = case
    return mechanism == "rating", data != "microlens50k", data, [*PLANTED, "rating"].index(mechanism), -rho


def sections(results: Path, plots: Path) -> list[str]:
    """One matrix of all cases, what opponents took away, a plot of reliability; each case in full is folded away.

    Args:
        results: folder of the units.
        plots: folder of the plots, beside the page.
    """
    found = cases(results)
    if not found:
        return []
    planted = "\n".join(f"| {name} | {what} |" for name, what in PLANTED.items())
    parts = ["## Finding noise", TEXT.format(planted=planted), matrix(found)]
    if near_chance(found):
        parts.append(NATURAL)
    parts += [*denoised(found), *reliability(found, plots), "### Each case in full", CASE]
    return parts + [folded(titled(case), *in_full(case, scorers)) for case, scorers in found.items()]


def near_chance(found: Mapping[Case, Mapping[str, Sequence[Figures]]]) -> bool:
    """Whether low ratings were looked for, and no scorer but the control told them well apart from others."""
    rated = [scorers for (_, mechanism, _), scorers in found.items() if mechanism == "rating"]
    reached = [run["auroc"] for scorers in rated for name, runs in scorers.items() if name != CONTROL for run in runs]
    return bool(reached) and max(reached) < NEAR_CHANCE


def titled(case: Case) -> str:
    """A case in words."""
    data, mechanism, rho = case
    return f"{data}, {LOW}" if mechanism == "rating" else f"{data}, {mechanism} {rho:g}"


def matrix(found: Mapping[Case, Mapping[str, Sequence[Figures]]]) -> str:
    """AUROC of each scorer in each case."""
    rows = [
        (what, *(both(scorers.get(name, ())) for scorers in found.values()))
        for name, what in NAMES.items()
        if any(name in scorers for scorers in found.values())
    ]
    seeds = [counted(len(runs) for runs in scorers.values()) for scorers in found.values()]
    return table(("", *map(titled, found)), [*rows, ("*seeds*", *seeds)])


def both(runs: Sequence[Figures]) -> str:
    """AUROC over all histories and over those of at least six; one number where these are the same."""
    if not runs:
        return "–"
    every, longer = (statistics.mean(run[key] for run in runs) for key in ("auroc", "auroc_6"))
    return f"{every:.3f}" if not shorter(runs) else f"{every:.3f} / {longer:.3f}"


def shorter(runs: Sequence[Figures]) -> bool:
    """Whether any history is shorter than six."""
    return any(run["by_history_length"][length]["events"] for run in runs for length in ("2-3", "4-5"))


def denoised(found: Mapping[Case, Mapping[str, Sequence[Figures]]]) -> list[str]:
    """What everybody who denoises did with the noise and with the rest; of detectors, too, where they weigh targets."""
    rows = []
    for case, scorers in found.items():
        for name, runs in scorers.items():
            for how, told in (
                ("", runs),
                (", as weights of targets", [run.get("weighted targets", {}) for run in runs]),
            ):
                measured = [each for each in told if "over_denoising" in each]
                ratios = (mean(each[key] for each in measured) for key in ("over_denoising", "under_denoising"))
                area = interval(runs)
                rows += [(f"{titled(case)}: {NAMES[name]}{how}", *ratios, area, str(len(measured)))] * bool(measured)
    head = ("", "over-denoising", "under-denoising", "AUROC", "seeds")
    return ["### Over- and under-denoising", DENOISED, table(head, rows)] if rows else []


def reliability(found: Mapping[Case, Mapping[str, Sequence[Figures]]], plots: Path) -> list[str]:
    """Said against true share of noise, of the blend."""
    lines = [Line("as it says", "axis", True, {0.0: [0.0], 1.0: [1.0]})]
    for (case, scorers), colour in zip(found.items(), cycle(COLOURS), strict=False):
        groups = scorers["blend"][0]["reliability"] if "blend" in scorers else []
        if points := {each["predicted"]: [each["observed"]] for each in groups if each["count"]}:
            lines.append(Line(titled(case), colour, case[0] != "microlens50k", points))
    if len(lines) == 1:
        return []
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    picture = drawn("How sure, and how often right", "noise probability", "share of noise among them", shares, lines)
    plots.mkdir(parents=True, exist_ok=True)
    (plots / "noise-reliability.svg").write_text(picture, "utf-8")
    return ["### Reliability", RELIABLE, "![Share of noise against the noise probability](plots/noise-reliability.svg)"]


def in_full(case: Case, scorers: Mapping[str, Sequence[Figures]]) -> list[str]:
    """Every scorer of a case, and the likelihood by length of history where lengths differ."""
    head = ("", "AUROC", "≥ 6", "AUPRC", "Brier", "at most", "seeds", "CPU s")
    rows = [(NAMES[name], *_row(scorers[name])) for name in NAMES if name in scorers]
    parts = [filled(head, rows), FLAGGED, flagged(scorers), *_by_length(scorers), *_erring(scorers)]
    truths = ", ".join(f"{run['rho']:.3f}" for run in scorers["likelihood"])
    commits = ", ".join(sorted({run["commit"] for runs in scorers.values() for run in runs}))
    data, mechanism, rho = case
    pattern = f"{data}.rating.*" if mechanism == "rating" else f"{data}.{mechanism}.rho{rho:g}.*"
    command = f"`python benchmarks/noise.py run --only '{pattern}'`"
    return [*parts, f"True share of noise: {truths}. Commits: {commits}. {command}"]


def flagged(scorers: Mapping[str, Sequence[Figures]]) -> str:
    """How much of the noise is found, and how much of what is flagged is none, at each aim."""
    shares = {"found": "recall_at_fdr", "wrong": "fdr_reached"}
    head = ("", *(f"{what}, q = {q:g}" for what in shares for q in LEVELS))
    rows = [
        (
            NAMES[name],
            *(mean(run[share][f"{q:g}"] for run in scorers[name]) for share in shares.values() for q in LEVELS),
        )
        for name in NAMES
        if name in scorers
    ]
    return table(head, rows)


def interval(runs: Sequence[Figures]) -> str:
    """AUROC, ± between seeds, and its 95 % interval clustered by user: of several seeds the means of the ends."""
    area = mean(run["auroc"] for run in runs)
    ends = [run["auroc_interval"] for run in runs if None not in run["auroc_interval"]]
    if not ends:
        return area
    low, high = (statistics.mean(each) for each in zip(*ends, strict=True))
    return f"{area} [{low:.3f}, {high:.3f}]"


def _by_length(scorers: Mapping[str, Sequence[Figures]]) -> list[str]:
    best = [name for name in ("blend", "likelihood", "popularity") if name in scorers]
    lengths = scorers[best[0]][0]["by_history_length"] if best else {}
    shown = [length for length, figures in lengths.items() if figures["events"]]
    if len(shown) < 2:
        return []
    rows = [
        (NAMES[name], *(interval([run["by_history_length"][length] for run in scorers[name]]) for length in shown))
        for name in best
    ]
    rows.append(("interactions", *(f"{lengths[length]['events']:,}" for length in shown)))
    return ["AUROC by length of history:", table(("", *shown), rows)]


def _erring(scorers: Mapping[str, Sequence[Figures]]) -> list[str]:
    """AUROC within groups of interactions, and the mean noise probability of the genuine ones among them."""
    told = {name: runs for name in ERRING if (runs := [run["errs"] for run in scorers.get(name, ()) if "errs" in run])}
    if not told:
        return []
    groups = list(next(iter(told.values()))[0])

    def row(of: Sequence[Figures], group: str) -> str:
        return f"{mean(run[group]['auroc'] for run in of)} / {mean(run[group]['genuine'] for run in of)}"

    rows = [(NAMES[name], *(row(of, group) for group in groups), str(len(of))) for name, of in told.items()]
    first = next(iter(told.values()))[0]
    rows.append(("interactions", *(f"{first[group]['events']:,}" for group in groups), ""))
    rows.append(("share of noise", *(mean([first[group]["rho"]]) for group in groups), ""))
    return [ERRS, table(("", *groups, "seeds"), rows)]


def _row(runs: Sequence[Figures]) -> tuple[str, ...]:
    return (
        interval(runs),
        mean(run["auroc_6"] for run in runs) if shorter(runs) else "–",
        *(mean(run[measure] for run in runs) for measure in ("auprc", "brier")),
        mean(run["rho_upper"] for run in runs),
        str(len(runs)),
        f"{statistics.median(run['cpu_s'] for run in runs):.0f}",
    )
