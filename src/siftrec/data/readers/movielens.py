"""MovieLens ratings without a header: `ratings.dat` (`user::movie::rating::seconds`) and the tab-separated `u.data`.

A fifth field is a weight, as `siftrec sift` adds it.
"""

from __future__ import annotations

from pathlib import Path

from siftrec.data.interactions import Interactions
from siftrec.data.layout import suffix
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.delimited import read_as
from siftrec.data.readers.text import Dialect, records

NAMES = ("user", "item", "rating", "time")


def read(path: Path, columns: Columns) -> Interactions:
    """The ratings; every rating is an interaction and its value is kept."""
    return read_as(path, columns, dialect(path), names(path))


def dialect(path: Path) -> Dialect:
    """Colons in `.dat`, tabs in `.data`, packed or not."""
    return Dialect("::" if suffix(path) == ".dat" else "\t", quoted=False)


def names(path: Path) -> tuple[str, ...]:
    """The columns, of which the first line has four or five."""
    first = next(iter(records(path, dialect(path))), None)
    return (*NAMES, "weight") if first is not None and len(first.fields) == 5 else NAMES
