"""Ragged integer sequences, one per row, in three flat arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Sequences:
    """Item codes of R rows (users or histories), oldest first.

        row 0: 5 9 9      offsets 0 3 5
        row 1: 2 7        items   5 9 9 2 7

    Attributes:
        items: (E,) int32 item codes ≥ 1.
        offsets: (R+1,) int64; row r is `items[offsets[r]:offsets[r+1]]`.
        times: (E,) int64 µs UTC or positions.
        rows: (E,) int64 row of each event in its source file; -1 = planted.
        weights: (E,) float32 in [0, 1], or None when every event counts fully.
        shown: (E, M) int32 item whose content of each modality of the catalog stood with the event; None = its own.
    """

    items: np.ndarray
    offsets: np.ndarray
    times: np.ndarray
    rows: np.ndarray
    weights: np.ndarray | None = None
    shown: np.ndarray | None = None

    @classmethod
    def from_items(cls, items: np.ndarray, lengths: np.ndarray) -> Sequences:
        """Sequences without a clock: times are positions, source rows are flat positions."""
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        event = np.arange(len(items), dtype=np.int64)
        position = event - np.repeat(offsets[:-1], lengths)
        return cls(np.ascontiguousarray(items, dtype=np.int32), offsets, position, event)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        told = [name for name in ("weights", "shown") if getattr(self, name) is not None]
        return f"Sequences({len(self.items):,} events in {len(self):,} rows{''.join(f', {name}' for name in told)})"

    def __getitem__(self, row: int) -> np.ndarray:
        """(length,) item codes of one row."""
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """(R,) int64."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """(E,) int64: the row of each event."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: np.ndarray) -> Sequences:
        """The named rows, in that order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        event = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return self._events(event, offsets)

    def where(self, keep: np.ndarray) -> Sequences:
        """The events with `keep` true; every row stays, perhaps empty. `keep` is (E,) bool."""
        counts = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
        return self._events(np.flatnonzero(keep), counts[self.offsets])

    def ordered(self, order: np.ndarray) -> Sequences:
        """The events in another order, (E,) int64, in which each stays in its row."""
        return self._events(order, self.offsets)

    def _events(self, event: np.ndarray, offsets: np.ndarray) -> Sequences:
        weights = None if self.weights is None else self.weights[event]
        shown = None if self.shown is None else self.shown[event]
        return Sequences(self.items[event], offsets, self.times[event], self.rows[event], weights, shown)

    def recode(self, table: np.ndarray) -> Sequences:
        """Every item code replaced by `table[code]`; `table` is (N,) int32."""
        shown = None if self.shown is None else table[self.shown]
        return Sequences(table[self.items], self.offsets, self.times, self.rows, self.weights, shown)

    def window(self, rows: np.ndarray, ends: np.ndarray, length: int, of: np.ndarray | None = None) -> np.ndarray:
        """The last `length` items before position `ends` of each named row, padded with 0 on the left.

        Args:
            rows: (B,) row numbers.
            ends: (B,) positions within the row, exclusive.
            length: L.
            of: (E, ...) values to gather instead of the items, e.g. the weights.

        Returns:
            items_BL int32 (or the type and further shape of `of`): the most recent is in the last column.
        """
        values = self.items if of is None else of
        start = self.offsets[rows]
        index = (start + ends)[:, None] + np.arange(-length, 0)
        if not len(values):
            return np.zeros(index.shape + values.shape[1:], values.dtype)
        inside = (index >= start[:, None]).reshape(index.shape + (1,) * (values.ndim - 1))
        window: np.ndarray = np.where(inside, values[np.maximum(index, 0)], values.dtype.type(0))
        return window

    def counts(self, catalog_size: int) -> np.ndarray:
        """(N,) int64: how often each item code occurs."""
        return np.bincount(self.items, minlength=catalog_size)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of items, offsets, weights and shown content (not of clocks or source rows)."""
        digest = hashlib.sha256(np.ascontiguousarray(self.items).tobytes())
        digest.update(np.ascontiguousarray(self.offsets).tobytes())
        if self.weights is not None:
            digest.update(np.ascontiguousarray(self.weights).tobytes())
        if self.shown is not None:
            digest.update(np.ascontiguousarray(self.shown).tobytes())
        return digest.hexdigest()
