"""What an answer must leave out, or may choose from: for one history, and for each of many users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from siftrec.data.readers.arrow import framed, in_memory
from siftrec.data.vocab import Vocab, listed_ids
from siftrec.errors import DataError, UsageError
from siftrec.methods.answers import codes_of, is_table, listed

_COLUMNS = ("user", "item")


class Limit(NamedTuple):
    """Items that one answer must leave out, or may choose from.

    Attributes:
        codes: int64 codes, each once.
        unknown: raw ids that the catalog does not hold; they limit nothing.
    """

    codes: np.ndarray
    unknown: tuple[Any, ...]


def limit_of(ids: Iterable[Any], items: Vocab) -> Limit:
    """The limit that a list of raw ids is.

    Raises:
        UsageError: text, a mapping or a table in place of a list.
        DataError: ids that are neither text nor numbers, or some of each.
    """
    given = listed(ids)
    codes = codes_of(given, items)
    unknown = tuple(raw for raw, code in zip(given, codes, strict=True) if not code)
    return Limit(np.unique(codes[codes > 0]).astype(np.int64), unknown)


def limits_of(name: str, given: Any, users: pl.Series, items: Vocab) -> tuple[list[Limit], list[str]]:
    """The limit of each user; and what of `given` limits nothing, in a line each: items and users.

    Args:
        name: of the argument, `exclude` or `only`, in which every user needs some.
        given: raw item ids, for all users alike; or each user's own: user → raw ids, or a table of polars, pandas or pyarrow
            with the columns `user` and `item`, a pair in each row. Its users are cast to the type of `users` where that is
            exact, as item ids are.
        users: who is asked for.
        items: of the catalog.

    Raises:
        DataError: a table that lacks a column or cannot be read; ids that are neither text nor whole numbers.
        UsageError: lists in place of ids, or a user without candidates.
    """
    own = _own(name, given)
    if own is None:
        limit = limit_of(given, items)
        return [limit] * len(users), _unknown(name, [limit])
    if users.is_empty():
        return [], []
    asked = Vocab.of(listed_ids(users.drop_nulls()))
    codes = codes_of(list(own), asked).tolist()
    by_code = {code: limit_of(ids, items) for code, ids in zip(codes, own.values(), strict=True) if code}
    found = [by_code.get(code) for code in asked.encode(listed_ids(users), unknown=0).tolist()]
    if name == "only" and None in found:
        who = users[found.index(None)]
        raise UsageError(
            f"{name}: {found.count(None)} of {len(users)} users have none, as {who!r}; give each a list, [] for nothing"
        )
    notes = _unknown(name, by_code.values())
    if others := [user for user, code in zip(own, codes, strict=True) if not code]:
        notes.append(f"{name}: {len(others)} of its {len(own)} users have no history here, as {others[0]!r}")
    nothing = limit_of((), items)
    return [nothing if limit is None else limit for limit in found], notes


def _unknown(name: str, limits: Iterable[Limit]) -> list[str]:
    unknown = list(dict.fromkeys(raw for limit in limits for raw in limit.unknown))
    return [f"{name}: {len(unknown)} ids are not in the catalog, as {unknown[0]!r}"] if unknown else []


def _own(name: str, given: Any) -> Mapping[Any, Any] | None:
    """User → raw item ids, where each user has limits of their own; None: it is one list of ids, for all users."""
    if isinstance(given, Mapping):
        return given
    if is_table(given):
        pairs = given if isinstance(given, pl.DataFrame) else framed(in_memory(given, name))
        for column in _COLUMNS:
            if column not in pairs.columns:
                raise DataError(f"has no column {column!r}; a table needs `user` and `item`, a pair in each row", name)
        return dict(pairs.group_by("user", maintain_order=True).agg("item").iter_rows())
    if hasattr(given, "__len__") and any(
        isinstance(each, list | tuple | set | np.ndarray | pl.Series) for each in given
    ):
        raise UsageError(
            f"{name}: holds lists where ids belong; of each user's own give user → ids, e.g. series.to_dict(), "
            "or a table with the columns `user` and `item`"
        )
    return None
