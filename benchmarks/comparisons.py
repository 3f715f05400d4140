"""Which method is better than which, and how sure that is: per user, averaged over the seeds both have, corrected by Holm.

A test is stored once, with the p values it has by itself; `families` says what it is corrected with, and by each family's
name it has its corrected p values and what may be said by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import machine
import per_user
from accuracy import FEWER, MAIN, SEEDS, SETTINGS, Cell, Setting, settings_of
from choices import chosen
from families import Family, Pair, families
from variants import VARIANTS

from siftrec.evaluate.compare import Comparison, compare, corrected

Record = dict[str, Any]
OF_A_FAMILY = ("p_holm", "p_equivalent_holm")


def compare_all(before: Mapping[str, Any]) -> dict[str, Any]:
    """Every test of every family for which something is done.

    Args:
        before: what this gave last time, or {}.
    """
    earlier = {_setting(each): each for each in before.get("settings", ())}
    every = families()
    wanted: dict[Setting, dict[Pair, set[str]]] = {}
    for each in every:
        for setting, pair, metric in each.members:
            wanted.setdefault(setting, {}).setdefault(pair, set()).add(metric)
    stored_settings = [compared(setting, pairs, earlier.get(setting, {})) for setting, pairs in wanted.items()]
    records = {
        (_setting(each), (record["a"], record["b"]), record["metric"]): record
        for each in stored_settings
        for record in each["comparisons"]
    }
    for each in every:
        correct(each, records)
    return {"schema": 2, "settings": [each for each in stored_settings if each["comparisons"]]}


def compared(setting: Setting, pairs: Mapping[Pair, set[str]], before: Mapping[str, Any]) -> dict[str, Any]:
    """All tests of one setting that can be made or were, not corrected yet.

    Args:
        setting: what they are compared under.
        pairs: the metrics of each pair.
        before: the same as it was stored. Where values per user of an older cell were not kept, a pair keeps the
            comparison it had, as long as it would be of the same seeds and settings.
    """
    standing = {name: _standing(setting, name) for name in dict.fromkeys(name for pair in pairs for name in pair)}
    standing = {name: each for name, each in standing.items() if each}
    records: list[Record] = []
    for (a, b), metrics in pairs.items():
        sides = _paired(setting, standing.get(a, []), standing.get(b, []))
        if not all(sides):
            continue
        if all(cell.values.exists() for side in sides for cell in side):
            left, right = ([per_user.read(cell.values) for cell in side] for side in sides)
            made = [replace(compare(left, right, metric), a=a, b=b) for metric in MAIN if metric in metrics]
            records += [_record(each, setting, kept=False) for each in made]
        elif _as_before(before, setting, (a, b), sides):
            kept = [read(each) for each in before["comparisons"] if (each["a"], each["b"]) == (a, b)]
            records += [_record(each, setting, kept=True) for each in kept if each.metric in metrics]
    return {
        **setting._asdict(),
        "seeds": {name: [cell.seed for cell in each] for name, each in standing.items()},
        "settings": {name: settings_of(each[0]) for name, each in standing.items()},
        "comparisons": records,
        "command": "python benchmarks/accuracy.py compare",
    }


def correct(family: Family, records: Mapping[tuple[Setting, Pair, str], Record]) -> None:
    """Write into the tests of a family what they are once corrected together."""
    members = [records[test] for test in family.members if test in records]
    if len({setting for setting, *rest in family.members if (setting, *rest) in records}) < family.settings:
        return
    raw = [read(each) for each in members]
    after = [_after(each, record["looks"]) for each, record in zip(raw, members, strict=True)]
    unmade = len(family.members) - len(members) if family.declared else 0
    for record, found in zip(members, corrected(after, unmade), strict=True):
        record["families"][family.name] = {
            **{key: getattr(found, key) for key in OF_A_FAMILY},
            "verdict": found.verdict,
            "tests": len(members) + unmade,
        }


def read(record: Mapping[str, Any], family: str = "") -> Comparison:
    """A stored test, corrected as it is in a family, or by itself."""
    alone = {"p_holm": record["p"], "p_equivalent_holm": record["p_equivalent"]}
    by_family = record["families"][family] if family else alone
    told = record | {key: by_family[key] for key in OF_A_FAMILY}
    return Comparison(**{field.name: told[field.name] for field in fields(Comparison) if field.name in told})


def looked(record: Mapping[str, Any]) -> float:
    """The p value of a stored test by itself, over all the times it was looked at."""
    return _after(read(record), record["looks"]).p


def stored(comparison: Comparison) -> Record:
    """As JSON."""
    return asdict(comparison) | {"relative": comparison.relative, "verdict": comparison.verdict}


def _record(comparison: Comparison, setting: Setting, *, kept: bool) -> Record:
    """As JSON, before it is corrected with others."""
    told = {key: each for key, each in stored(comparison).items() if key not in (*OF_A_FAMILY, "verdict")}
    return told | {"kept": kept, "looks": _looks(setting, comparison), "families": {}}


def _setting(told: Mapping[str, Any]) -> Setting:
    return Setting(**{key: told[key] for key in Setting._fields})


def _standing(setting: Setting, method: str) -> list[Cell]:
    """The cells of a method, one per seed, whose figures stand."""
    return [cell for cell in _cells(setting, method, SEEDS) if cell.stands]


def _cells(setting: Setting, method: str, seeds: Iterable[int]) -> list[Cell]:
    data, rho, foreign, mechanism, tuned = setting
    return [Cell(data, rho, method, seed, foreign, mechanism, tuned) for seed in seeds]


def _as_before(before: Mapping[str, Any], setting: Setting, pair: Pair, now: tuple[list[Cell], list[Cell]]) -> bool:
    """Whether the runs of a pair that are compared are those that were, with the settings that they had."""
    left, right = (_cells(setting, name, before.get("seeds", {}).get(name, ())) for name in pair)
    if _paired(setting, left, right) != now:
        return False
    return all(machine.unchanged(before["settings"].get(side[0].method), settings_of(side[0])) for side in now)


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
    """How often a pair was looked at: twice with more seeds than three where three had been seen before, else once."""
    return 2 if comparison.seeds > len(FEWER) and setting in SETTINGS else 1


def _after(comparison: Comparison, looks: int) -> Comparison:
    """With p values that hold over all the times a pair was looked at."""
    p, equal = (min(1.0, each * looks) for each in (comparison.p, comparison.p_equivalent))
    return replace(comparison, p=p, p_equivalent=equal)
