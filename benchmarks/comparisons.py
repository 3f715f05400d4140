"""Which method is better than which, and how sure that is: per user, averaged over seeds, corrected by Holm.

The family over which Holm corrects is every pair of `variants.PAIRS` on every main metric, for one data set and one
share of noise.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from accuracy import DATASETS, MAIN, RHOS, cells
from variants import PAIRS

from siftrec.evaluate.compare import Comparison, compare
from siftrec.evaluate.evaluation import Evaluation
from siftrec.evaluate.significance import holm


def compare_all() -> dict[str, Any]:
    """Every family for which something is done."""
    families = [family(data, rho) for data in DATASETS for rho in RHOS]
    return {"schema": 1, "families": [each for each in families if each["comparisons"]]}


def family(data: str, rho: float) -> dict[str, Any]:
    """All pairs of one data set and share of noise that are done, corrected together."""
    runs = {method: done(data, rho, method) for method in dict.fromkeys(name for pair in PAIRS for name in pair)}
    found = [
        replace(compare(runs[a], runs[b], metric), a=a, b=b) for a, b in PAIRS for metric in MAIN if runs[a] and runs[b]
    ]
    corrected = holm([comparison.p for comparison in found]) if found else []
    listed = [stored(replace(comparison, p_holm=float(p))) for comparison, p in zip(found, corrected, strict=True)]
    return {
        "data": data,
        "rho": rho,
        "seeds": {method: [run.about.seed for run in each] for method, each in runs.items() if each},
        "comparisons": listed,
        "command": "python benchmarks/accuracy.py compare",
    }


def done(data: str, rho: float, method: str) -> list[Evaluation]:
    """One evaluation per seed that is done."""
    return [Evaluation.read(cell.values) for cell in cells([f"{data}.rho{rho:g}.{method}.seed*"]) if cell.done]


def stored(comparison: Comparison) -> dict[str, Any]:
    """As JSON."""
    return asdict(comparison) | {"relative": comparison.relative, "verdict": comparison.verdict}
