"""Logs in several files of one shape, such as a training and a test file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from siftrec.data.interactions import Interactions
from siftrec.data.readers.checks import Raw, interactions
from siftrec.data.readers.columns import refuse_twice
from siftrec.data.readers.delimited import CSV, header_of, table
from siftrec.data.readers.text import Place, scan
from siftrec.errors import DataError
from siftrec.settings import nearest


@dataclass(frozen=True)
class Places:
    """Finds where a value stands in the file that holds the row.

    Attributes:
        starts: first row of each file.
        places: of each file.
    """

    starts: Sequence[int]
    places: Sequence[Callable[[int, str], str]]

    def __call__(self, row: int, name: str) -> str:
        which = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.places[which](row - self.starts[which], name)


def read_parts(files: Sequence[tuple[Path, str | None]], columns: Mapping[str, str | int]) -> Interactions:
    """Comma-separated files, one after the other.

    Args:
        files: each with the name of the part that all its rows are in (`split`), or None.
        columns: role → column of every file, by name or by number from 0. By number the header line may be missing: a
            first line with a number where `time` or `label` belongs is a row.

    Raises:
        DataError: a file or column that is missing or occurs twice, and all that other logs are refused for.
    """
    frames, starts, places, notes = list[pl.DataFrame](), [0], list[Place](), dict[str, int]()
    for path, part in files:
        found, first = scan(path), header_of(path, CSV)
        fields = {role: _field(name, first, path) for role, name in columns.items()}
        headed = not any(
            isinstance(columns[role], int) and _is_value(first[fields[role]]) for role in ("time", "label")
        )
        header = first if headed else [str(place) for place in range(len(first))]
        refuse_twice(header, str(path))
        frame = table(path, header, [header[field] for field in fields.values()], CSV, found, headed)
        frame = frame.select(pl.col(header[field]).alias(role) for role, field in fields.items())
        frames.append(frame if part is None else frame.with_columns(pl.lit(part).alias("split")))
        starts.append(starts[-1] + frame.height)
        places.append(Place(path, CSV, fields, headed))
        notes |= found.notes
    source = str(files[0][0].parent)
    return interactions(Raw(pl.concat(frames), source, Places(starts[:-1], places), notes))


def _field(name: str | int, header: Sequence[str], path: Path) -> int:
    if isinstance(name, int):
        if name >= len(header):
            raise DataError(f"has {len(header)} columns; column {name + 1} is needed", str(path))
        return name
    if name not in header:
        raise DataError(f"has no column {name!r}{nearest(name, header)}", str(path))
    return header.index(name)


def _is_value(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text
    return True


def found(folder: Path, *names: str) -> Path:
    """The first of the named files, plain or gzip, that is in a folder.

    Raises:
        DataError: none is.
    """
    spelled = [each for name in names for each in (name, f"{name}.gz")]
    for name in spelled:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"holds none of {', '.join(names)}", str(folder))


def header_in(folder: Path, name: str) -> list[str]:
    """The fields of the first line of a file, plain or gzip; empty where there is no such file of comma-separated text."""
    try:
        return header_of(found(folder, name), CSV)
    except (DataError, UnicodeDecodeError):
        return []
