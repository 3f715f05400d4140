"""The items that can be recommended, and any number of named content modalities."""

from __future__ import annotations

import mmap
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from siftrec.data.interactions import Interactions
from siftrec.data.vocab import Vocab, listed_ids
from siftrec.errors import DataError

_FEW = 0.05
"""Share of a catalog's items below which ids of another kind are likelier than content so rare."""


def names_modality(name: str) -> bool:
    """Whether a modality can be called so: its name is that of an argument of `Catalog`."""
    return name.isidentifier() and name not in ("self", "ids")


def give_back(vectors: np.ndarray) -> None:
    """Hand the pages of a mapped file back to the system, whose cache keeps them, until they are read again.

    Scattered reads of a file map all of it after a while, for the system maps what stands around a row, too.

    Args:
        vectors: of any kind; what is no memory map stays, and so does one that was opened to be changed in memory alone
            (mode "c"), for its changes are nowhere else.
    """
    if sys.platform != "linux" or not isinstance(vectors, np.memmap) or vectors.mode == "c":
        return
    base: object = vectors
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, eq=False)
class Modality:
    """Raw content vectors of one kind, one row per feature id.

    Attributes:
        features: (n, F) float16/32/64, finite where present; may be a memory map.
        present: (n,) bool; a row that is not present is never read.
        ids: (n,) distinct raw item ids, or None: rows follow the ids that the catalog is made of.
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
        """(n, F) raw vectors of item codes in their own precision; absent items give zeros (mask them with `present`).

        What was mapped to read them is given back.
        """
        row = self.row[codes]
        if not len(self.modality.features):
            return np.zeros((len(codes), self.width), np.float32)
        features = self.modality.features
        out = np.array(features[np.maximum(row, 0)], features.dtype.newbyteorder("="))  # torch takes no other
        give_back(features)
        out[row < 0] = 0.0
        return out


class Catalog:
    """Item ids and their modalities, aligned by id.

    `len(catalog)` and `id in catalog` are about items; iterating gives the names of the modalities.

    Args:
        ids: raw item ids, as a column, a list or a `Vocab`, in any order; codes follow the sorted order.
        modalities: name → `Modality`. One without ids must have a row for each of `ids`, in their order; for
            `events.items`, that is the sorted one. Python warns of one that fewer than 5 % of the items have.

    Raises:
        DataError: ids that are not all text or all whole numbers; a modality that cannot be aligned, or that covers no
            item at all.
    """

    def __init__(self, ids: pl.Series | Vocab | Iterable[Any], **modalities: Modality) -> None:
        column = _column(ids)
        self.vocab = Vocab.of(column)
        given = None if isinstance(ids, set | frozenset) else column
        self.modalities = {name: self._align(name, modality, given) for name, modality in modalities.items()}
        for name, share in self.coverage.items():
            if share < _FEW:
                problem = f"modality {name!r} has vectors for only {share:.2%} of the catalog's {len(self) - 1:,} items"
                warnings.warn(f"{problem}; are its ids right?", stacklevel=2)

    @classmethod
    def described(cls, ids: pl.Series, contents: Iterable[Content]) -> Catalog:
        """A catalog whose modalities have a name and a width but no vector: what a loaded model is built on."""
        catalog = cls(ids)
        absent = np.full(len(catalog), -1, dtype=np.int64)
        for each in contents:
            empty = Modality(np.empty((0, each.width), np.float32), np.empty(0, bool), None, each.source, each.sha256)
            catalog.modalities[each.name] = Aligned(empty, absent)
        return catalog

    def of(self, ids: pl.Series) -> Catalog:
        """The same content for other items, e.g. those of a log: items that this catalog lacks have none.

        Args:
            ids: raw item ids.
        """
        other = Catalog(ids)
        code = self.vocab.encode(other.vocab.ids, unknown=0)
        for name, aligned in self.modalities.items():
            row = np.concatenate([[-1], aligned.row[code]])
            other.modalities[name] = Aligned(aligned.modality, row)
        return other

    def __len__(self) -> int:
        """N, padding included."""
        return len(self.vocab)

    def __contains__(self, item: object) -> bool:
        return item in self.vocab

    def __iter__(self) -> Iterator[str]:
        return iter(self.modalities)

    def __repr__(self) -> str:
        content = [f"; {each.name}: {each.width} wide, coverage {each.coverage:.1%}" for each in self.contents]
        return f"Catalog({len(self) - 1:,} items{''.join(content) or ', no content'})"

    def _align(self, name: str, modality: Modality, column: pl.Series | None) -> Aligned:
        """The modality lined up; `column` has the ids as they were given, None where they had no order."""
        if not isinstance(modality, Modality):
            kind = type(modality).__name__
            raise DataError(
                f"is {kind}, not vectors with their ids; give sr.features(X, ids=...)", f"modality {name!r}"
            )
        row = np.full(len(self.vocab), -1, dtype=np.int64)
        here = np.flatnonzero(modality.present)
        ids = self._ids_of_rows(name, modality, column) if modality.ids is None else modality.ids
        row[self.vocab.encode(ids.gather(here), unknown=0)] = here
        row[0] = -1
        if not (row >= 0).any():
            raise DataError(
                f"modality {name!r} has no row for any item of the catalog; are its ids right?", modality.source
            )
        return Aligned(modality, row)

    def _ids_of_rows(self, name: str, modality: Modality, column: pl.Series | None) -> pl.Series:
        """The item of each row of a modality that does not say it."""
        items, rows = len(self.vocab) - 1, len(modality.present)
        if rows != items:
            raise DataError(
                f"modality {name!r} has {rows} rows and no ids, but the catalog has {items} items; give the ids of its "
                "rows, ids=",
                modality.source,
            )
        if column is not None and len(column) == items:
            return column
        if column is not None and column.is_sorted():
            return self.vocab.ids
        raise DataError(
            f"modality {name!r} has no ids, and those of the catalog have no order of their own (they are a set, or some "
            "stand there twice); give the ids of its rows, ids=",
            modality.source,
        )

    @property
    def contents(self) -> tuple[Content, ...]:
        """The modalities without their vectors."""
        kept = ((name, aligned, aligned.modality) for name, aligned in self.modalities.items())
        return tuple(Content(n, a.width, float(a.present[1:].mean()), m.source, m.sha256) for n, a, m in kept)

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the catalog's items that have each modality."""
        return {name: float(aligned.present[1:].mean()) for name, aligned in self.modalities.items()}


def _column(ids: Any) -> pl.Series:
    """The raw ids as they were given, each of them known."""
    if isinstance(ids, Interactions):
        raise DataError("Interactions is a whole log; give its items, Catalog(events.items)", "ids")
    if hasattr(ids, "columns"):
        raise DataError(f"{type(ids).__name__} is a table; give its column of item ids, e.g. table['item']", "ids")
    column = listed_ids(ids.ids if isinstance(ids, Vocab) else ids)
    if column.has_nulls():
        raise DataError(f"id {int(column.is_null().arg_max() or 0) + 1} of {len(column):,} is missing", "ids")
    return column
