"""Comparisons as text, JSON, LaTeX and HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from siftrec.display import html_table
from siftrec.evaluate.compare import ALPHA, MARGIN, Comparison, p_text
from siftrec.evaluate.rank import FILTERS


def as_text(family: Sequence[Comparison]) -> str:
    """One line per comparison, then the size of the family."""
    return "\n".join([*(str(comparison) for comparison in family), _note(family)])


def as_json(family: Sequence[Comparison]) -> dict[str, Any]:
    """`{"schema": 1, "family": n, "comparisons": [...]}`; an infinite effect is null."""
    rows = [
        asdict(comparison)
        | {
            "filter": FILTERS[comparison.filter],
            "relative": comparison.relative,
            "effect": comparison.effect if math.isfinite(comparison.effect) else None,
            "equivalent": comparison.equivalent,
        }
        for comparison in family
    ]
    return {"schema": 1, "family": len(family), "alpha": ALPHA, "margin": MARGIN, "comparisons": rows}


def as_latex(family: Sequence[Comparison]) -> str:
    """A `tabular` for the booktabs package."""
    head = (
        "a & b & metric & mean a & mean b & difference & 95\\,\\% CI & $p$ (Holm) & $d_z$ & $p$ (Holm, $\\pm 2$\\,\\%)"
    )
    rows = [
        " & ".join(
            [
                *(escaped(text) for text in (c.a, c.b, f"{c.metric} {FILTERS[c.filter]}")),
                *(f"{mean:.4f}" for mean in (c.mean_a, c.mean_b)),
                f"${c.difference:+.4f}$",
                f"$[{c.low:+.4f}, {c.high:+.4f}]$",
                *(f"${p_text(c.p_holm).removeprefix('= ')}$", f"${c.effect:+.3f}$"),
                f"${p_text(c.p_equivalent_holm).removeprefix('= ')}$",
            ]
        )
        for c in family
    ]
    body = [f"{row} \\\\" for row in rows]
    lines = ["\\begin{tabular}{lllrrrrrrr}", "\\toprule", f"{head} \\\\", "\\midrule", *body, "\\bottomrule"]
    return "\n".join([*lines, "\\end{tabular}", f"% {_note(family)}"])


def as_html(family: Sequence[Comparison]) -> str:
    """A table for notebooks."""
    head = ("a", "b", "metric", "mean a", "mean b", "difference", "95 % interval", "p (Holm)", "d", "users", "verdict")
    rows = [
        (
            *(c.a, c.b, f"{c.metric} {FILTERS[c.filter]}", f"{c.mean_a:.4f}", f"{c.mean_b:.4f}"),
            *(f"{c.difference:+.4f}", f"[{c.low:+.4f}, {c.high:+.4f}]", p_text(c.p_holm).removeprefix("= ")),
            *(f"{c.effect:+.3f}", f"{c.users:,}", c.verdict),
        )
        for c in family
    ]
    return html_table(_note(family), head, rows)


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is."""
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    special |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)


def _note(family: Sequence[Comparison]) -> str:
    """What was done; with seeds, that the interval and p do not say the same (see `significance`)."""
    fewest, most = (end(comparison.seeds for comparison in family) for end in (min, max))
    sampled, caution = "users", ""
    if most > 1:
        sampled = "users and seeds" if fewest > 1 else "users, and over seeds where there are several"
        caution = " (with few seeds that differ it is too narrow, and p the better judge)"
    single = " and ".join(dict.fromkeys(comparison.one_run for comparison in family if comparison.one_run))
    as_it_is = f"; against seeds, one run of {single} is taken as it is" if single else ""
    return (
        f"Family of {len(family)} on {family[0].protocol}: paired t test over {sampled}, Holm-corrected over the family; "
        f"bootstrap interval over {'the same' if most > 1 else 'users'}{caution}; "
        f"equivalence by two one-sided tests, ±2 % of b, Holm-corrected likewise{as_it_is}"
    )
