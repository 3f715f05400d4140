"""Text logs, record by record: what was there stays byte for byte, and a field is added at the end of each line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from siftrec.data.layout import suffix
from siftrec.data.readers import movielens
from siftrec.data.readers.delimited import CSV, TSV, header_of
from siftrec.data.readers.recbole import ATOMIC
from siftrec.data.readers.text import Dialect, left_open, open_text, readable, scan
from siftrec.data.writers.marks import WEIGHT, Marks, refuse_weight
from siftrec.errors import DataError

Append = Callable[[str, str], str]
"""(a record without its line end, a weight) → the record with the weight."""


def lines(source: Path, kind: str, marks: Marks) -> Iterator[str]:
    """The records of a text log, marked.

    Args:
        source: the log; the byte-order mark is left out.
        kind: of its layout: `delimited`, `recbole`, `movielens`, `jsonl` or `pairs`.
        marks: without weights where the kind is `pairs`.

    Yields:
        Text with line ends as they are in the source.

    Raises:
        DataError: the source has a weight already, or fewer rows than `marks`.
    """
    if kind == "pairs":
        return _lists(source, marks)
    dialect = dialect_of(source, kind)
    append = _key(source) if kind == "jsonl" else _field(source, dialect, kind)
    return _rows(
        source, _records(source, dialect), append, dialect if kind in ("delimited", "recbole") else None, marks
    )


def dialect_of(source: Path, kind: str) -> Dialect:
    """How the lines of a text log are cut."""
    if kind == "movielens":
        return movielens.dialect(source)
    if kind == "delimited":
        return TSV if suffix(source) == ".tsv" else CSV
    return ATOMIC


def _rows(source: Path, records: Iterable[str], append: Append, headed: Dialect | None, marks: Marks) -> Iterator[str]:
    row, texts = 0, marks.texts()
    for record in records:
        bare = record.rstrip("\r\n")
        if not bare.strip(" \t"):
            yield record
        elif headed:
            yield record if texts is None else _header(bare, source, headed) + record[len(bare) :]
            headed = None
        else:
            if marks.stays(row):
                text = "" if texts is None else texts[row] if row < len(texts) else "1.0"
                yield append(bare, text) + record[len(bare) :] if text else record
            row += 1
    marks.check(row, str(source))


def _records(source: Path, dialect: Dialect) -> Iterator[str]:
    """Records with their line ends, blank lines among them; a quoted field may run over several lines."""
    quotes = dialect.quoted and scan(source).quotes
    with readable(source), open_text(source) as file:
        if not quotes:
            yield from file
            return
        taken: list[str] = []
        inside = False
        for line in file:
            taken.append(line)
            inside = left_open(line, dialect.separator, inside)
            if not inside:
                yield "".join(taken)
                taken.clear()
        if taken:
            yield "".join(taken)


def _header(bare: str, source: Path, dialect: Dialect) -> str:
    names = header_of(source, dialect)
    refuse_weight(names, str(source))
    return f"{bare}{dialect.separator}{WEIGHT}{':float' if ':' in names[0] else ''}"


def _field(source: Path, dialect: Dialect, kind: str) -> Append:
    if kind == "movielens" and WEIGHT in movielens.names(source):
        refuse_weight([WEIGHT], str(source))
    return lambda bare, text: f"{bare}{dialect.separator}{text}"


def _key(source: Path) -> Append:
    def append(bare: str, text: str) -> str:
        if f'"{WEIGHT}"' in bare.lower():
            refuse_weight(json.loads(bare), str(source))
        body = bare.rstrip()[:-1].rstrip()
        gap = " " if '": ' in body else ""
        return f'{body},{gap}"{WEIGHT}":{gap}{text}}}'

    return append


def _lists(source: Path, marks: Marks) -> Iterator[str]:
    """One list per user, items left out; a user who has none left has no line left."""
    row = 0
    with readable(source), open_text(source) as file:
        for line in file:
            bare = line.rstrip("\r\n")
            user, tab, items = bare.partition("\t")
            listed = items.split(" ") if tab else []
            left = [item for at, item in enumerate(listed) if marks.stays(row + at)]
            row += len(listed)
            if left or not listed:
                yield f"{user}{tab}{' '.join(left)}{line[len(bare) :]}"
    if marks.weight is not None:
        raise DataError("holds lists, which have no place for weights", str(source))
    marks.check(row, str(source))
