"""CSV, TSV and any other separated text, plain or gzip. Ids stay exactly as written."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv

from siftrec.data.interactions import Interactions
from siftrec.data.readers.checks import Raw, interactions
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.text import Dialect, Place, Scan, open_bytes, readable, records, refuse_open, scan
from siftrec.data.readers.untold import LOOKED_AT, refuse_untold_time, untold
from siftrec.errors import DataError

CSV = Dialect(",", quoted=True)
TSV = Dialect("\t", quoted=True)
_LONGEST_LINE = 1 << 22


def read(path: Path, columns: Columns) -> Interactions:
    """A table with a header line; the separator follows the file's name."""
    return read_as(path, columns, TSV if ".tsv" in path.suffixes else CSV)


def read_as(path: Path, columns: Columns, dialect: Dialect, names: Sequence[str] | None = None) -> Interactions:
    """A separated table.

    Args:
        path: the file.
        columns: names given by the user.
        dialect: separator and quoting.
        names: the columns where the file has no header line.

    Raises:
        DataError: with line and column.
    """
    found = scan(path)
    header = header_of(path, dialect) if names is None else list(names)
    roles = columns.find(header, str(path))
    frame = table(path, header, roles.values(), dialect, found, headed=names is None)
    if others := untold(header, roles, columns):
        refuse_untold_time(table(path, header, others, dialect, found, names is None, LOOKED_AT), str(path))
    frame = frame.select(pl.col(name).alias(role) for role, name in roles.items())
    place = Place(path, dialect, {role: header.index(name) for role, name in roles.items()}, names is None)
    if dialect.quoted and found.quotes:
        raw = Raw(frame, str(path), place)
        for role in ("user", "item"):
            raw.refuse(frame[role].str.contains("\n", literal=True), role, f"{role} {{}} runs over a line end")
    return interactions(Raw(frame, str(path), place, found.notes))


def header_of(path: Path, dialect: Dialect) -> list[str]:
    """The fields of the first line.

    Raises:
        DataError: the line is not separated as the file's name says.
    """
    header = next(iter(records(path, dialect)), None)
    if header is None:
        raise DataError("is empty", str(path))
    if len(header.fields) == 1:
        for other in ("\t", ",", ";", "|"):
            if other in header.text:
                problem = f"fields are separated by {other!r}, not by {dialect.separator!r}; convert or rename the file"
                raise DataError(problem, f"{path}:{header.line}")
    return header.fields


def table(
    path: Path,
    header: list[str],
    wanted: Iterable[str],
    dialect: Dialect,
    found: Scan,
    headed: bool = True,
    rows: int | None = None,
) -> pl.DataFrame:
    """The wanted columns as text, empty fields as "".

    Args:
        path: a file that `scan` has passed.
        header: all its columns.
        wanted: the columns to keep.
        dialect: separator and quoting.
        found: what `scan` saw.
        headed: False when the header is not in the file.
        rows: at most so many, the first ones; None = all.

    Raises:
        DataError: a line with too many or too few fields, a quote that opens a field and is never closed.
    """
    names = list(wanted)
    quoted = dialect.quoted and found.quotes
    if quoted and found.doubtful:
        refuse_open(path, dialect)
    above = next(records(path, dialect)).line if headed else 0  # Arrow counts the blank lines above the header too
    options: dict[str, Any] = {
        "read_options": pa.csv.ReadOptions(
            column_names=header, skip_rows_after_names=above, block_size=_LONGEST_LINE, use_threads=False
        ),
        "parse_options": pa.csv.ParseOptions(
            delimiter=dialect.separator if len(dialect.separator) == 1 else "\t",
            quote_char='"' if quoted else False,
            newlines_in_values=quoted,
        ),
        "convert_options": pa.csv.ConvertOptions(
            include_columns=names, column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
        ),
    }
    try:
        with readable(path), open_bytes(path) as file:
            if len(dialect.separator) > 1:
                source = io.BytesIO(file.read().replace(dialect.separator.encode(), b"\t"))
                return _read(source, options, rows)
            return _read(file, options, rows)
    except pa.ArrowInvalid as error:
        _refuse_ragged(path, dialect, len(header))
        if headed and len(list(islice(records(path, dialect), 2))) == 1:
            return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        raise DataError(f"cannot be read as separated text: {error}", str(path)) from None


def _read(file: Any, options: dict[str, Any], rows: int | None) -> pl.DataFrame:
    # Block by block, so that Arrow's copy of the text never stands beside the whole table.
    with pa.csv.open_csv(file, **options) as blocks:
        empty = pl.DataFrame(blocks.schema.empty_table())
        some = islice(blocks, None if rows is None else 1)
        return pl.concat([empty, *(pl.DataFrame(pa.Table.from_batches([block])) for block in some)]).slice(0, rows)


def _refuse_ragged(path: Path, dialect: Dialect, width: int) -> None:
    for record in records(path, dialect):
        if len(record.fields) != width:
            problem = f"{len(record.fields)} fields where {width} are needed"
            raise DataError(
                problem, f"{path}:{record.line}:{record.column(dialect, min(len(record.fields), width) - 1)}"
            )
