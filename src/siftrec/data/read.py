"""`read`: any log, one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from siftrec.data.interactions import Interactions
from siftrec.data.layout import sniff
from siftrec.data.readers import (
    arrow,
    delimited,
    joined,
    jsonl,
    kuairand,
    kuaivideo,
    microvideo,
    movielens,
    pairs,
    recbole,
)
from siftrec.data.readers.columns import Columns
from siftrec.errors import DataError


def _kuairand(path: Path, columns: Columns) -> Interactions:
    """KuaiRand by the signal that `label` names."""
    signal = cast(kuairand.Signal, columns.label or "is_click")  # `kuairand.read` checks it
    return kuairand.read(_unnamed(path, replace(columns, label=None)), signal)


def _unnamed(path: Path, columns: Columns) -> Path:
    """The path of a published log."""
    for name in columns.named:
        raise DataError(f"is a published log, whose columns are known; leave out {name}", str(path))
    return path


READERS: dict[str, Callable[[Path, Columns], Interactions]] = {
    "arrow": arrow.read,
    "delimited": delimited.read,
    "joined": joined.read,
    "jsonl": jsonl.read,
    "kuairand": _kuairand,
    "kuaivideo": lambda path, columns: kuaivideo.read(_unnamed(path, columns)),
    "microvideo": lambda path, columns: microvideo.read(_unnamed(path, columns)),
    "movielens": movielens.read,
    "pairs": pairs.read,
    "recbole": recbole.read,
}


def read(
    source: Any,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    label: str | None = None,
    weight: str | None = None,
    rating: str | None = None,
    split: str | None = None,
) -> Interactions:
    """A validated behaviour log.

    Args:
        source: CSV, TSV, JSON lines, Parquet or Arrow file; a folder or file in a known layout (MicroLens, RecBole,
            MovieLens, KuaiRand, KuaiVideo, MicroVideo-1.7M); a folder of Parquet parts, named alike but for numbers or in
            folders `key=value`, whose key is a column where it is named; or a polars, pandas or pyarrow table.
        user: column with user ids; columns are recognised by name where they are not given, and "" says there is none.
        item: column with item ids.
        time: column with times: s, ms, µs or ns since 1970, 20240131, ISO 8601 or datetimes. Without one, the order in the
            source counts; where another column holds nothing but datetimes, ISO 8601 dates or numbers that may be seconds,
            milliseconds or microseconds of the years 1990 to 2100, it does only if "" says so.
        label: column with 1 (clicked) or 0 (shown, not clicked); of KuaiRand `is_click` or `long_view`.
        weight: column with weights in [0, 1]; the log says where it or `label` was not given and taken by its name.
        rating: column with ratings; kept, not interpreted.
        split: column with `train`, `valid` or `test`.

    Raises:
        DataError: anything that is not what it claims to be, with file, line and column.
    """
    columns = Columns(user, item, time, label, weight, rating, split)
    if not isinstance(source, str | Path):
        events = arrow.table(source, columns)
    else:
        layout = sniff(source)
        events = READERS[layout.kind](layout.log, columns)
        if layout.published:
            return events
    return _by_name(events, columns)


def _by_name(events: Interactions, columns: Columns) -> Interactions:
    """Says which columns, of those that change what is learned, were taken though nobody asked for them."""
    taken = tuple(role for role in ("label", "weight") if not getattr(columns, role) and role in events.frame.columns)
    noted = {f"rows with {role}s, read from the column '{role}' for its name": len(events) for role in taken}
    return replace(events, notes=events.notes | noted, by_name=taken)
