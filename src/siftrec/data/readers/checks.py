"""From raw columns to a validated log: every refusal names its place, everything accepted is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from siftrec.data.interactions import Interactions, TimeKind
from siftrec.data.readers.times import UNITLESS, marked, microseconds
from siftrec.data.vocab import Vocab, exact_ids
from siftrec.errors import DataError

SPLITS = ("train", "valid", "test")
MISSING = ("nan", "null", "none", "na", "n/a", "<na>", "nil")
PARTS = ("label", "weight", "rating", "split")


@dataclass(frozen=True)
class Raw:
    """Columns as the source has them, named by role, in the source's order.

    Attributes:
        frame: `user, item` and any of `time, label, weight, rating, split`.
        source: the file, for messages.
        place: (row, role) → where that value stands.
        notes: what was accepted so far.
        time_kind: of an int64 `time` that is already in µs or positions; None: find out.
    """

    frame: pl.DataFrame
    source: str
    place: Callable[[int, str], str]
    notes: dict[str, int] = field(default_factory=dict)
    time_kind: TimeKind | None = None

    def refuse(self, bad: pl.Series, role: str, problem: str) -> None:
        """Raise for the first row where `bad` is true; `{}` in `problem` becomes the value."""
        if bad.any():
            row = int(bad.arg_max() or 0)
            value = self.frame[role][row]
            raise DataError(problem.format(repr(value)), self.place(row, role))


def interactions(raw: Raw) -> Interactions:
    """The log. `raw` is used up: its columns are taken out, so that a log is never in memory twice.

    Raises:
        DataError: no rows, empty or odd ids, numbers that are none or out of range, impossible times, unknown splits.
    """
    if raw.frame.is_empty():
        raise DataError("has no interactions, only a header or nothing at all", raw.source)
    return ordered(_checked(raw), raw)


def _checked(raw: Raw) -> pl.DataFrame:
    columns = [_ids(raw, "user"), _ids(raw, "item")]
    names = raw.frame.columns
    if "time" in names:
        columns.append(_times(raw))
    if "label" in names:
        label = _numbers(raw, "label")
        raw.refuse((label != 0) & (label != 1), "label", "label {} is neither 0 nor 1")
        columns.append(label.cast(pl.Int8))
    if "weight" in names:
        weight = _numbers(raw, "weight")
        raw.refuse(
            (weight < 0) | (weight > 1), "weight", "weight {} is not between 0 and 1; weight='' leaves the column out"
        )
        columns.append(weight.cast(pl.Float32))
    if "rating" in names:
        columns.append(_numbers(raw, "rating"))
    if "split" in names:
        split = raw.frame["split"]
        if split.dtype.is_nested() or split.dtype == pl.Binary:
            raise DataError(f"split is {split.dtype}; text is needed", raw.place(0, "split"))
        split = split.cast(pl.String)
        raw.refuse(~split.is_in(SPLITS).fill_null(False), "split", "split {} is none of train, valid, test")
        columns.append(split)
    for name in names:
        raw.frame.drop_in_place(name)
    return pl.DataFrame(columns)


def ordered(frame: pl.DataFrame, raw: Raw) -> Interactions:
    """Sort checked columns by (user, time, row) and count what was out of order, equal or repeated."""
    clock = "time" in frame.columns
    user = Vocab.of(frame["user"]).encode(frame["user"])
    time = frame["time"].to_numpy() if clock else np.zeros(len(user), np.int64)
    row = np.arange(len(user))
    if not _sorted(user, time):
        row = np.lexsort((time, user))
        user, time, order = user[row], time[row], pl.Series(row)
        frame = frame.select(pl.exclude("time"))
        for place, column in enumerate(frame.columns):  # one by one, so that only one is in memory twice
            frame.replace_column(place, frame[column].gather(order))
    same = np.concatenate([[False], user[1:] == user[:-1]])
    if not clock:
        time = np.arange(len(user)) - np.maximum.accumulate(np.where(same, 0, np.arange(len(user))))
    frame = frame.with_columns(pl.Series("time", time), pl.Series("row", row))
    frame = frame.select(["user", "item", "time", "row", *(name for name in PARTS if name in frame.columns)])
    kind: TimeKind = raw.time_kind or "clock" if clock else "order"
    notes = raw.notes | _doubtful(frame["user"], "user") | _doubtful(frame["item"], "item")
    notes |= _counted(frame, same) if kind == "clock" else {}
    if not clock and raw.time_kind is None:
        notes["rows without a time, in the order of the source"] = len(frame)
    return Interactions(frame, kind, raw.source, notes)


def _sorted(user: np.ndarray, time: np.ndarray) -> bool:
    later = (user[1:] > user[:-1]) | ((user[1:] == user[:-1]) & (time[1:] >= time[:-1]))
    return bool(later.all())


def _counted(frame: pl.DataFrame, same: np.ndarray) -> dict[str, int]:
    """What was accepted; `same` marks rows with the user of the row before."""
    time, row = frame["time"].to_numpy(), frame["row"].to_numpy()
    equal = same.copy()
    equal[1:] &= time[1:] == time[:-1]
    tied = frame.filter(equal | np.append(equal[1:], False)).select("user", "item", "time")
    counts = {
        "unsorted rows": int((same[1:] & (row[1:] < row[:-1])).sum()),
        "equal times": int(equal.sum()),
        "duplicate rows": tied.height - tied.n_unique(),
        "times of 0, read as 1970-01-01": int((time == 0).sum()) if time.max() >= UNITLESS else 0,
    }
    return {name: count for name, count in counts.items() if count}


def _ids(raw: Raw, role: str) -> pl.Series:
    ids = raw.frame[role]
    if isinstance(ids.dtype, pl.Categorical | pl.Enum):
        ids = ids.cast(pl.String)
    if ids.dtype.is_float():  # what pandas makes of whole numbers where one is missing
        raw.refuse(
            ids.is_null() | ids.is_nan(), role, f"{role} is empty, which made numbers of all ids; leave the row out"
        )
        whole = exact_ids(ids)
        problem = f"{role} id {{}} is a number with a fraction, or too large to be exact; ids are text or whole numbers"
        raw.refuse(whole.is_null(), role, problem)
        ids = whole
    if ids.dtype != pl.String and not ids.dtype.is_integer():
        remedy = "; .astype(str) makes them text" if ids.dtype == pl.Binary else ""  # what objects, as UUIDs, become
        raise DataError(f"{role} ids are {ids.dtype}; ids are text or whole numbers{remedy}", raw.place(0, role))
    raw.refuse(ids.is_null(), role, f"{role} is empty")
    if ids.dtype == pl.String:
        raw.refuse(ids == "", role, f"{role} is empty")
    return ids


def _doubtful(ids: pl.Series, role: str) -> dict[str, int]:
    """How many rows have ids that are taken as they are and were perhaps not meant so."""
    if ids.dtype != pl.String:
        return {}
    each = ids.unique()
    missing = each.filter(each.str.to_lowercase().is_in(MISSING))
    padded = each.filter(each.str.strip_chars() != each)
    told = {f"{role} ids that read like a missing value, {', '.join(missing.sort())}": missing}
    told |= {f"{role} ids with a blank before or after": padded}
    told |= {f"{role} ids with leading zeros, which are kept": each.filter(each.str.contains(r"^0\d+$"))}
    return {note: int(ids.is_in(found.implode()).sum()) for note, found in told.items() if len(found)}


def _numbers(raw: Raw, role: str) -> pl.Series:
    given = raw.frame[role]
    if not (given.dtype == pl.String or given.dtype.is_numeric() or given.dtype == pl.Boolean):
        raise DataError(f"{role} is {given.dtype}; numbers are needed", raw.place(0, role))
    raw.refuse(given.is_null(), role, f"{role} is empty")
    if role == "label" and given.dtype == pl.String:
        given = given.str.to_lowercase().replace({"true": "1", "false": "0"})
    numbers = given.cast(pl.Float64, strict=False)
    raw.refuse(numbers.is_null(), role, f"{role} {{}} is not a number")
    raw.refuse(~numbers.is_finite(), role, f"{role} {{}} is not a finite number")
    return numbers


def _times(raw: Raw) -> pl.Series:
    if raw.time_kind is None:
        return microseconds(raw.frame["time"], raw.refuse)
    return marked(raw.frame["time"], raw.time_kind == "clock", raw.refuse)
