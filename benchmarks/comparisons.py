"""Which method is better than which, and how sure that is: per user, averaged over the seeds both have, corrected by Holm.

The family over which Holm corrects is every pair of `variants.PAIRS` on every main metric, for one data set and one
share of noise and of foreign content.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from accuracy import FIVE, MAIN, SETTINGS, Setting, cells
from variants import PAIRS, VARIANTS

from siftrec.evaluate.compare import Comparison, compare
from siftrec.evaluate.evaluation import Evaluation
from siftrec.evaluate.significance import holm


def compare_all() -> dict[str, Any]:
    """Every family for which something is done."""
    families = [family(setting) for setting in SETTINGS]
    return {"schema": 1, "families": [each for each in families if each["comparisons"]]}


def family(setting: Setting) -> dict[str, Any]:
    """All pairs of one setting that are done, corrected together."""
    planted = setting.rho or setting.foreign
    runs = {method: done(setting, method) for method in dict.fromkeys(name for pair in PAIRS for name in pair)}
    pairs = {(a, b): same_seeds(runs[a], runs[b]) if planted or _seeded(a, b) else (runs[a], runs[b]) for a, b in PAIRS}
    found = [
        replace(compare(*sides, metric), a=a, b=b) for (a, b), sides in pairs.items() for metric in MAIN if all(sides)
    ]
    corrected = holm([min(1.0, comparison.p * _looks(setting, comparison)) for comparison in found]) if found else []
    listed = [stored(replace(comparison, p_holm=float(p))) for comparison, p in zip(found, corrected, strict=True)]
    return {
        **setting._asdict(),
        "seeds": {method: [run.about.seed for run in each] for method, each in runs.items() if each},
        "comparisons": listed,
        "command": "python benchmarks/accuracy.py compare",
    }


def _looks(setting: Setting, comparison: Comparison) -> int:
    """How often the seeds of a pair were looked at: once, but twice where two were added because three had not decided."""
    return 2 if {comparison.a, comparison.b} <= set(FIVE) and setting == Setting("microlens50k", 0.3) else 1


def done(setting: Setting, method: str) -> list[Evaluation]:
    """One evaluation per seed that is done."""
    return [Evaluation.read(cell.values) for cell in cells([f"{setting}.{method}.seed*"]) if cell.done]


def same_seeds(left: list[Evaluation], right: list[Evaluation]) -> tuple[list[Evaluation], list[Evaluation]]:
    """The runs of either side whose seed the other side has too."""
    both = {run.about.seed for run in left} & {run.about.seed for run in right}
    return [run for run in left if run.about.seed in both], [run for run in right if run.about.seed in both]


def _seeded(a: str, b: str) -> bool:
    """Whether a seed changes either result; one that it does not change is run once, and faces every run of the other."""
    return all(method not in VARIANTS or VARIANTS[method].seeded for method in (a, b))


def stored(comparison: Comparison) -> dict[str, Any]:
    """As JSON."""
    return asdict(comparison) | {"relative": comparison.relative, "verdict": comparison.verdict}
