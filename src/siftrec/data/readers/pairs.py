"""One user per line, the items oldest first: MicroLens' `user<tab>item item item`, plain or gzip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from siftrec.data.interactions import Interactions
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.delimited import table
from siftrec.data.readers.text import Dialect, records, scan
from siftrec.errors import DataError

_LINE = Dialect("\t", quoted=False)


def read(path: Path, columns: Columns) -> Interactions:
    """The log; `time` is the position in the user's list, `row` counts interactions in the file's order.

    Args:
        path: the file.
        columns: must name nothing, for there are no columns to name.

    Raises:
        DataError: an empty user or item, a user with two lines, a line that is not `user<tab>items`.
    """
    if columns.named:
        name = next(iter(columns.named.values()))
        raise DataError(f"has no column {name!r}: each line is a user, a tab and the user's items", str(path))
    found = scan(path)
    lines = table(path, ["user", "items"], ["user", "items"], _LINE, found, headed=False)
    lines = lines.select("user", pl.col("items").str.split(" ").alias("item"))
    lengths = lines["item"].list.len().to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    order = lines["user"].arg_sort().to_numpy()
    lengths, starts, lines = lengths[order], starts[order], lines[order]
    begin = np.repeat(np.cumsum(lengths) - lengths, lengths)
    position = np.arange(len(begin)) - begin
    frame = lines.explode("item").with_columns(
        pl.Series("time", position), pl.Series("row", np.repeat(starts, lengths) + position)
    )
    users = lines["user"]
    if (frame["item"] == "").any() or (users == "").any() or (users == users.shift(1)).any():
        _refuse(path)
    return Interactions(frame, "order", str(path), found.notes)


def _refuse(path: Path) -> None:
    lines: dict[str, int] = {}
    for record in records(path, _LINE):
        user, items = record.fields
        if not user:
            raise DataError("user is empty", f"{path}:{record.line}:1")
        if user in lines:
            raise DataError(f"user {user!r} has a list on line {lines[user]} already", f"{path}:{record.line}:1")
        lines[user] = record.line
        gap = f" {items} ".find("  ")
        if gap >= 0:
            raise DataError("item is empty; one space between items", f"{path}:{record.line}:{len(user) + 2 + gap}")
