"""A log in several Parquet files of one folder, as Spark, Dask, DuckDB and Polars write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet

from siftrec.data.interactions import Interactions
from siftrec.data.readers.arrow import TIME_KIND, Row, opened, taken, told
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.parts import Places
from siftrec.data.readers.text import readable
from siftrec.errors import DataError

_NUMBER = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+", re.IGNORECASE)
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi"}
"""Folders of formats that keep Parquet files of rows which are gone."""


@dataclass(frozen=True)
class _Part:
    """One of the files.

    Attributes:
        path: the file.
        keys: what the folders above it say, e.g. {"day": "2024-01-31"}.
        schema: of the file.
        rows: how many.
    """

    path: Path
    keys: Mapping[str, str]
    schema: pa.Schema
    rows: int

    def taken(self, names: list[str], rows: int | None) -> pa.Table:
        """Columns of the file, and keys of its folders as columns."""
        own = [name for name in names if name in self.schema.names]
        with opened(self.path), pa.parquet.ParquetFile(self.path) as file:
            table = taken(file, own, rows)
        for key in (name for name in names if name not in own):
            value = None if self.keys.get(key) == _NO_VALUE else self.keys.get(key)
            table = table.append_column(key, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
        return table.select(names)

    def check_like(self, first: _Part, names: list[str]) -> None:
        """Refuse another set of columns than that of the first file, or other types of those that are read."""
        odd = sorted({*self.schema.names} ^ {*first.schema.names})
        odd = odd or [
            name
            for name in self.schema.names
            if name in names and self.schema.field(name).type != first.schema.field(name).type
        ]
        if not odd and self.time_kind != first.time_kind:
            odd = ["time"]
        if odd:
            problem = f"column {odd[0]!r} is not as in {first.path}; the files of one log have the same columns"
            raise DataError(f"{problem} and types", str(self.path))

    @property
    def time_kind(self) -> bytes | None:
        """What siftrec has noted of its `time`."""
        kind: bytes | None = (self.schema.metadata or {}).get(TIME_KIND.encode())
        return kind


def files(folder: Path) -> list[Path]:
    """The Parquet files that are one log together, in the order of their numbers.

    They lie in folders called `key=value`, at any depth; or in this one, their names alike but for numbers. Names that
    differ otherwise may be those of a log and of something else: then there are none.

    Raises:
        DataError: the folder cannot be read, or is a table some of whose files may be out of date.
    """
    with readable(folder):
        found = sorted(_parquet(folder), key=_numbered)
    under = [path for path in found if path.parent != folder]
    numbered = [path for path in found if _NUMBER.search(path.name)]
    alike = len({_NUMBER.sub("0", path.name) for path in numbered}) == 1
    chosen = under or (numbered if alike else [])
    kind = next((kind for name, kind in _TABLES.items() if (folder / name).is_dir()), None)
    if chosen and kind:
        raise DataError(f"is a {kind} table, some of whose files may be out of date; write it as Parquet", str(folder))
    return chosen


def _parquet(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if "=" in path.name and path.is_dir():
            yield from _parquet(path)
        elif path.suffix == ".parquet" and path.name[0] not in "._" and path.is_file():
            yield path


def _numbered(path: Path) -> list[str | int]:
    """`part-9` is before `part-10`."""
    return [int(piece) if place % 2 else piece for place, piece in enumerate(re.split("([0-9]+)", str(path)))]


def read(folder: Path, columns: Columns) -> Interactions:
    """The `files` of a folder, one after the other; keys of its folders are columns where they are named.

    Raises:
        DataError: there are none, or they differ in their columns; and all that other logs are refused for.
    """
    found = [_part(path, folder) for path in files(folder)]
    if not found:
        raise DataError("holds no Parquet files that are one log", str(folder))
    found = [part for part in found if part.rows] or found[:1]
    first = found[0]
    keys = [key for key in first.keys if key not in first.schema.names]
    unread = [key for key in keys if key not in columns.named.values()]
    fields = [pa.field(key, pa.string()) for key in keys if key not in unread]

    def take(names: list[str], rows: int | None) -> pa.Table:
        if rows is not None:
            return first.taken(names, rows)
        for part in found:
            part.check_like(first, names)
        return pa.concat_tables(part.taken(names, None) for part in found)

    def placed(roles: dict[str, str]) -> Callable[[int, str], str]:
        starts = [0, *accumulate(part.rows for part in found[:-1])]
        return Places(starts, [Row(str(part.path), roles) for part in found])

    without = f", without {', '.join(unread)} of their folders' names" if unread else ""
    schema = pa.schema([*first.schema, *fields], first.schema.metadata)
    return told(schema, take, columns, str(folder), placed, {f"files read as one log{without}": len(found)})


def _part(path: Path, folder: Path) -> _Part:
    above = [each.partition("=") for each in path.relative_to(folder).parts[:-1]]
    with opened(path), pa.parquet.ParquetFile(path) as file:
        keys = {key: unquote(value) for key, _, value in above}
        return _Part(path, keys, file.schema_arrow, file.metadata.num_rows)
