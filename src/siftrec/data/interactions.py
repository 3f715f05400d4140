"""The validated behaviour log: one Polars table, raw ids, stable order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.display import html_table
from siftrec.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

TimeKind = Literal["clock", "order"]
_HEAD = 5


@dataclass(frozen=True, eq=False)
class Given:
    """A table in memory as its owner has it: all columns, all rows, in their order.

    Attributes:
        table: the table; `Interactions.row` counts its rows.
        user: its column of user ids.
        item: its column of item ids.
    """

    table: pl.DataFrame | pa.Table
    user: str
    item: str


@dataclass(frozen=True, eq=False)
class Interactions:
    """A log, validated once; equal to another of the same rows and kind of time, wherever that came from.

    Attributes:
        frame: `user, item, time, row` and, where the source has them, `label, weight, rating`; no nulls; ordered by
            (user, time, row). `time` is int64 µs UTC or a position, `row` the row in the source.
        time_kind: what `time` means.
        source: where it came from, for messages.
        notes: what was accepted and counted, e.g. {"duplicate rows": 3}.
        given: the table in memory that it was read from; None: a file, or a log made by hand.
    """

    frame: pl.DataFrame
    time_kind: TimeKind
    source: str = "memory"
    notes: dict[str, int] = field(default_factory=dict)
    given: Given | None = None

    def __len__(self) -> int:
        return self.frame.height

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Interactions):
            return NotImplemented
        return self.time_kind == other.time_kind and self.frame.equals(other.frame)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        users, items = (self.frame[name].n_unique() for name in ("user", "item"))
        told = f"{len(self):,} interactions of {users:,} users with {items:,} items"
        return f"Interactions({told}, time: {self.time_kind}, from {self.source})"

    def _repr_html_(self) -> str:
        head = self.frame.head(_HEAD)
        if self.time_kind == "clock":
            head = head.with_columns(pl.col("time").cast(pl.Datetime("us")))
        return html_table(f"{self!r}, the first {len(head)}", head.columns, head.iter_rows())

    @property
    def users(self) -> pl.Series:
        """Distinct raw user ids, sorted."""
        return self.frame["user"].unique().sort()

    @property
    def items(self) -> pl.Series:
        """Distinct raw item ids, sorted: what `Catalog` takes."""
        return self.frame["item"].unique().sort()

    def positives(self) -> Interactions:
        """Without rows that were shown but not clicked (`label` 0), which are counted."""
        if "label" not in self.frame.columns:
            return self
        frame = self.frame.filter(pl.col("label") == 1)
        dropped = len(self) - frame.height
        notes = {"rows shown but not clicked, left out": dropped} if dropped else {}
        return replace(self, frame=frame, notes=self.notes | notes)

    def core(self, k: int) -> Interactions:
        """The k-core: users and items with fewer than k interactions are removed until none is left to remove."""
        frame = self.frame
        while True:
            dense = pl.len().over("user").ge(k) & pl.len().over("item").ge(k)
            smaller = frame.filter(dense)
            if smaller.height == frame.height:
                break
            frame = smaller
        if frame.is_empty():
            raise DataError(f"no interaction is left after core {k}; a smaller one keeps more", self.source)
        return replace(self, frame=frame)

    def window(self, start: int | None = None, end: int | None = None) -> Interactions:
        """Interactions with start ≤ time < end (µs UTC, or positions)."""
        keep = pl.lit(True)
        if start is not None:
            keep = keep & (pl.col("time") >= start)
        if end is not None:
            keep = keep & (pl.col("time") < end)
        frame = self.frame.filter(keep)
        if frame.is_empty():
            raise DataError(f"no interaction has a time in [{start}, {end})", self.source)
        return replace(self, frame=frame)

    def sequences(self, users: pl.Series, items: Vocab) -> Sequences:
        """The log as ragged sequences, one row per user of `users` (sorted distinct ids of this log)."""
        lengths = self.frame.group_by("user").len().sort("user")["len"].to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        if len(users) != len(lengths):
            raise DataError("the user ids are not those of this log", self.source)
        weights = None
        if "weight" in self.frame.columns:
            weights = self.frame["weight"].to_numpy().astype(np.float32)
        codes = items.encode(self.frame["item"])
        return Sequences(codes, offsets, self.frame["time"].to_numpy(), self.frame["row"].to_numpy(), weights)
