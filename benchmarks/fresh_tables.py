"""What was found before it was tested, once it has been: a part of the section of comparisons. No number in it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from accuracy import Setting
from comparisons import read
from comparisons_tables import small, verdict

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

TEXT = """Differences that were seen among the exploratory ones, then declared with metric, seeds and family before any of
their cells was run, and run once on seeds that nobody had looked at (`benchmarks/fresh.py`). Noise and training are new,
users and their test questions the same. Brackets: 95 % interval over users and seeds, as a share of the second's mean.
`python benchmarks/fresh.py run`, then `compare`"""
HEAD = ("first − second", "setting", "found before", "seeds", "difference", "relative", "p (Holm)", "verdict")


def sections(path: Path, names: Mapping[str, str], table: Table) -> list[str]:
    """One table of what `fresh.py compare` wrote; nothing where it has not run."""
    if not path.exists():
        return []
    rows = []
    for record in json.loads(path.read_text("utf-8"))["tests"]:
        found = read(record | {"p": record["p_holm"], "p_equivalent": record["p_equivalent_holm"]})
        setting = Setting(**{key: record[key] for key in Setting._fields})
        ends = (100 * each / found.mean_b for each in (found.low, found.high))
        share = "–" if found.relative is None else f"{found.relative:+.1%} [{', '.join(f'{end:+.1f}' for end in ends)}]"
        rows.append(
            (
                f"{names[found.a]} − {names[found.b]}",
                setting.words,
                record["found"],
                ", ".join(map(str, record["seeds"])),
                f"{found.difference:+.4f}",
                share,
                small(found.p_holm),
                verdict(found, names),
            )
        )
    return ["### Tested on fresh seeds", TEXT, table(HEAD, rows)]
