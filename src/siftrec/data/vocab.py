"""Raw ids and the small integers that stand for them."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from siftrec.errors import DataError

_FEW = 1000


@dataclass(frozen=True)
class Vocab:
    """Raw id ↔ code. Codes run from 1 in the sorted order of the raw ids; code 0 is padding.

    Ids that were added later have the codes after those, in the order in which they came.

    Attributes:
        ids: (N-1,) in code order, distinct, no nulls; text or integers.
    """

    ids: pl.Series

    @classmethod
    def of(cls, ids: pl.Series) -> Vocab:
        """The vocabulary of all distinct ids in a column."""
        return cls(ids.unique().sort().rename("id"))

    def extended(self, ids: pl.Series) -> Vocab:
        """The vocabulary with more ids, all of them new, behind those that are here."""
        return Vocab(pl.concat([self.ids, ids.rename("id")]).rechunk())

    def __len__(self) -> int:
        """N: the number of codes, padding included."""
        return len(self.ids) + 1

    def __repr__(self) -> str:
        return f"Vocab({len(self.ids):,} ids, {self.ids.dtype})"

    def __contains__(self, item: object) -> bool:
        """Whether a raw id is here; `"7"` is where the ids are numbers and 7 is one of them, as in a history."""
        try:
            return bool(self.encode(pl.Series([item]), unknown=0)[0])
        except (DataError, TypeError, OverflowError, pl.exceptions.PolarsError):
            return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocab) and self.fingerprint == other.fingerprint

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the ids in code order, with their type."""
        text = self.ids.cast(pl.String).str.join("\x1f").item() or ""
        return hashlib.sha256(f"{self.ids.dtype}\x1e{text}".encode()).hexdigest()

    @cached_property
    def _table(self) -> pl.DataFrame:
        return pl.DataFrame({"id": self.ids, "code": np.arange(1, len(self), dtype=np.int32)})

    @cached_property
    def _codes(self) -> dict[Any, int]:
        """For requests: a join reads the whole vocabulary, and one history should not pay for it."""
        return dict(zip(self._raw, range(1, len(self)), strict=True))

    @cached_property
    def _raw(self) -> list[Any]:
        return self.ids.to_list()

    def encode(self, ids: pl.Series, unknown: int | None = None) -> np.ndarray:
        """Codes of raw ids.

        Args:
            ids: (n,) raw ids; cast to the vocabulary's type where that is exact (text from the command line).
            unknown: code for ids that are not here; None refuses them.

        Returns:
            (n,) int32.

        Raises:
            DataError: an unknown id, named, when `unknown` is None; a column of lists.
        """
        if ids.dtype.is_nested() or ids.dtype == pl.Binary:
            raise DataError(f"ids are text or whole numbers, not {ids.dtype}")
        if ids.dtype.is_float():  # what pandas makes of whole numbers where one of them is missing
            ids = exact_ids(ids)
        typed = ids.cast(self.ids.dtype, strict=False).rename("id")
        if ids.dtype not in (typed.dtype, pl.Null):
            exact = typed.cast(ids.dtype, strict=False) == ids
            typed = typed.set(~exact.fill_null(False), None)
        codes = self._each(typed) if len(ids) < _FEW else self._joined(typed)
        missing = codes == 0
        if unknown is None and missing.any():
            raise DataError(f"id {ids[int(missing.argmax())]!r} is not in the catalog of {len(self) - 1} ids")
        if unknown:
            codes[missing] = unknown
        return codes

    def _each(self, typed: pl.Series) -> np.ndarray:
        return np.array([self._codes.get(each, 0) for each in typed.to_list()], np.int32)

    def _joined(self, typed: pl.Series) -> np.ndarray:
        found = typed.to_frame().join(self._table, on="id", how="left", maintain_order="left")["code"]
        return found.fill_null(0).to_numpy().astype(np.int32)

    def raw(self, codes: np.ndarray) -> list[Any]:
        """Raw ids of a few codes ≥ 1, see `decode`."""
        return [self._raw[code - 1] for code in codes.tolist()]

    def decode(self, codes: np.ndarray) -> pl.Series:
        """Raw ids of codes ≥ 1. Shape (n,)."""
        return self.ids.gather(np.asarray(codes, dtype=np.int64) - 1)


def listed_ids(ids: Iterable[Any]) -> pl.Series:
    """Raw ids as a column: of a list, an array, or a column of any library; what is missing is null.

    Raises:
        DataError: what is no list, or holds anything but text alone or whole numbers alone.
    """
    if isinstance(ids, pl.Series):
        column, shown = ids, ids.head(7).to_list()
    else:
        shown = _values(ids)
        try:
            column = pl.Series(shown)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            column = pl.Series([None])
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if not (column.dtype == pl.String or column.dtype.is_integer()):
        told = " ".join(reprlib.repr(shown).split())
        raise DataError(f"{told} must all be text, or all whole numbers; [str(each) for each in ids] is text", "ids")
    return column.rename("id")


def _values(ids: Any) -> list[Any]:
    listed = ids.tolist() if hasattr(ids, "tolist") else ids
    if isinstance(listed, str | bytes | int | float):
        raise DataError(f"{ids!r} is no list of item ids; give one, e.g. [{ids!r}]", "ids")
    if not isinstance(listed, Iterable):
        raise DataError(f"{type(ids).__name__} is no list of item ids; give one, e.g. ['a', 'b']", "ids")
    return list(listed)


def exact_ids(ids: pl.Series) -> pl.Series:
    """Ids that became floats, as whole numbers; null where digits may be lost: two ids could have become one."""
    most = 2**24 if ids.dtype == pl.Float32 else 2**53
    whole = ids.cast(pl.Int64, strict=False)
    exact = (whole.cast(ids.dtype) == ids) & (ids.abs() < most)
    return whole.set(~exact.fill_null(False), None)
