"""Item titles, for display only."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from siftrec.data.readers import arrow
from siftrec.data.readers.columns import recognised
from siftrec.data.readers.delimited import CSV, header_of, table
from siftrec.data.readers.recbole import ATOMIC
from siftrec.data.readers.text import Dialect, scan
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
        item, title = _columns(arrow.names(path), path)
        frame = arrow.framed(arrow.whole(path, [item, title]))
    else:
        found = scan(path)
        names = header_of(path, _dialect(path))
        item, title = _columns(names, path)
        frame = table(path, names, (item, title), _dialect(path), found)
    text = pl.DataFrame({"item": _text(frame[item], path), "title": _text(frame[title], path)})
    return text.drop_nulls().unique("item", keep="first", maintain_order=True)


def _text(column: pl.Series, path: Path) -> pl.Series:
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError:
        raise DataError(f"column {column.name!r} is {column.dtype}; text is needed", str(path)) from None


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
