"""The section "Finding noise" of docs/results.md, from the figures that noise.py stored."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from noise import Unit, current

Figures = dict[str, Any]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

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
TEXT = """Noise is planted in train and validation interactions, and each of them is judged from the log as it is, noise
included. *AUROC*: of the noise probability, with the 95 % interval when users are drawn; *bare*: of the score as it is,
without calibration; *≥ 6*: in histories of at least six. *Found*: share of the noise among what is flagged at q = .2;
*wrong*: share of genuine interactions among it, which should be at most q. *At most*: the upper bound ρ of the share of
noise, to be compared with the truth in the headline. Calibrated throughout on popularity-drawn background, whatever was
planted. *Loss*: −log p(item | rest) by a model that has seen the user, as methods that drop large losses take it."""
DENOISED = """What those who denoise made of the log: share of the genuine interactions that they took away, and share of the
noise that they left. Weights count as the share of an interaction that is left: of the library's own scores 1 − noise, which
`siftrec sift` and `siftrec audit` write, and, as weights of targets, what `denoise` trains CCL4Rec with:"""
NATURAL = """Nothing is planted: every rating is an interaction, and a rating of at most 2 counts as noise. It is chosen,
watched and disliked, which is not what the mechanism describes: the rest of a history vouches for such films as for
others, and the bound does not hold. Nothing here should be taken to find dislikes."""


def sections(results: Path, table: Table) -> list[str]:
    """All tables for which something is stored.

    Args:
        results: folder of the units.
        table: from head and rows to Markdown.
    """
    cases: dict[tuple[str, str, float], list[Figures]] = defaultdict(list)
    for path in sorted(results.glob("*.seed*.json")):
        told = json.loads(path.read_text("utf-8"))
        if not current(Unit(**told["unit"]), told):
            continue
        cases[told["unit"]["data"], told["unit"]["mechanism"], told["unit"]["rho"]].append(told)
    if not cases:
        return []
    parts = ["## Finding noise", TEXT]
    natural = {key: runs for key, runs in cases.items() if key[1] == "rating"}
    for (data, mechanism, rho), runs in sorted(cases.items(), key=_order):
        if mechanism != "rating":
            parts += [f"### {data}, {PLANTED[mechanism]}, ρ = {rho:g}", *_case(runs, table)]
            parts.append(f"`python benchmarks/noise.py run --only '{data}.{mechanism}.rho{rho:g}.*'`")
    if natural:
        parts += ["### Low ratings as noise", NATURAL]
    for (data, _, _), runs in sorted(natural.items()):
        parts += [f"{data}, {runs[0]['figures']['likelihood']['rho']:.0%} ratings of at most 2:", *_case(runs, table)]
        parts.append(f"`python benchmarks/noise.py run --only '{data}.rating.*'`")
    return parts


def _order(case: tuple[tuple[str, str, float], list[Figures]]) -> tuple[bool, str, int, float]:
    (data, mechanism, rho), _ = case
    return data != "microlens50k", data, [*PLANTED, "rating"].index(mechanism), -rho


def _case(runs: Sequence[Figures], table: Table) -> list[str]:
    """Every scorer of a case, and the likelihood by length of history."""
    by_name: dict[str, list[Figures]] = defaultdict(list)
    spent: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for name, figures in run["figures"].items():
            by_name[name].append(figures)
            spent[name].append(run["scorer_cpu_s"][name])
    head = ("", "AUROC", "bare", "≥ 6", "AUPRC", "Brier", "found", "wrong", "at most", "seeds", "CPU s")
    lines = [
        (NAMES[name], *_row(by_name[name]), f"{statistics.median(spent[name]):.0f}")
        for name in NAMES
        if name in by_name
    ]
    parts = [table(head, lines)]
    best = [name for name in ("blend", "likelihood", "popularity") if name in by_name]
    lengths = list(by_name[best[0]][0]["by_history_length"]) if best else []
    if best:
        rows = [
            (
                NAMES[name],
                *(_mean([run["by_history_length"][length]["auroc"] for run in by_name[name]]) for length in lengths),
            )
            for name in best
        ]
        events = [by_name[best[0]][0]["by_history_length"][length]["events"] for length in lengths]
        parts += [
            "AUROC by length of history:",
            table(("", *lengths), [*rows, ("interactions", *map("{:,}".format, events))]),
        ]
    if denoised := _denoised(by_name):
        parts += [DENOISED, table(("", "over-denoising", "under-denoising", "seeds"), denoised)]
    truths = ", ".join(f"{figures['rho']:.3f}" for figures in by_name["likelihood"])
    return [*parts, f"True share of noise: {truths}. Commits: {', '.join(sorted({run['commit'] for run in runs}))}."]


def _denoised(by_name: Mapping[str, Sequence[Figures]]) -> list[tuple[str, ...]]:
    """What everybody who denoises took away and left; of detectors, too, where they weigh targets."""
    rows = []
    for name, runs in by_name.items():
        for how, told in (("", runs), (", as weights of targets", [run.get("weighted targets", {}) for run in runs])):
            measured = [each for each in told if "over_denoising" in each]
            ratios = (_mean([each[key] for each in measured]) for key in ("over_denoising", "under_denoising"))
            rows += [(NAMES[name] + how, *ratios, str(len(measured)))] * bool(measured)
    return rows


def _row(runs: Sequence[Figures]) -> tuple[str, ...]:
    low, high = runs[0]["auroc_interval"]
    interval = f" [{low:.3f}, {high:.3f}]" if len(runs) == 1 and low is not None else ""
    measures = ("auroc_score", "auroc_6", "auprc", "brier")
    return (
        _mean([run["auroc"] for run in runs]) + interval,
        *(_mean([run[measure] for run in runs]) for measure in measures),
        _mean([run["recall_at_fdr"]["0.2"] for run in runs]),
        _mean([run["fdr_reached"]["0.2"] for run in runs]),
        _mean([run["rho_upper"] for run in runs]),
        str(len(runs)),
    )


def _mean(values: Sequence[float | None]) -> str:
    """Mean ± standard deviation between seeds; – where undefined."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{statistics.mean(known):.3f}"
    return f"{mean} ± {statistics.stdev(known):.3f}" if len(known) > 1 else mean
