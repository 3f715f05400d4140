"""RecBole atomic files: tab-separated, unquoted, with typed column names such as `user_id:token`."""

from __future__ import annotations

from pathlib import Path

from siftrec.data.interactions import Interactions
from siftrec.data.readers.columns import Columns
from siftrec.data.readers.delimited import read_as
from siftrec.data.readers.text import Dialect

ATOMIC = Dialect("\t", quoted=False)


def read(path: Path, columns: Columns) -> Interactions:
    """An `.inter` file; columns may be named with or without their type."""
    return read_as(path, columns, ATOMIC)
