"""JSON lines, plain or gzip: one object per line. Ids written as numbers become their text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from siftrec.data.interactions import Interactions
from siftrec.data.readers.checks import Raw, interactions
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.text import open_bytes, open_text, readable, scan
from siftrec.data.readers.untold import LOOKED_AT, refuse_untold_time, untold
from siftrec.data.vocab import exact_ids
from siftrec.errors import DataError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.\w]+')
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class _Line:
    """Finds `file:line` of a row by counting lines that are not blank."""

    path: Path

    def __call__(self, row: int, role: str) -> str:
        for number, (line, _) in enumerate(_lines(self.path)):
            if number == row:
                return f"{self.path}:{line}"
        return str(self.path)


def read(path: Path, columns: Columns) -> Interactions:
    """The log.

    Raises:
        DataError: broken JSON with line and column, a line that is no object, and all that `interactions` refuses.
    """
    found = scan(path)
    try:
        with readable(path), open_bytes(path) as file:
            if found.bom:
                file.read(3)
            frame = pl.read_ndjson(file, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        for number, line in _lines(path):
            _refuse_halves(_object(line, number, path), number, path)
        raise DataError(f"cannot be read as JSON lines: {error}", str(path)) from None
    roles = columns.find(frame.columns, str(path))
    if found.escapes:
        for number, line in _lines(path):
            if "\\ud" in line or "\\uD" in line:
                value = _object(line, number, path)
                _refuse_halves({name: value.get(name) for name in roles.values()}, number, path)
    refuse_untold_time(frame.select(untold(frame.columns, roles, columns)).head(LOOKED_AT), str(path))
    frame = frame.select(pl.col(name).alias(role) for role, name in roles.items())
    frame = frame.with_columns(_as_text(frame[role]) for role in ("user", "item"))
    return interactions(Raw(frame, str(path), _Line(path), found.notes))


def _as_text(ids: pl.Series) -> pl.Series:
    """Whole numbers as their text, 7.0 like 7; other numbers stay, to be refused."""
    whole = exact_ids(ids) if ids.dtype.is_float() else ids
    as_whole = whole.dtype.is_integer() and whole.null_count() == ids.null_count()
    return whole.cast(pl.String) if as_whole else ids


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def _object(line: str, number: int, path: Path) -> dict[str, Any]:
    """The object of a line.

    Raises:
        DataError: it holds none, or one that strict JSON has no place for.
    """
    try:
        value = json.loads(line, parse_constant=partial(_refuse_number, line), parse_float=partial(_finite, line))
    except RecursionError:
        raise DataError("broken JSON: its brackets are nested too deep", f"{path}:{number}") from None
    except ValueError as error:
        column = getattr(error, "colno", 1)
        raise DataError(f"broken JSON: {getattr(error, 'msg', error)}", f"{path}:{number}:{column}") from None
    if not isinstance(value, dict):
        raise DataError('is not a JSON object like {"user": …, "item": …}', f"{path}:{number}:1")
    return value


def _finite(line: str, number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse_number(line, number)


def _refuse_number(line: str, number: str) -> NoReturn:
    bare = (match for match in _TOKEN.finditer(line) if match[0] == number)
    raise json.JSONDecodeError(f"{number} is not a finite number", line, next(bare).start())


def _refuse_halves(value: Mapping[str, Any], number: int, path: Path) -> None:
    """Refuse a surrogate without the other of its pair: Polars makes the same letter of all of them."""
    for name, text in value.items():
        if isinstance(text, str) and (half := _HALF.search(text)):
            problem = f"{name!r} is {text!a}, where {ascii(half[0])[1:-1]} is half a letter; write it whole"
            raise DataError(problem, f"{path}:{number}")
