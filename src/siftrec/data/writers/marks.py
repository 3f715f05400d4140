"""What becomes of each row of a source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from siftrec.data.readers.columns import plain
from siftrec.errors import DataError

WEIGHT = "weight"


@dataclass(frozen=True)
class Marks:
    """By row of the source, as `Interactions.row` counts them. Rows beyond the arrays are kept, with weight 1.

    Attributes:
        weight: (S,) float32, None: rows are left out and no weight is written.
        keep: (S,) bool, whether the row stays.
    """

    weight: np.ndarray | None
    keep: np.ndarray

    @classmethod
    def weights(cls, rows: np.ndarray, weight: np.ndarray) -> Marks:
        """`weight` (n,) for source rows `rows` (n,), 1 for all others."""
        size = int(rows.max(initial=-1)) + 1
        given = np.ones(size, np.float32)
        given[rows] = weight
        return cls(given, np.ones(size, bool))

    @classmethod
    def without(cls, rows: np.ndarray, dropped: np.ndarray) -> Marks:
        """Source rows `rows` (n,) leave where `dropped` (n,) bool; all others stay."""
        keep = np.ones(int(rows.max(initial=-1)) + 1, bool)
        keep[rows[dropped]] = False
        return cls(None, keep)

    def texts(self) -> list[str] | None:
        """Each weight in the fewest digits that give the same float32 again."""
        return None if self.weight is None else [str(weight) for weight in self.weight]

    def stays(self, row: int) -> bool:
        """Whether a row is written."""
        return row >= len(self.keep) or bool(self.keep[row])

    def kept(self, rows: int) -> np.ndarray:
        """(rows,) bool: `stays` of each of the first `rows` rows."""
        return np.append(self.keep[:rows], np.ones(max(rows - len(self.keep), 0), bool))

    def check(self, rows: int, source: str) -> None:
        """Refuse a source that has fewer rows than were scored."""
        if rows < len(self.keep):
            raise DataError(f"has {rows} interactions, but {len(self.keep)} were scored; has it changed?", source)


def refuse_weight(names: Iterable[str], source: str) -> None:
    """Refuse a source with a weight: nobody could tell which of the two is meant."""
    for name in names:
        if plain(name) == WEIGHT:
            refuse_weighted(source, name)


def refuse_weighted(source: str, name: str = WEIGHT) -> NoReturn:
    """Refuse a log that was read with the weights in its column `name`."""
    raise DataError(f"has weights in its column {name!r} already; give weights to the log without it", source)
