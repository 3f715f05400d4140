"""Item titles, for display only."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from siftrec.data.readers.columns import recognised
from siftrec.data.readers.delimited import CSV, header_of, table
from siftrec.data.readers.recbole import ATOMIC
from siftrec.data.readers.text import Dialect, readable, scan
from siftrec.errors import DataError


def titles(path: Path | str) -> pl.DataFrame:
    """Titles by item id: MicroLens' titles or items, RecBole's `.item`, MovieLens' `movies.csv`, or Parquet.

    Returns:
        `item, title`, both text, one row per item; items without a title are left out.

    Raises:
        DataError: no column is recognised as item or title, or the file cannot be read.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        with readable(path):
            try:
                names = pa.parquet.read_schema(path).names
            except pa.ArrowInvalid:
                raise DataError("is not a readable Parquet file", str(path)) from None
            item, title = _columns(names, path)
            frame = pl.DataFrame(pa.parquet.read_table(path, columns=[item, title]))
    else:
        found = scan(path)
        names = header_of(path, _dialect(path))
        item, title = _columns(names, path)
        frame = table(path, names, (item, title), _dialect(path), found)
    text = frame.select(pl.col(item).cast(pl.String).alias("item"), pl.col(title).cast(pl.String).alias("title"))
    return text.drop_nulls().unique("item", keep="first", maintain_order=True)


def has_titles(path: Path) -> bool:
    """Whether a text table has the columns that `titles` needs; a damaged one has none."""
    try:
        _columns(header_of(path, _dialect(path)), path)
    except (DataError, UnicodeError):
        return False
    return True


def _dialect(path: Path) -> Dialect:
    return CSV if ".csv" in path.suffixes else ATOMIC


def _columns(names: list[str], path: Path) -> tuple[str, str]:
    item, title = (recognised(role, names, str(path)) for role in ("item", "title"))
    if item is None or title is None:
        raise DataError(f"needs a column 'item' and a column 'title', not {', '.join(names[:8])}", str(path))
    return item, title
