"""The section of docs/results.md about `siftrec audit`: what it said, and what would have been right."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from page import Figures, folded, table

from audit import HELPS, RECTOOLS, RECTOOLS_SEEDS, is_current

TEXT = f"""Noise planted in everything before each user's last interaction, `siftrec audit` of that part as a log of its
own, then models trained on it as it is, with the weights, and without what is flagged, and asked for the untouched last
interactions, which the audit never saw. Changes of NDCG@20, filtered, mean over models. *Right*: it says *weight it*
and the weights help there, or it does not and they do not help by more than {HELPS:.0%}. The holdout was changed after
cells like these were seen (one target per user before), and a rule of the verdict after these
(`siftrec.audit.verdict`), so they are no untouched evidence. `python benchmarks/audit.py run [--quick]`"""
STALE = """Left out, to be run again: {stale} whose audit did not have the content that the data set has, or whose other
people's models have fewer seeds."""
EACH = """Changes of each model with 95 % intervals over users, and over seeds where a model has several: `implicit`'s have
five, or one where it says so."""
WEIGHTED = f""" {RECTOOLS}: its losses of targets are multiplied by the weights; without what is flagged it reads shorter
histories, as ours do; {len(RECTOOLS_SEEDS)} seeds, where its environment was installed."""


def cells(folder: Path) -> tuple[list[Figures], int]:
    """What is stored of the audit of now, and how many others are left out."""
    stored = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    found = [each for each in stored if is_current(each)]
    return found, len(stored) - len(found)


def sections(folder: Path) -> list[str]:
    """What the audit said of logs whose noise is known, beside what the weights then did; each model is folded away."""
    found, stale = cells(folder)
    if not found:
        return []
    head = (
        "log",
        "planted",
        "audit",
        "noise, at most",
        "verdict",
        "audit's own gain",
        "with weights",
        "dropped",
        "models",
        "right",
    )
    each = [
        (named(cell), changes(cell["truth"], "weighted"), changes(cell["truth"], "dropped"), models(cell))
        for cell in found
    ]
    left = f" {STALE.format(stale=stale)}" if stale else ""
    return [
        "## Is the verdict right?",
        f"{TEXT}{left}",
        f"**{sum(cell['right'] for cell in found)} of {len(found)} verdicts are right.** {worst(found)}",
        table(head, [verdict(cell) for cell in found]),
        folded("Each model", about(found), table(("log", "with weights", "dropped", "models"), each)),
    ]


def about(found: Sequence[Figures]) -> str:
    """What is said of the models that have run."""
    ran = {each["model"] for cell in found for each in cell["truth"]}
    return f"{EACH}{WEIGHTED if RECTOOLS in ran else ''}"


def named(cell: Mapping[str, Figures]) -> str:
    """The log, and what was planted in it."""
    told = cell["cell"]
    return f"{told['data']}, {told['mechanism']} {told['rho']:g}" if told["rho"] else f"{told['data']}, none"


def worst(found: Sequence[Figures]) -> str:
    """The greatest loss of a model by a verdict that says that weights help."""
    losses = [
        (each["relative"], each["model"], named(cell))
        for cell in found
        if cell["audit"]["verdict"]["answer"] == "weight it"
        for each in of_arm(cell["truth"], "weighted")
    ]
    if not losses:
        return ""
    relative, model, log = min(losses)
    told = f"{sum(loss < 0 for loss, _, _ in losses)} of {len(losses)} models lost where it says *weight it*"
    return f"But {told}, the most {relative:+.1%} ({model}; {log})." if relative < 0 else ""


def of_arm(truth: Sequence[Figures], arm: str) -> list[Figures]:
    """What is known of one arm, a model each."""
    return [each for each in truth if each["arm"] == arm and each["relative"] is not None]


def average(truth: Sequence[Figures], arm: str) -> str:
    """The mean change over models."""
    gains = [each["relative"] for each in of_arm(truth, arm)]
    return f"{statistics.mean(gains):+.1%}" if gains else "–"


def models(cell: Figures) -> str:
    """How many models were given the weights."""
    return str(len(of_arm(cell["truth"], "weighted")))


def verdict(figures: Figures) -> tuple[str, ...]:
    """One audited log."""
    cell, audit = figures["cell"], figures["audit"]
    noise, gains = audit["noise"], audit["verdict"]["gains"]
    own = f"{gains[-1]['relative']:+.1%} [{gains[-1]['low']:+.1%}, {gains[-1]['high']:+.1%}]" if gains else "–"
    return (
        cell["data"],
        f"{cell['mechanism']} {cell['rho']:g}" if cell["rho"] else "none",
        "quick" if cell["quick"] else "full",
        f"{noise['rho_upper']:.1%}",
        audit["verdict"]["answer"].partition(",")[0],
        own,
        average(figures["truth"], "weighted"),
        average(figures["truth"], "dropped"),
        models(figures),
        "yes" if figures["right"] else "**no**",
    )


def one(told: Figures) -> str:
    """Said of another library's model that was trained once: figures of before it had five seeds."""
    return " (one seed)" if told["model"].startswith("implicit") and told.get("seeds", 1) == 1 else ""


def changes(truth: Sequence[Figures], arm: str) -> str:
    """What one arm did to each model."""
    return "; ".join(
        f"{each['model']}{one(each)} {each['relative']:+.1%} [{each['interval'][0]:+.1%}, {each['interval'][1]:+.1%}]"
        for each in of_arm(truth, arm)
    )
