"""MovieLens ratings without a header: `ratings.dat` (`user::movie::rating::seconds`) and the tab-separated `u.data`."""

from __future__ import annotations

from pathlib import Path

from siftrec.data.interactions import Interactions
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.delimited import read_as
from siftrec.data.readers.text import Dialect

NAMES = ("user", "item", "rating", "time")


def read(path: Path, columns: Columns) -> Interactions:
    """The ratings; every rating is an interaction and its value is kept."""
    return read_as(path, columns, Dialect("::" if path.suffix == ".dat" else "\t", quoted=False), NAMES)
