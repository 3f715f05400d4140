"""The section of docs/results.md about `siftrec audit`: what it said, and what would have been right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def sections(folder: Path, table: Table) -> list[str]:
    """What the audit said of logs whose noise is known, beside what the weights then did."""
    rows = [verdict(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]
    if not rows:
        return []
    text = (
        "Noise planted in everything before each user's last interaction, `siftrec audit` of that part as a log of its own, "
        "then models trained on it as it is, with the weights, and without what is flagged, and asked for the untouched "
        "last interactions, which the audit never saw. Changes of NDCG@20, filtered, with 95 % intervals over users, "
        "and over seeds where a model has several: `implicit`'s have five, or one where it says so. "
        "*Right*: it says *weight it* and the weights help there, or it does not and they do not help by more than "
        "1 %, by the mean over models. The holdout was changed after cells like these were seen (one target per user "
        "before), and a rule of the verdict after these (`siftrec.audit.verdict`), so they are no untouched evidence."
    )
    head = (
        "log",
        "planted",
        "audit",
        "noise, at most",
        "verdict",
        "audit's own gain",
        "with weights",
        "dropped",
        "right",
    )
    return ["## Is the verdict right?", text, table(head, rows), "`python benchmarks/audit.py run [--quick]`"]


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
        changes(figures["truth"], "weighted"),
        changes(figures["truth"], "dropped"),
        "yes" if figures["right"] else "no",
    )


def one(told: Figures) -> str:
    """Said of another library's model that was trained once: figures of before it had five seeds."""
    return " (one seed)" if told["model"].startswith("implicit") and told.get("seeds", 1) == 1 else ""


def changes(truth: Sequence[Figures], arm: str) -> str:
    """What one arm did to each model."""
    told = (each for each in truth if each["arm"] == arm and each["relative"] is not None)
    return "; ".join(
        f"{each['model']}{one(each)} {each['relative']:+.1%} [{each['interval'][0]:+.1%}, {each['interval'][1]:+.1%}]"
        for each in told
    )
