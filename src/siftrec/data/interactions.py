"""The validated behaviour log: one Polars table, raw ids, stable order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from siftrec.data.readers.times import UNITLESS, Moment, iso, moment
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.display import html_table
from siftrec.errors import DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

TimeKind = Literal["clock", "order"]
LEFT_OUT = "rows shown but not clicked, left out"
_IDS = ("user", "item")
_HEAD = 5
_ORDER = ["user", "time", "row"]


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
        frame: `user, item, time, row` and, where the source has them, `label, weight, rating, split`; no nulls; put into the
            order of (user, time, row). `time` is int64 µs UTC or a position, `row` the row in the source.
        time_kind: what `time` means.
        source: where it came from, for messages.
        notes: what was accepted and counted, e.g. {"duplicate rows": 3}.
        given: the table in memory that it was read from; None: a file, or a log made by hand.
        by_name: `label` and `weight`, where nobody asked for the column and it was taken for its name.
    """

    frame: pl.DataFrame
    time_kind: TimeKind
    source: str = "memory"
    notes: dict[str, int] = field(default_factory=dict)
    given: Given | None = None
    by_name: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [name for name in (*_IDS, "time", "row") if name not in self.frame.columns]
        if missing:
            raise DataError(f"has no column {missing[0]!r}; siftrec.read makes a log from any table", self.source)
        if not _is_ordered(self.frame):
            object.__setattr__(self, "frame", self.frame.sort(_ORDER))

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
        taken = f"; taken by name: {', '.join(self.by_name)}" if self.by_name else ""
        return f"Interactions({told}, time: {self.time_kind}, from {self.source}{taken})"

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
        notes = {LEFT_OUT: dropped} if dropped else {}
        return replace(self, frame=frame, notes=self.notes | notes)

    def core(self, k: int) -> Interactions:
        """The k-core: users and items with fewer than k interactions are removed until none is left to remove."""
        if isinstance(k, bool) or not isinstance(k, int | np.integer):
            raise UsageError(f"core: k must be a whole number, not {k!r}")
        frame = self.frame
        while True:
            dense = pl.len().over("user").ge(k) & pl.len().over("item").ge(k)
            smaller = frame.filter(dense)
            if smaller.height == frame.height:
                break
            frame = smaller
        if frame.is_empty():
            raise DataError(f"no interaction is left after core {k}; a smaller one keeps more", self.source)
        return replace(self, frame=frame, notes=self.notes | self._left_out(frame, f"core {k}"))

    def within(self, whole: Interactions, k: int) -> Interactions:
        """What is left of the k-core of another log, of which this one is a part: only its users and items."""
        known = [Vocab.of(whole.frame[id]).encode(self.frame[id], unknown=0) > 0 for id in _IDS]
        frame = self.frame.filter(np.logical_and(*known))
        return replace(self, frame=frame, notes=self.notes | self._left_out(frame, f"core {k}"))

    def _left_out(self, kept: pl.DataFrame, by: str) -> dict[str, int]:
        """How many interactions, users and items are no longer there, in words; nothing where none is missing."""
        before, after = ((frame.height, *(frame[id].n_unique() for id in _IDS)) for frame in (self.frame, kept))
        counts = zip(("interactions", "users", "items"), before, after, strict=True)
        told = {f"{name} left out by {by}": old - new for name, old, new in counts if old > new}
        return {note: count + self.notes.get(note, 0) for note, count in told.items()}

    def window(self, start: Moment | float | None = None, end: Moment | float | None = None) -> Interactions:
        """Interactions with start ≤ time < end.

        Args:
            start: of a log with a clock, ISO 8601 text, a date or datetime (without a zone: UTC), or a number as `read`
                takes it, whose unit (s, ms, µs, ns) is told by its size; of one with an order, a position. None: all
                that is before `end`.
            end: likewise.

        Raises:
            DataError: no such time, a number that may be in several units, or nothing is left.
        """
        keep = pl.lit(True)
        if start is not None:
            keep = keep & (pl.col("time") >= self._time(start, "start"))
        if end is not None:
            keep = keep & (pl.col("time") < self._time(end, "end"))
        frame = self.frame.filter(keep)
        if frame.is_empty():
            raise DataError(f"no interaction has a time in [{start}, {end}); the log runs {self.span}", self.source)
        return replace(self, frame=frame)

    def histories(self) -> pl.DataFrame:
        """Columns `user` and `history`, everybody's item ids, oldest first: what `Trained.recommend_table` takes.

        What was shown and not clicked is no history (see `positives`); who clicked nothing has no row.
        """
        return self.positives().frame.group_by("user", maintain_order=True).agg(pl.col("item").alias("history"))

    @property
    def span(self) -> str:
        """`from 1998-03-01T00:00:00+00:00 to …`, or positions."""
        first, last = (int(time) for time in (self.frame["time"].min(), self.frame["time"].max()))  # type: ignore[arg-type]
        return f"from {iso(first)} to {iso(last)}" if self.time_kind == "clock" else f"from {first} to {last}"

    def _time(self, given: Any, name: str) -> int:
        """A value of `time`, as a user spells it."""
        if self.time_kind == "order":
            if not isinstance(given, int | np.integer):
                problem = f"{given!r} is no position; the log has no clock, only an order within each user, from 0 on"
                raise DataError(problem, name)
            return int(given)
        small = isinstance(given, int | float | np.number) and 0 < given < UNITLESS
        if small and self.frame["time"].max() < UNITLESS:  # type: ignore[operator]
            problem = f"{given!r} may be seconds or microseconds in a log that runs {self.span}; give a datetime"
            raise DataError(problem, name)
        try:
            return moment(given)
        except ValueError as error:
            raise DataError(str(error), name) from None

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


def _is_ordered(frame: pl.DataFrame) -> bool:
    """Whether rows stand in the order of user, time and row."""
    later = pl.lit(False)
    for name in reversed(_ORDER):
        here, before = pl.col(name), pl.col(name).shift()
        later = (here < before) | ((here == before) & later)
    return not frame.select(later.any()).item()
