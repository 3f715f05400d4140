"""Typed tables: Parquet and Arrow files, and frames in memory. Ids keep their type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from siftrec.data.interactions import Given, Interactions, TimeKind
from siftrec.data.readers.checks import Raw, interactions
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.text import readable
from siftrec.data.readers.untold import LOOKED_AT, refuse_untold_time, untold
from siftrec.errors import DataError

Take = Callable[[list[str], int | None], pa.Table]
"""Gives the columns of these names, `sound`: so many rows, or all where that is None."""

Place = Callable[[int, str], str]
"""(row, role) → where that value stands."""

TIME_KIND = "siftrec.time_kind"
"""Key of the metadata that `write` leaves and `read` looks for, in Parquet and Arrow files alike."""


@dataclass(frozen=True)
class Row:
    """Names the row, counted from 1, and the column."""

    source: str
    names: dict[str, str]

    def __call__(self, row: int, role: str) -> str:
        return f"{self.source}: row {row + 1}, column {self.names.get(role, role)!r}"


def read(path: Path, columns: Columns) -> Interactions:
    """A Parquet or Arrow file.

    Raises:
        DataError: not what its name says, damaged, and all that `interactions` refuses.
    """
    with opened(path):
        if path.suffix == ".parquet":
            with pa.parquet.ParquetFile(path) as file:
                return told(file.schema_arrow, partial(taken, file), columns, str(path))
        arrow = _ipc(path)
        return told(arrow.schema, partial(_sliced, arrow), columns, str(path))


def taken(file: pa.parquet.ParquetFile, names: list[str], rows: int | None) -> pa.Table:
    """Columns of a Parquet file; with `rows` only that many, without reading the others."""
    if rows is None:
        return sound(file.read(columns=names))
    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    return sound(pa.Table.from_batches(islice(file.iter_batches(rows, columns=names), 1), schema))


def _sliced(arrow: pa.Table, names: list[str], rows: int | None) -> pa.Table:
    return sound(arrow.select(names).slice(0, rows))


def whole(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet or Arrow file as it is, with its metadata: every column, or those of these names.

    Raises:
        DataError: not what its name says, or damaged.
    """
    with opened(path):
        if path.suffix == ".parquet":
            return sound(pa.parquet.read_table(path, columns=columns))
        table = _ipc(path)
        return sound(table if columns is None else table.select(columns))


def names(path: Path) -> list[str]:
    """The columns of a Parquet or Arrow file.

    Raises:
        DataError: not what its name says, or damaged.
    """
    with opened(path):
        schema: pa.Schema = pa.parquet.read_schema(path) if path.suffix == ".parquet" else _ipc(path).schema
        return list(schema.names)


@contextmanager
def opened(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a file that it cannot read into one line."""
    with readable(path):
        if path.stat().st_size == 0:
            raise DataError("is empty", str(path))
        try:
            yield
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise _unreadable(path, error) from None


def _ipc(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        magic = file.read(6)
        file.seek(0)
        reader = pa.ipc.open_file(file) if magic == b"ARROW1" else pa.ipc.open_stream(file)
        return reader.read_all()


def sound(table: pa.Table) -> pa.Table:
    """The table, once its offsets lie inside it and its text is UTF-8: who reads one that is not may end the process.

    Raises:
        pa.ArrowInvalid: it is damaged.
    """
    table.validate(full=True)
    return table


def framed(table: pa.Table) -> pl.DataFrame:
    """The table without its metadata, which anybody may have written and Polars takes for text."""
    return pl.DataFrame(table.replace_schema_metadata(None))


def _unreadable(path: Path, error: Exception) -> DataError:
    kind = "Parquet" if path.suffix == ".parquet" else "Arrow"
    return DataError(f"is not a readable {kind} file: {str(error).splitlines()[0]}", str(path))


def told(
    schema: pa.Schema,
    take: Take,
    columns: Columns,
    source: str,
    placed: Callable[[dict[str, str]], Place] | None = None,
    notes: Mapping[str, int] | None = None,
) -> Interactions:
    """The log of a file, whose metadata may say what its time is.

    Args:
        schema: of the file.
        take: reads it.
        columns: named by the user.
        source: for messages.
        placed: role → column becomes what finds a value; None: its row and column in `source`.
        notes: what is known of the source so far.
    """
    roles = columns.find(schema.names, source)
    _refuse_untold_time(schema, take, untold(schema.names, roles, columns), source)
    kind = (schema.metadata or {}).get(TIME_KIND.encode(), b"") if roles.get("time") == "time" else b""
    known: TimeKind | None = "order" if kind == b"order" else "clock" if kind == b"clock" else None
    place = Row(source, roles) if placed is None else placed(roles)
    return interactions(Raw(_named(take(list(roles.values()), None), roles), source, place, dict(notes or {}), known))


def _refuse_untold_time(schema: pa.Schema, take: Take, names: list[str], source: str) -> None:
    if some := [name for name in names if _may_hold_times(schema.field(name).type)]:
        refuse_untold_time(framed(take(some, LOOKED_AT)), source)


def table(frame: Any, columns: Columns, source: str = "memory") -> Interactions:
    """A frame in memory: polars, pandas, pyarrow, or anything that gives an Arrow C stream; it is kept as `given`.

    Raises:
        DataError: no table, and all that `interactions` refuses.
    """
    arrow = in_memory(frame, source)
    roles = columns.find(arrow.column_names, source)
    _refuse_untold_time(arrow.schema, partial(_sliced, arrow), untold(arrow.column_names, roles, columns), source)
    # A clone shares its columns, a table copies text.
    kept = frame.clone() if isinstance(frame, pl.DataFrame) else arrow
    given = Given(kept, roles["user"], roles["item"])
    return replace(interactions(Raw(_named(arrow, roles), source, Row(source, roles))), given=given)


def _may_hold_times(kind: pa.DataType) -> bool:
    """Whether a column of this type is worth a look."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(text or number or pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def in_memory(frame: Any, source: str) -> pa.Table:
    """A frame as an Arrow table.

    Raises:
        DataError: it is none.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame.to_arrow()
    if not hasattr(frame, "__arrow_c_stream__"):
        raise DataError(f"{type(frame).__name__} is no path and no table; give a polars, pandas or pyarrow table")
    if hasattr(frame, "to_frame") and not hasattr(frame, "columns"):  # of pandas or polars
        raise DataError(
            "Series is a single column; give a table with all of them, e.g. .reset_index() of pandas", source
        )
    if hasattr(frame, "set_axis") and not all(isinstance(name, str) for name in getattr(frame, "columns", [])):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)  # of pandas; pyarrow warns of mixed names
    names = getattr(getattr(frame, "index", None), "names", [])
    try:
        if any(name is not None for name in names):  # an index may be a range, which would not be among the columns
            return pa.Table.from_pandas(frame, preserve_index=True)
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(_unreadable_frame(error), source) from None


def _unreadable_frame(error: Exception) -> str:
    """What is wrong with a table of another library, in one line."""
    told = " ".join(str(part) for part in error.args)
    if mixed := re.search("Conversion failed for column (.+) with type", told):
        name = mixed[1]
        return (
            f"column {name!r} holds values of several types, or of one that is neither text nor numbers; make them text, "
            f"table[{name!r}].astype(str), or leave the column out"
        )
    return f"cannot be read as a table: {told.splitlines()[0] if told else type(error).__name__}"


def _named(arrow: pa.Table, roles: dict[str, str]) -> pl.DataFrame:
    """The columns that play a part, called so."""
    frame = framed(arrow.select(list(roles.values())))
    return frame.select(pl.col(name).alias(role) for role, name in roles.items())


def write(events: Interactions, path: Path) -> None:
    """Write the log as Parquet that `read` gives back, with `row` counted anew."""
    write_table(events.frame, path, events.time_kind)


def write_table(frame: pl.DataFrame, path: Path, time_kind: str) -> None:
    """Write a table whose `time` is read back as what it is: µs of a clock, or positions."""
    marked = frame.to_arrow().replace_schema_metadata({TIME_KIND: time_kind})
    pa.parquet.write_table(marked, path, compression="zstd")
