"""The items that can be recommended, and any number of named content modalities."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from siftrec.data.vocab import Vocab
from siftrec.errors import DataError


@dataclass(frozen=True, eq=False)
class Modality:
    """Raw content vectors of one kind, one row per feature id.

    Attributes:
        features: (n, F) float16/32/64, finite where present; may be a memory map.
        present: (n,) bool; a row that is not present is never read.
        ids: (n,) distinct raw item ids, or None: rows follow the catalog's order.
        source: file or encoder the vectors came from.
        sha256: of the source, or of the vectors; "" where nobody has taken it.
    """

    features: np.ndarray
    present: np.ndarray
    ids: pl.Series | None = None
    source: str = "memory"
    sha256: str = ""

    def __repr__(self) -> str:
        rows = f"{len(self.features):,} rows of {self.width} {self.features.dtype}, {int(self.present.sum()):,} present"
        order = "in the catalog's order" if self.ids is None else "with ids"
        return f"Modality({rows}, {order}, from {self.source})"

    @property
    def width(self) -> int:
        """F."""
        return int(self.features.shape[1])


@dataclass(frozen=True)
class Content:
    """What is known of a modality without its vectors.

    Attributes:
        name: in the catalog.
        width: F.
        coverage: share of the catalog's items that have it.
        source: file or encoder the vectors came from.
        sha256: of the source, or of the vectors; "" where nobody has taken it.
    """

    name: str
    width: int
    coverage: float = 0.0
    source: str = "memory"
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Aligned:
    """A modality lined up with a catalog, without copying the vectors.

    Attributes:
        modality: the vectors.
        row: (N,) int64 feature row of each item code; -1 = absent (always so for padding).
    """

    modality: Modality
    row: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(N,) bool."""
        return self.row >= 0

    @property
    def width(self) -> int:
        """F."""
        return self.modality.width

    def vectors(self, codes: np.ndarray) -> np.ndarray:
        """(n, F) raw vectors of item codes in their own precision; absent items give zeros (mask them with `present`)."""
        row = self.row[codes]
        if not len(self.modality.features):
            return np.zeros((len(codes), self.width), np.float32)
        out = np.array(self.modality.features[np.maximum(row, 0)])
        out[row < 0] = 0.0
        return out


class Catalog:
    """Item ids and their modalities, aligned by id.

    Args:
        ids: raw item ids, as a column or a list, in any order; codes follow the sorted order.
        modalities: name → `Modality`. A modality without ids must have one row per item, in sorted id order.

    Raises:
        DataError: a list of ids that are not all text or all whole numbers; a modality that cannot be aligned, or that
            covers no item at all.
    """

    def __init__(self, ids: pl.Series | Iterable[Any], **modalities: Modality) -> None:
        self.vocab = Vocab.of(ids if isinstance(ids, pl.Series) else _column(ids))
        self.modalities = {name: self._align(name, modality) for name, modality in modalities.items()}

    @classmethod
    def described(cls, ids: pl.Series, contents: Iterable[Content]) -> Catalog:
        """A catalog whose modalities have a name and a width but no vector: what a loaded model is built on."""
        catalog = cls(ids)
        absent = np.full(len(catalog), -1, dtype=np.int64)
        for each in contents:
            empty = Modality(np.empty((0, each.width), np.float32), np.empty(0, bool), None, each.source, each.sha256)
            catalog.modalities[each.name] = Aligned(empty, absent)
        return catalog

    def __len__(self) -> int:
        """N, padding included."""
        return len(self.vocab)

    def __iter__(self) -> Iterator[str]:
        return iter(self.modalities)

    def __repr__(self) -> str:
        content = [f"; {each.name}: {each.width} wide, coverage {each.coverage:.1%}" for each in self.contents]
        return f"Catalog({len(self) - 1:,} items{''.join(content) or ', no content'})"

    def _align(self, name: str, modality: Modality) -> Aligned:
        row = np.full(len(self.vocab), -1, dtype=np.int64)
        here = np.flatnonzero(modality.present)
        if modality.ids is None:
            if len(modality.present) != len(self.vocab) - 1:
                raise DataError(
                    f"modality {name!r} has {len(modality.present)} rows and no ids, but the catalog has "
                    f"{len(self.vocab) - 1} items; give the ids of its rows",
                    modality.source,
                )
            row[here + 1] = here
        else:
            codes = self.vocab.encode(modality.ids.gather(here), unknown=0)
            row[codes] = here
            row[0] = -1
        if not (row >= 0).any():
            raise DataError(
                f"modality {name!r} has no row for any item of the catalog; are its ids right?", modality.source
            )
        return Aligned(modality, row)

    @property
    def contents(self) -> tuple[Content, ...]:
        """The modalities without their vectors."""
        kept = ((name, aligned, aligned.modality) for name, aligned in self.modalities.items())
        return tuple(Content(n, a.width, float(a.present[1:].mean()), m.source, m.sha256) for n, a, m in kept)

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the catalog's items that have each modality."""
        return {name: float(aligned.present[1:].mean()) for name, aligned in self.modalities.items()}


def _column(ids: Iterable[Any]) -> pl.Series:
    """A list of raw ids as a column."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise DataError(f"{ids!r} is no list of item ids; give one, e.g. [{ids!r}]", "ids")
    listed = list(ids)
    try:
        column = pl.Series("id", listed)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        column = pl.Series("id", [None])
    if column.has_nulls() or not (column.dtype == pl.String or column.dtype.is_integer()):
        raise DataError(f"{reprlib.repr(listed)} must all be text, or all whole numbers", "ids")
    return column
