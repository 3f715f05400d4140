"""What the sections of docs/results.md are made of: tables, parts that are folded away, anchors, numbers in words."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Figures = dict[str, Any]
TITLE = re.compile(r"(#{2,6}) (.+)")
LONG = 40
"""Characters; a cell with more is not read as a number."""


def stored(path: Path) -> Figures | None:
    """A stored JSON file, None where it has not been made."""
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns of numbers, but the first, are right-aligned."""
    lines = [list(row) for row in rows]
    rule = ["---" if not i or _is_prose([line[i] for line in lines]) else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *lines))


def _is_prose(cells: Sequence[str]) -> bool:
    told = [cell for cell in cells if cell not in ("", "–")]
    return (
        any(len(cell) > LONG for cell in told)
        or sum(cell[0] in "[`" or cell[0].isalpha() for cell in told) > len(told) / 2
    )


def filled(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table without the columns, but the first, in which no row has anything."""
    lines = [list(row) for row in rows]
    kept = [i for i in range(len(head)) if not i or any(line[i] not in ("", "–") for line in lines)]
    return table([head[i] for i in kept], [[line[i] for i in kept] for line in lines])


def folded(summary: str, *parts: str) -> str:
    """Parts that are shown on a click; Markdown inside HTML needs the empty lines."""
    return "\n\n".join((f"<details>\n<summary>{summary}</summary>", *parts, "</details>"))


class Heading(NamedTuple):
    """A title of the page.

    Attributes:
        level: 2 for a section.
        title: in words.
        anchor: as GitHub makes it: a title that comes again gets a number.
        folded: whether it is inside a folded part.
    """

    level: int
    title: str
    anchor: str
    folded: bool


def headings(page: str) -> list[Heading]:
    """All titles below the first."""
    found: list[Heading] = []
    times: Counter[str] = Counter()
    depth, fenced = 0, False
    for line in page.splitlines():
        fenced ^= line.startswith("```")
        depth += line.count("<details>") - line.count("</details>")
        if not fenced and (title := TITLE.fullmatch(line)):
            plain = re.sub(r"[^\w\- ]", "", title[2].lower()).replace(" ", "-")
            found.append(
                Heading(len(title[1]), title[2], f"{plain}-{times[plain]}" if times[plain] else plain, depth > 0)
            )
            times[plain] += 1
    return found


def contents(page: str) -> str:
    """A list of links to the sections, and behind each to what is below it and not folded away."""
    lines: list[str] = []
    for level, title, anchor, hidden in headings(page):
        link = f"[{title}](#{anchor})"
        if level == 2:
            lines.append(f"- {link}")
        elif level == 3 and not hidden:
            lines[-1] += f"{' · ' if ': [' in lines[-1] else ': '}{link}"
    return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits, or a whole number with separators."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def middle(values: Sequence[float]) -> str:
    """The median and, between brackets, the least and the most."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} [{number(min(values))}–{number(max(values))}]"


def mean(values: Iterable[float | None], digits: int = 3) -> str:
    """Mean ± standard deviation between seeds, – where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    told = f"{statistics.mean(known):.{digits}f}"
    return f"{told} ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else told


def counted(found: Iterable[int]) -> str:
    """How many seeds: `1`, or `1–3` where rows differ."""
    numbers = sorted(set(found))
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"


def rates(found: Iterable[Mapping[str, float]]) -> str:
    """Product and copy rates of a machine, each time they were measured."""
    return "; ".join(f"{each['gemm_gflops']:.0f}, {each['copy_gb_per_s']:.0f}" for each in found)


def processor(row: Mapping[str, Any]) -> str:
    """The processor that a row was measured on, in short."""
    return str(row["machine"]["processor"]).replace("(R)", "").removesuffix(" Processor")


def machine_line(rows: Iterable[Mapping[str, Any]]) -> str:
    """A list of the machines and versions that made some rows, each once."""
    lines = {
        f"- {m['processor']}, {m['cores']} cores, Python {m['python']}, torch {m['torch']}, NumPy {m['numpy']}, "
        f"Polars {m['polars']}, siftrec {m['siftrec']}"
        for m in (row["machine"] for row in rows)
    }
    return "\n".join(sorted(lines))
