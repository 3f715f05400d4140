"""Logs as tables with all their columns, in their own order, for Parquet and Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from siftrec.data.readers import arrow, movielens, pairs
from siftrec.data.readers.columns import KNOWN, LESS_OFTEN, Columns, plain
from siftrec.data.readers.delimited import header_of, table
from siftrec.data.readers.text import open_bytes, open_text, readable, scan
from siftrec.data.writers.marks import WEIGHT, Marks, refuse_weight
from siftrec.data.writers.text import dialect_of


def whole(source: Path, kind: str) -> pa.Table:
    """The log with all its columns.

    Args:
        source: the log.
        kind: of its layout.

    Returns:
        Typed columns as they are. Of text, times, ratings and labels become numbers where all of them are; everything
        else stays the text that it was. A list per user becomes `user, item`, a row per interaction.
    """
    if kind == "arrow":
        return arrow.whole(source)
    if kind == "pairs":
        return pairs.read(source, Columns()).frame.sort("row").select("user", "item").to_arrow()
    found = scan(source)
    if kind == "jsonl":
        with readable(source), open_bytes(source) as file:
            file.read(3 if found.bom else 0)
            return pl.read_ndjson(file, infer_schema_length=None).to_arrow()
    dialect, headed = dialect_of(source, kind), kind != "movielens"
    names = header_of(source, dialect) if headed else list(movielens.names(source))
    return _typed(table(source, names, names, dialect, found, headed)).to_arrow()


def names(source: Path, kind: str) -> Iterable[str]:
    """The columns of `whole`, without reading the log; of JSON lines, the keys of the records that may hold a weight."""
    if kind == "arrow":
        return arrow.names(source)
    if kind == "pairs":
        return ("user", "item")
    if kind == "jsonl":
        return _keys(source)
    return movielens.names(source) if kind == "movielens" else header_of(source, dialect_of(source, kind))


def _keys(source: Path) -> Iterator[str]:
    with readable(source), open_text(source) as file:
        for line in file:
            if f'"{WEIGHT}"' in line.lower():
                with suppress(ValueError, TypeError):  # a line that cannot be read is named by whoever reads the log
                    yield from dict(json.loads(line))


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    numeric = KNOWN["time"] | LESS_OFTEN["time"] | KNOWN["rating"] | KNOWN["label"]
    for name in frame.columns:
        for kind in (pl.Int64, pl.Float64) if plain(name) in numeric else ():
            numbers = frame[name].cast(kind, strict=False)
            if not numbers.null_count():
                frame = frame.with_columns(numbers)
                break
    return frame


def marked(log: pa.Table, source: str, marks: Marks) -> pa.Table:
    """The table with its weights, or without the rows that leave."""
    marks.check(log.num_rows, source)
    if marks.weight is None:
        return _filterable(log).filter(pa.array(marks.kept(log.num_rows)))
    refuse_weight(log.column_names, source)
    beyond = pa.array([1.0] * (log.num_rows - len(marks.weight)), pa.float32())
    return log.append_column(WEIGHT, pa.chunked_array([pa.array(marks.weight), beyond]))


def _filterable(log: pa.Table) -> pa.Table:
    """Views, which Polars writes into Arrow files and Arrow cannot filter, become plain text and bytes."""
    plain_types = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    fields = [field.with_type(plain_types.get(field.type, field.type)) for field in log.schema]
    return log.cast(pa.schema(fields, log.schema.metadata))


def write(log: pa.Table, path: Path, ending: str) -> None:
    """Write Parquet where `ending` is `.parquet`, else an Arrow file."""
    if ending == ".parquet":
        pa.parquet.write_table(log, path, compression="zstd")
        return
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, log.schema) as writer:
        writer.write_table(log)
