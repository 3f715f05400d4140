"""Paired comparisons as tables and plots: the primary pairs first, all else folded away. No number in them is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accuracy import DATASETS, MAIN, SETTINGS, Setting
from comparisons import read
from families import METRIC, PRIMARY, PRIMARY_FOREIGN, Pair, primary
from forest_plot import Row, forest
from page import folded
from variants import PAIRS

from siftrec.evaluate.compare import ALPHA, Comparison
from siftrec.report.data import Estimate

Figures = Mapping[str, Any]
Names = Mapping[str, str]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Places = Mapping[Setting, Figures]

TEXT = """Per user and seed, filtered. Difference = first − second, in brackets its 95 % interval, both as a share of
the second's mean. Users and seeds are both samples wherever there are several seeds: pigeonhole bootstrap interval;
p: t test with the standard error of both. With few seeds that differ the interval is too narrow, and p is what a
verdict rests on. With one seed the seed is taken as it is: *(users only)*, for another seed may say otherwise.
Equivalence: two one-sided tests against ± 2 % of the second's mean. Holm corrects both, the tests of difference and
those of equivalence, over their family. Seeds beyond three were added where three had been seen: for that second look
both p are doubled. † is of earlier runs with the same settings, whose values per user were not kept; some seeds have
been run again since, on another machine, so that means differ in their last digits."""
FIRST = f"""The *primary* family of a setting is what this library is about, {METRIC.upper()} of {len(PRIMARY)} pairs,
or of {len(PRIMARY_FOREIGN)} where content is foreign. **It was declared after the first three seeds had been seen**,
so these p values are not those of a plan made beforehand; since then they no longer change with every other cell that
is run. A declared pair without a figure counts as a test that shows nothing. A look at the same users with earlier
settings is counted nowhere. In the plots ± 2 % are shaded, and arrows lie beyond ± 30 %."""
REST = """Every other pair and metric, *exploratory*: one family for each setting, which grows with what is run.
**Bold**: a difference at 5 % after Holm; ≈: equivalent within ± 2 % after Holm; then p of the difference after Holm.
*Primary*: in the table above. Differences in the metric's own unit and all other p values are in
`results/accuracy/comparisons.json`."""
COMMAND = "`python benchmarks/accuracy.py compare`"
USERS_ONLY = "(users only)"
UNKEPT, UNRUN = "values per user not kept", "not run"


def sections(path: Path, plots: Path, names: Names, table: Table) -> list[str]:
    """The primary pairs as plots and one table, then a folded table for each setting; nothing where nothing is stored.

    Args:
        path: what `accuracy.py compare` wrote.
        plots: folder of the plots, beside the page.
        names: of methods.
        table: from head and rows to Markdown.
    """
    places = stored_places(path)
    if not places:
        return []
    pictures = [picture for data in DATASETS if (picture := _forest(data, places, plots, names))]
    parts = [
        "## Comparisons",
        f"{TEXT} {COMMAND}",
        "### Primary pairs",
        FIRST,
        *pictures,
        *_first(places, names, table),
    ]
    rest = [folds for place in places.items() if (folds := _rest(*place, names, table))]
    return [*parts, "### Exploratory pairs", REST, *rest]


def stored_places(path: Path) -> dict[Setting, Figures]:
    """What is stored of each setting, empty where nothing is."""
    told = json.loads(path.read_text("utf-8"))["settings"] if path.exists() else ()
    return {Setting(**{key: each[key] for key in Setting._fields}): each for each in told}


def wide(records: Iterable[tuple[str, Figures]], columns: Sequence[str], family: str, names: Names) -> list[list[str]]:
    """A row for each pair: seeds, then what a family says of it in each column; – where nothing does.

    Args:
        records: column and test.
        columns: in order.
        family: that the tests are corrected with; where they are in another, that is named.
        names: of methods.
    """
    rows: dict[Pair, dict[str, Figures]] = {}
    for column, record in records:
        rows.setdefault((record["a"], record["b"]), {})[column] = record
    return [
        [
            f"{_pair(pair, names)}{dagger(cells.values())}",
            _seeds([each["seeds"] for each in cells.values()]),
            *(_cell(cells[column], family) if column in cells else "–" for column in columns),
        ]
        for pair, cells in rows.items()
    ]


def _seeds(found: Sequence[int]) -> str:
    """`3`, `1–3` where columns differ; one seed alone says nothing of what seeds differ by."""
    return f"1 {USERS_ONLY}" if max(found) == 1 else "–".join(map(str, sorted({min(found), max(found)})))


def dagger(records: Iterable[Figures]) -> str:
    """Said of what rests on values that were not kept."""
    return " †" if any(record["kept"] for record in records) else ""


def verdict(found: Comparison, names: Names) -> str:
    """What may be said, with the names that tables have, and whether it holds for these seeds alone."""
    said = replace(found, a=names[found.a], b=names[found.b]).verdict
    return f"{said} {USERS_ONLY}" if found.seeds == 1 else said


def _cell(record: Figures, family: str) -> str:
    if family not in record["families"]:
        return f"*{next(iter(record['families']))}*"
    found = read(record, family)
    if found.relative is None:
        return "–"
    share = f"{found.relative:+.1%}"
    bold = f"**{share}**" if found.p_holm < ALPHA else share
    low, high = _ends(found)
    return f"{bold} [{100 * low:+.1f}, {100 * high:+.1f}]{' ≈' if found.equivalent else ''} {small(found.p_holm)}"


def _first(places: Places, names: Names, table: Table) -> list[str]:
    """One table over all settings, then what was declared and is not there."""
    head = ("first − second", "setting", "seeds", "difference", "relative", "p", "p (equivalent)", "verdict")
    rows, missing = [], []
    for setting in SETTINGS:
        told = places.get(setting)
        if told is None:
            declared = len(primary(setting))
            missing += [f"- {setting.words}: none of its {declared} pairs"] if declared else []
            continue
        records = {(each["a"], each["b"]): each for each in told["comparisons"] if "primary" in each["families"]}
        for pair in primary(setting):
            if pair not in records:
                missing.append(f"- {setting.words}: {_pair(pair, names)}, {_why(pair, told)}")
                continue
            found = read(records[pair], "primary")
            low, high = _ends(found)
            share = "–" if found.relative is None else f"{found.relative:+.1%} [{100 * low:+.1f}, {100 * high:+.1f}]"
            ps = small(found.p_holm), small(found.p_equivalent_holm)
            told_as = f"{_pair(pair, names)}{dagger([records[pair]])}", setting.words, str(found.seeds)
            rows.append((*told_as, f"{found.difference:+.4f}", share, *ps, verdict(found, names)))
    return [table(head, rows), *(["Declared, and not there:\n\n" + "\n".join(missing)] if missing else [])]


def _forest(data: str, places: Places, plots: Path, names: Names) -> str:
    """The plot of a data set's primary pairs, and the line that shows it; nothing where none is there."""
    groups = []
    for setting, told in places.items():
        tests = (each for each in told["comparisons"] if setting.data == data and "primary" in each["families"])
        rows = [_drawn(each, names) for each in tests if each["relative"] is not None]
        groups += [(setting.words, rows)] if rows else []
    if not groups:
        return ""
    plots.mkdir(parents=True, exist_ok=True)
    title = f"{data}: {METRIC.upper()}, primary pairs"
    (plots / f"forest-{data}.svg").write_text(forest(title, groups), "utf-8")
    return f"![{title}: differences with 95 % intervals; figures in the table below](plots/forest-{data}.svg)"


def _drawn(record: Figures, names: Names) -> Row:
    found = read(record, "primary")
    low, high = _ends(found)
    share = found.relative or 0.0
    told = f"{share:+.1%}, p {small(found.p_holm)}{dagger([record])}"
    return Row(names[found.a], names[found.b], Estimate(share, low, high), told)


def _rest(setting: Setting, told: Figures, names: Names, table: Table) -> str:
    tests = [each for each in told["comparisons"] if {"primary", "secondary"} & each["families"].keys()]
    if not tests:
        return ""
    rows = wide(((each["metric"], each) for each in tests), MAIN, "secondary", names)
    count = sum("secondary" in each["families"] for each in tests)
    there = {(each["a"], each["b"]) for each in tests}
    # Where methods are tuned, pairs of which neither was are not compared, kept or not.
    missing = [pair for pair in PAIRS if not setting.tuned and pair not in there and _why(pair, told) == UNKEPT]
    lost = f"Run, but {UNKEPT}: {'; '.join(_pair(pair, names) for pair in missing)}." if missing else ""
    parts = (table(("first − second", "seeds", *MAIN), rows), lost)
    return folded(f"{setting.words}: {len(rows)} pair{'s' * (len(rows) > 1)}, {count} tests", *filter(None, parts))


def _why(pair: Pair, told: Figures) -> str:
    """Why a pair has no figure."""
    return UNKEPT if all(name in told["seeds"] for name in pair) else UNRUN


def _pair(pair: Pair, names: Names) -> str:
    return f"{names[pair[0]]} − {names[pair[1]]}"


def _ends(found: Comparison) -> tuple[float, float]:
    """The interval as a share of the second's mean."""
    return (found.low / found.mean_b, found.high / found.mean_b) if found.mean_b else (0.0, 0.0)


def small(p: float) -> str:
    """A p value."""
    return "< .0001" if p < 0.0001 else "1" if p >= 0.99995 else f"{p:.4f}".lstrip("0")
