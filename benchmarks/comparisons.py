"""Which method is better than which, and how sure that is: per user, averaged over the seeds both have, corrected by Holm.

The family over which Holm corrects is every pair of `variants.PAIRS` on every main metric, for one data set and one
share of noise and of foreign content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import machine
import per_user
from accuracy import FIVE, MAIN, SEEDS, SETTINGS, Cell, Setting, settings_of
from choices import chosen
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
        before: the family as it was stored. Where values per user of an older cell were not kept, a pair keeps the
            comparison it had, as long as both sides have the seeds and the settings that they had.
    """
    standing = {name: _standing(setting, name) for name in dict.fromkeys(name for pair in PAIRS for name in pair)}
    standing = {name: each for name, each in standing.items() if each}
    found, kept = [], set()
    for a, b in PAIRS:
        sides = _paired(setting, standing.get(a, []), standing.get(b, []))
        if not all(sides):
            continue
        if all(cell.values.exists() for side in sides for cell in side):
            left, right = ([per_user.read(cell.values) for cell in side] for side in sides)
            found += [replace(compare(left, right, metric), a=a, b=b) for metric in MAIN]
        elif all(_as_before(before, standing[name]) for name in (a, b)):
            found += [_read(each) for each in before["comparisons"] if (each["a"], each["b"]) == (a, b)]
            kept.add((a, b))
    corrected = holm([min(1.0, comparison.p * _looks(setting, comparison)) for comparison in found]) if found else []
    final = [replace(comparison, p_holm=float(p)) for comparison, p in zip(found, corrected, strict=True)]
    return {
        **setting._asdict(),
        "seeds": {name: [cell.seed for cell in each] for name, each in standing.items()},
        "settings": {name: settings_of(each[0]) for name, each in standing.items()},
        "comparisons": [stored(each) | {"kept": (each.a, each.b) in kept} for each in final],
        "command": "python benchmarks/accuracy.py compare",
    }


def _setting(stored_family: Mapping[str, Any]) -> Setting:
    return Setting(**{key: stored_family[key] for key in Setting._fields})


def _standing(setting: Setting, method: str) -> list[Cell]:
    """The cells of a method, one per seed, whose figures stand."""
    data, rho, foreign, mechanism, tuned = setting
    every = (Cell(data, rho, method, seed, foreign, mechanism, tuned) for seed in SEEDS)
    return [cell for cell in every if cell.stands]


def _as_before(before: Mapping[str, Any], now: list[Cell]) -> bool:
    """Whether a method has the seeds and the settings that it had."""
    name = now[0].method
    seeds = before.get("seeds", {}).get(name) == [cell.seed for cell in now]
    return seeds and machine.unchanged(before["settings"].get(name), settings_of(now[0]))


def _paired(setting: Setting, left: list[Cell], right: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The cells of either side whose seed the other side has too.

    Where a seed does not change a method it is run once, and faces every run of the other. Where methods are tuned, two that
    were not do not meet: they have met at their defaults.
    """
    if setting.tuned and not any(cell.method in chosen().get(str(setting.plain), {}) for cell in (*left, *right)):
        return [], []
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
    return Comparison(
        **{key: each for key, each in stored_comparison.items() if key not in ("relative", "verdict", "kept")}
    )


def stored(comparison: Comparison) -> dict[str, Any]:
    """As JSON."""
    return asdict(comparison) | {"relative": comparison.relative, "verdict": comparison.verdict}
