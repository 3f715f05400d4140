"""A log whose time nobody has named: in the order of its rows it may be another log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from siftrec.data.readers.columns import Columns, is_index, plain
from siftrec.data.readers.times import times_in
from siftrec.errors import DataError

LOOKED_AT = 4096
"""Rows that are looked at: the first ones."""

_ID_ENDINGS = ("id", "ids", "key", "code", "hash", "number", "phone", "isbn", "ean", "sku")
"""What names of numbers end in that identify something: ten digits of an order may be seconds, too."""


def untold(names: Sequence[str], roles: Mapping[str, str], columns: Columns) -> list[str]:
    """The columns that may be the time: where none is named or recognised, and nobody said that there is none.

    Args:
        names: the source's columns.
        roles: role → column, as they were found.
        columns: named by the user.
    """
    if "time" in roles or columns.time is not None:
        return []
    return [name for name in names if name not in roles.values()]


def refuse_untold_time(head: pl.DataFrame, source: str) -> None:
    """Refuse a log without a time that has a column of times.

    Args:
        head: the first rows of the columns that play no part (see `untold`).
        source: the log, for messages.

    Raises:
        DataError: naming the column and what to write.
    """
    for values in head:
        name, kind = values.name, times_in(values)
        if not kind or (kind.startswith("numbers") and plain(name).endswith(_ID_ENDINGS)):
            continue
        if is_index(name):
            problem = f"the index holds {kind} and has no name; make it a column: .reset_index(names='time')"
        else:
            problem = (
                f"column {name!r} holds {kind} but is not recognised as the time; name it: --time, or time={name!r}"
            )
        raise DataError(f"{problem}; time='' means the order of the rows", source)
