"""Recommendations: the answer for one history, and those for many as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from siftrec.data.readers.arrow import in_memory
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, UsageError


@dataclass(frozen=True)
class Recommendations:
    """The answer for one history.

    Attributes:
        items: raw ids, best first; fewer than k when the catalog has no more.
        scores: one score per item; comparable within one answer only.
        unknown: history ids that the catalog does not hold; they were skipped.
        fallback: True when nothing of the history was known, so popularity answered.
        ignored: ids of `exclude` and `only` that the catalog does not hold; a misspelt one limits nothing.
    """

    items: list[Any]
    scores: list[float]
    unknown: list[Any]
    fallback: bool
    ignored: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return "\n".join(f"{rank:3d}  {item}  {score:.4f}" for rank, (item, score) in enumerate(self, start=1))

    def __iter__(self) -> Iterator[tuple[Any, float]]:
        return iter(zip(self.items, self.scores, strict=True))


def listed(ids: Any) -> list[Any]:
    """A list of what is one, or can be made one.

    Raises:
        UsageError: text, a mapping, a table, or nothing that can be gone through.
    """
    if isinstance(ids, str):
        raise UsageError(f"{ids!r} is text; a list of item ids is needed, [{ids!r}]")
    if isinstance(ids, Mapping) or is_table(ids):
        raise UsageError(
            f"a {type(ids).__name__} is no list of item ids; what holds those of many users is for recommend_table"
        )
    try:
        each = iter(ids)
    except TypeError:
        raise UsageError(f"{ids!r} is no list; a list of item ids is needed, e.g. [{ids!r}]") from None
    return list(each)


def is_table(given: Any) -> bool:
    """Whether it is a table of polars, pandas or pyarrow, whose names or columns would else be gone through as ids."""
    return isinstance(given, pl.LazyFrame) or hasattr(given, "columns")


def codes_of(ids: Iterable[Any], among: Vocab) -> np.ndarray:
    """(n,) int32 codes of raw ids, cast to the vocabulary's type where that is exact; 0 = unknown.

    Raises:
        UsageError: text or a single number in place of a list.
        DataError: ids that are neither text nor numbers, or some of each.
    """
    raw = listed(ids)
    try:
        typed = pl.Series(raw, dtype=None if raw else among.ids.dtype)
        return among.encode(typed, unknown=0)
    except (TypeError, UnicodeEncodeError, pl.exceptions.PolarsError):
        raise DataError(f"ids are all text or all whole numbers, not {raw[:3]!r}") from None


def codes_of_each(histories: Sequence[Sequence[Any]], among: Vocab) -> list[np.ndarray]:
    """`codes_of` for each of many histories, looked up together where their ids are of one kind."""
    raw = [listed(history) for history in histories]
    flat = [id for history in raw for id in history]
    if set(map(type, flat)) in ({str}, {int}):
        with suppress(DataError):  # the history at fault is named below
            return np.split(codes_of(flat, among), np.cumsum([len(history) for history in raw])[:-1])
    return [codes_of(history, among) for history in raw]


def histories_of(given: Any, where: str | None = None) -> pl.DataFrame:
    """Columns `user` and `history`, a list of item ids, oldest first.

    Args:
        given: user → history, or a table with these columns: polars, pandas or pyarrow; or a pandas Series of histories,
            whose index has the users.
        where: the file it came from, for errors.

    Raises:
        DataError: it has not these columns, histories that are no lists, or ids that are neither all text nor all numbers.
        UsageError: text in place of a list.
    """
    if isinstance(given, Mapping) or _is_series(given):
        given = _framed(list(given.keys()), list(given.values() if isinstance(given, Mapping) else given), where)
    asked = given if isinstance(given, pl.DataFrame) else pl.DataFrame(in_memory(given, "histories"))
    for column in ("user", "history"):
        if column not in asked.columns:
            raise DataError(f"has no column {column!r}; it needs `user` and `history` (a list of item ids)", where)
    if isinstance(asked.schema["history"], pl.Array):
        asked = asked.with_columns(pl.col("history").arr.to_list())
    kind = asked.schema["history"]
    if asked.height and (not isinstance(kind, pl.List) or kind.inner.is_nested()):
        raise DataError(f"column 'history' must be a list of item ids, not {kind}", where)
    return asked.with_columns(pl.col("history").fill_null([]).list.drop_nulls()) if asked.height else asked


def _is_series(given: Any) -> bool:
    """Whether it is a column of pandas, which is mapped by its index."""
    return callable(getattr(given, "keys", None)) and hasattr(given, "to_frame") and not hasattr(given, "columns")


def _framed(users: list[Any], histories: list[Any], where: str | None) -> pl.DataFrame:
    """Columns `user` and `history`, of users and histories in memory."""
    for user, history in zip(users, histories, strict=True):
        if isinstance(history, str | bytes):
            raise UsageError(f"{history!r}, the history of {user!r}, is text; a list of item ids is needed")
        if not isinstance(history, Iterable):
            raise UsageError(f"{history!r}, the history of {user!r}, is no list; a list of item ids is needed")
    lists = [list(history) for history in histories]
    told = "histories hold item ids that are neither all text nor all numbers"
    return pl.DataFrame(
        [
            _column("user", users, users, "user ids are neither all text nor all numbers", where),
            _column("history", lists, [id for each in lists for id in each], told, where),
        ]
    )


def _column(name: str, values: list[Any], ids: list[Any], problem: str, where: str | None) -> pl.Series:
    """The values as a column; `ids` are all that is in them, for the error."""
    kinds = {type(id): id for id in reversed(ids) if id is not None}
    text, other = ([id for kind, id in kinds.items() if issubclass(kind, str) is is_text] for is_text in (True, False))
    try:
        if not (text and other):  # Polars would make text of some numbers, and nothing of others
            return pl.Series(name, values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        pass
    odd = ", ".join(repr(id) for id in (*text[:1], *other[:2]))
    raise DataError(f"{problem}: {odd}; make them one kind, e.g. by str()", where)


def tabled(users: pl.Series, answers: Sequence[Recommendations], ids: pl.DataType) -> pl.DataFrame:
    """Columns user, rank (from 1), item, score, fallback: the answers, one below the other.

    Args:
        users: whose they are.
        answers: one for each.
        ids: type of item ids.
    """
    counts = [len(answer.items) for answer in answers]
    return pl.DataFrame(
        {
            "user": users.gather([row for row, count in enumerate(counts) for _ in range(count)]),
            "rank": pl.Series([rank for count in counts for rank in range(1, count + 1)], dtype=pl.Int32),
            "item": pl.Series([item for answer in answers for item in answer.items], dtype=ids),
            "score": pl.Series([score for answer in answers for score in answer.scores], dtype=pl.Float32),
            "fallback": pl.Series([answer.fallback for answer in answers for _ in answer.items], dtype=pl.Boolean),
        }
    )


def unknown_to(ids: pl.Series, answers: Sequence[Recommendations]) -> list[str]:
    """That nothing of any history was known, in a line; empty where something was, or nothing was asked.

    Args:
        ids: of the catalog.
        answers: to the histories.
    """
    if not answers or not all(answer.fallback for answer in answers):
        return []
    return [f"popularity answered: no id of any history is in the catalog, whose ids are {ids.dtype} like {ids[0]!r}"]
