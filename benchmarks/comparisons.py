"""Which method is better than which, and how sure that is: per user, averaged over the seeds both have, corrected by Holm.

The family over which Holm corrects is every pair of `variants.PAIRS` on every main metric, for one data set and one
share of noise and of foreign content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import per_user
from accuracy import FIVE, MAIN, SETTINGS, Cell, Setting, cells
from variants import PAIRS, VARIANTS

from siftrec.evaluate.compare import Comparison, compare
from siftrec.evaluate.significance import holm


def compare_all(before: Mapping[str, Any]) -> dict[str, Any]:
    """Every family for which something is done.

    Args:
        before: what this gave last time, or {}.
    """
    earlier = {_setting(each): each for each in before.get("families", ())}
    families = [family(setting, earlier.get(setting, {})) for setting in SETTINGS]
    return {"schema": 1, "families": [each for each in families if each["comparisons"]]}


def family(setting: Setting, before: Mapping[str, Any]) -> dict[str, Any]:
    """All pairs of one setting that are done, corrected together.

    Args:
        setting: what they are compared under.
        before: the family as it was stored. Pairs keep the comparison they had where values per user of an older cell were
            not kept and neither side's figures have changed since.
    """
    standing = {name: _standing(setting, name) for name in dict.fromkeys(name for pair in PAIRS for name in pair)}
    commits = {str(cell): _commit(cell) for each in standing.values() for cell in each}
    found: list[Comparison] = []
    for pair in PAIRS:
        sides = _paired(setting, *(standing[name] for name in pair))
        both = [*sides[0], *sides[1]]
        if not all(sides):
            continue
        if all(cell.values.exists() for cell in both):
            left, right = ([per_user.read(cell.values) for cell in side] for side in sides)
            found += [replace(compare(left, right, metric), a=pair[0], b=pair[1]) for metric in MAIN]
        elif all(before.get("commits", {}).get(str(cell)) == commits[str(cell)] for cell in both):
            found += [_read(each) for each in before["comparisons"] if (each["a"], each["b"]) == pair]
    corrected = holm([min(1.0, comparison.p * _looks(setting, comparison)) for comparison in found]) if found else []
    listed = [stored(replace(comparison, p_holm=float(p))) for comparison, p in zip(found, corrected, strict=True)]
    return {
        **setting._asdict(),
        "seeds": {name: [cell.seed for cell in each] for name, each in standing.items() if each},
        "commits": commits,
        "comparisons": listed,
        "command": "python benchmarks/accuracy.py compare",
    }


def _setting(stored_family: Mapping[str, Any]) -> Setting:
    return Setting(**{key: stored_family[key] for key in Setting._fields})


def _standing(setting: Setting, method: str) -> list[Cell]:
    """The cells of a method, one per seed, whose figures stand."""
    return [cell for cell in cells([f"{setting}.{method}.seed*"]) if cell.stands]


def _commit(cell: Cell) -> str:
    return str(json.loads(cell.result.read_text())["commit"])


def _paired(setting: Setting, left: list[Cell], right: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The cells of either side whose seed the other side has too.

    Where a seed does not change a method it is run once, and faces every run of the other.
    """
    if not (setting.rho or setting.foreign) and not all(_seeded(cell) for cell in (*left, *right)):
        return left, right
    both = {cell.seed for cell in left} & {cell.seed for cell in right}
    return [cell for cell in left if cell.seed in both], [cell for cell in right if cell.seed in both]


def _seeded(cell: Cell) -> bool:
    return cell.method not in VARIANTS or VARIANTS[cell.method].seeded


def _looks(setting: Setting, comparison: Comparison) -> int:
    """How often the seeds of a pair were looked at: once, but twice where two were added because three had not decided."""
    return 2 if {comparison.a, comparison.b} <= set(FIVE) and setting == Setting("microlens50k", 0.3) else 1


def _read(stored_comparison: Mapping[str, Any]) -> Comparison:
    """What `stored` wrote."""
    return Comparison(**{key: each for key, each in stored_comparison.items() if key not in ("relative", "verdict")})


def stored(comparison: Comparison) -> dict[str, Any]:
    """As JSON."""
    return asdict(comparison) | {"relative": comparison.relative, "verdict": comparison.verdict}
