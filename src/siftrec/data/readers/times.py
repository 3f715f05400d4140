"""Clock times of any usual spelling as int64 microseconds UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, Protocol

import polars as pl

_YEAR_1990, _YEAR_2100 = 631_152_000, 4_102_444_800
_DAYS = (19_700_101, 21_001_231)
"""A column of calendar days between these, as `20240131`, is days; as seconds they would be two weeks of 1970."""


_ISO = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([T ]\d\d:\d\d.*)?$"


class _Unit(NamedTuple):
    name: str
    scale: int
    least: int
    most: int


# Units are told by size: 10¹¹ ms is the year 1973, and no second before 2100 comes near it.
_UNITS = (
    _Unit("seconds", 1_000_000, 0, _YEAR_2100),
    _Unit("milliseconds", 1_000, 10**11, _YEAR_2100 * 1_000),
    _Unit("microseconds", 1, 10**14, _YEAR_2100 * 1_000_000),
)
_NANO = 10**17
"""So many microseconds are the year 5138, so many nanoseconds 1973."""


UNITLESS = 10**14
"""Below so much a number of microseconds, the year 1973, is told from seconds or milliseconds by nothing but its log."""

Moment = str | date | datetime


class Refuse(Protocol):
    """Raises for the first bad row of a column."""

    def __call__(self, bad: pl.Series, role: str, problem: str, /) -> None: ...


def microseconds(times: pl.Series, refuse: Refuse) -> pl.Series:
    """The times as int64 µs since 1970 UTC.

    Args:
        times: numbers in s, ms, µs or ns (told by size, one unit for the whole column), days as `20240131`, ISO 8601
            text, dates or datetimes (without a zone: UTC).
        refuse: called with (bad rows, "time", problem).

    Raises:
        DataError: empty, not a time, negative, after the year 2100, or in mixed units.
    """
    refuse(times.is_null() | (times == "") if times.dtype == pl.String else times.is_null(), "time", "time is empty")
    if times.dtype == pl.String:
        times = _parsed(times, refuse)
    if times.dtype.is_temporal() and not isinstance(times.dtype, pl.Time | pl.Duration):
        micro = times.cast(pl.Datetime("us")).to_physical()
        refuse(micro < 0, "time", "time {} is before 1970")
        refuse(micro > _YEAR_2100 * 1_000_000, "time", "time {} is after the year 2100")
        return micro
    if not times.dtype.is_numeric():
        refuse(times.is_not_null(), "time", f"times are {times.dtype}; numbers, ISO 8601 text or datetimes are needed")
    if times.dtype.is_float():
        refuse(~times.is_finite(), "time", "time {} is not a finite number")
    refuse(times < 0, "time", "time {} is negative")
    return _scaled(times, refuse)


def times_in(values: pl.Series) -> str:
    """What times a column of nobody knows what holds, in words; "" where it need not hold any.

    All of its values, missing ones aside, must be dates of ISO 8601, or whole numbers that are seconds, milliseconds or
    microseconds of the years 1990 to 2100, which have nine digits at least.
    """
    if values.dtype.is_temporal():
        return "" if isinstance(values.dtype, pl.Time | pl.Duration) else "datetimes"
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    values = values.drop_nulls()
    if values.dtype == pl.String:
        values = values.str.strip_chars()
        values = values.filter(values != "")
        if len(values) and values.str.contains(_ISO).all():
            return "dates of ISO 8601"
        if not values.str.contains(r"^\d{9,}(\.0+)?$").all():
            return ""
        values = values.cast(pl.Float64)
    if not len(values) or not values.dtype.is_numeric() or not (values == values.round()).all():
        return ""
    least, most = float(values.min()), float(values.max())  # type: ignore[arg-type]
    for unit in _UNITS:
        second = 1_000_000 // unit.scale
        if _YEAR_1990 * second <= least and most <= _YEAR_2100 * second:
            return f"numbers that may be {unit.name} since 1970"
    return ""


def marked(times: pl.Series, clock: bool, refuse: Refuse) -> pl.Series:
    """Times of a file that says itself what they are, as int64.

    Args:
        times: µs since 1970 UTC, or positions.
        clock: whether they are the former.
        refuse: called with (bad rows, "time", problem).

    Raises:
        DataError: empty, no whole numbers, negative, after the year 2100.
    """
    refuse(times.is_null(), "time", "time is empty")
    if not times.dtype.is_integer():
        meant = "microseconds since 1970" if clock else "positions"
        refuse(times.is_not_null(), "time", f"times are {times.dtype}; the file says they are {meant}, whole numbers")
    whole = times.cast(pl.Int64, strict=False)
    refuse(whole.is_null(), "time", "time {} is too large")
    refuse(whole < 0, "time", "time {} is negative")
    if clock:
        refuse(whole > _YEAR_2100 * 1_000_000, "time", "time {} is after the year 2100; microseconds are needed")
    return whole


def _parsed(times: pl.Series, refuse: Refuse) -> pl.Series:
    times = times.str.strip_chars().str.strip_suffix(" UTC")
    for kind in (pl.Int64, pl.Float64):
        numbers = times.cast(kind, strict=False)
        if not numbers.null_count():
            return numbers
    if times[0][:1].isdigit() and "-" in times[0]:
        try:
            stamps = times.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        except pl.exceptions.ComputeError:
            stamps = pl.Series([None] * len(times), dtype=pl.Datetime("us", "UTC"))
        # Polars takes 03-04-2024 for the third of April, which may be the fourth of March.
        stamps = stamps.set(~times.str.contains(r"^\d{4}-"), None)
        refuse(stamps.is_null() & (times == times[0]), "time", "time {} is not a time; ISO 8601 is 2024-01-31 12:00:00")
        refuse(stamps.is_null(), "time", "time {} is not like the first one, an ISO 8601 date")
        return stamps
    refuse(numbers.is_null(), "time", "time {} is not a number")
    return numbers


def _scaled(times: pl.Series, refuse: Refuse) -> pl.Series:
    if times.dtype.is_integer() and times.dtype not in (pl.UInt64, pl.Int128):
        times = times.cast(pl.Int64)  # a narrow type compares with no number that it cannot hold
    if (days := _days(times, refuse)) is not None:
        return days
    largest = times.max()
    if largest is not None and _NANO <= largest <= _YEAR_2100 * 10**9:  # type: ignore[operator]
        refuse(
            (times != 0) & (times < _NANO),
            "time",
            "time {} is not in nanoseconds as the largest one is; one unit is needed",
        )
        return times.cast(pl.Int64) // 1_000
    unit = next((unit for unit in _UNITS if unit.least <= largest <= unit.most), None)  # type: ignore[operator]
    if unit is None:
        refuse(times == largest, "time", "time {} is after the year 2100, or in no usual unit")
        raise AssertionError("the largest time is one of the times")
    # Zero fits every unit: some logs write it for "unknown, long ago".
    outside = (times != 0) & ~times.is_between(unit.least, unit.most)
    refuse(outside, "time", f"time {{}} is not in {unit.name} as the largest one is; one unit is needed")
    if times.dtype.is_float():
        return (times.cast(pl.Float64) * unit.scale).round().cast(pl.Int64)
    return times.cast(pl.Int64) * unit.scale


def _days(times: pl.Series, refuse: Refuse) -> pl.Series | None:
    """µs of days as `20240131`, 0 staying 0; None where most numbers are no such days."""
    given = times != 0
    if not given.any() or not (times.is_between(*_DAYS) | ~given).all():
        return None
    days = times.cast(pl.Int64).cast(pl.String).str.to_date("%Y%m%d", strict=False)
    wrong = given & (days.is_null() | (times != times.floor() if times.dtype.is_float() else False))
    if 2 * wrong.sum() >= given.sum():
        return None
    refuse(wrong, "time", "time {} is no day of the calendar, as most are; days are written 20240131")
    return days.cast(pl.Datetime("us")).to_physical().fill_null(0)


def moment(given: Any) -> int:
    """A point in time as int64 µs since 1970 UTC.

    Args:
        given: ISO 8601 text with a day, e.g. `1998-03-01` or `1998-03-01T12:00+02:00`, a date or a datetime (without a
            zone: UTC); or a number, whose unit is told by its size as in `microseconds`.

    Raises:
        ValueError: none of these, or not between 1970 and 2100.
    """
    value = given
    if isinstance(value, str):
        value = _iso8601(value.strip())
    elif hasattr(value, "dtype"):  # of NumPy
        value = value.astype("datetime64[us]").item() if value.dtype.kind == "M" else value.item()
    known = isinstance(value, int | float | date) and not isinstance(value, bool)
    try:
        times = pl.Series([value] if known else [])
    except (TypeError, OverflowError):  # of pandas, a datetime that is missing is a datetime
        known = False
    if not known:
        raise ValueError(f"{given!r} is no time; ISO 8601 is 1998-03-01 or 1998-03-01T12:00")

    def refuse(bad: pl.Series, role: str, problem: str, /) -> None:
        if bad.any():
            raise ValueError(problem.format(repr(given)))

    return int(microseconds(times, refuse)[0])


def _iso8601(text: str) -> datetime | None:
    """The time of a text; None if it does not name its day."""
    try:
        return datetime.fromisoformat(text) if re.match(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None


def iso(micro: int) -> str:
    """Microseconds since 1970 UTC as ISO 8601 text."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)).isoformat()
