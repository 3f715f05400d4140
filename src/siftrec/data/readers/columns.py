"""Which column plays which part: named by the user, or recognised by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from siftrec.errors import DataError
from siftrec.settings import nearest

KNOWN = {
    "user": {"user", "userid", "uid", "visitorid", "customerid", "reviewerid", "sessionid"},
    "item": {"item", "itemid", "iid", "video", "videoid", "vid", "movie", "movieid", "asin", "productid", "articleid"},
    "time": {"time", "timestamp", "ts", "datetime", "unixtime", "unixreviewtime"},
    "label": {"label"},
    "weight": {"weight"},
    "rating": {"rating"},
    "split": {"split"},
    "title": {"title", "movietitle", "itemtitle", "text", "name"},
}
"""Recognised spellings, lower case without punctuation; a RecBole type (`user_id:token`) is left out."""
LESS_OFTEN = {
    "time": {"date", "created", "createdat", "createtime", "eventtime", "eventtimestamp", "eventdate", "clicktime"}
    | {"unixtimestamp", "timestampms", "timems", "servertime", "requesttime", "ratedat", "watchedat", "viewedat"}
    | {"eventts", "tsms", "visitedat", "purchasedate", "reviewtime", "when"},
}
"""Spellings that count where a table has none of `KNOWN`."""


def plain(name: str) -> str:
    """`user_id:token`, `userId` and `UserID` are all `userid`."""
    return "".join(letter for letter in name.split(":", maxsplit=1)[0].lower() if letter.isalnum())


def is_index(name: str) -> bool:
    """Whether a column is what became of the index of a pandas table, which nobody has named."""
    return re.fullmatch(r"__index_level_\d+__", name) is not None


def refuse_twice(names: Sequence[str], where: str) -> None:
    """Refuse a header that names two columns alike.

    Raises:
        DataError: it does.
    """
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} occurs twice; rename one of them", where)


def recognised(role: str, names: Sequence[str], where: str) -> str | None:
    """The column that plays `role`, None when there is none.

    Raises:
        DataError: two columns could play it.
    """
    kinds = (KNOWN[role], LESS_OFTEN.get(role, set()))
    found = next((same for known in kinds if (same := [name for name in names if plain(name) in known])), [])
    if len(found) > 1:
        raise DataError(f"columns {found[0]!r} and {found[1]!r} could both be the {role}; name one of them", where)
    return found[0] if found else None


@dataclass(frozen=True)
class Columns:
    """Column names given by the user; None means: recognise it, "" means: there is none."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    label: str | None = None
    weight: str | None = None
    rating: str | None = None
    split: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Only those the user gave."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}

    def find(self, names: Sequence[str], where: str) -> dict[str, str]:
        """Role → column name, for the roles that the source has.

        Args:
            names: the source's columns.
            where: the source, for messages.

        Raises:
            DataError: numbers for names, a duplicate column, a named column that is missing, two candidates, no user or no
                item.
        """
        if not (self.user and self.item):
            _refuse_numbers(names, where)
        refuse_twice(names, where)
        shown = [name for name in names if not is_index(name)]
        roles: dict[str, str] = {}
        taken = set(self.named.values())
        for role in (field.name for field in fields(self)):
            name = getattr(self, role)
            if name is None:
                found = recognised(role, [each for each in shown if each not in taken], where)
            else:
                found = _exactly(role, name, names, where) if name else None
            if found is not None:
                roles[role] = found
        for role in ("user", "item"):
            if role not in roles:
                listed = ", ".join(repr(name) for name in shown[:8])
                raise DataError(
                    f"no column is recognised as the {role} among {listed}; name it: --{role}, or {role}=", where
                )
        for role, name in roles.items():
            if list(roles.values()).count(name) > 1:
                raise DataError(f"column {name!r} is named for more than one part, {role} among them", where)
        return roles


def _refuse_numbers(names: Sequence[str], where: str) -> None:
    """Refuse a header that is a row of the log; a table whose columns are merely counted from 0 is not meant."""
    numbers = all(re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", name.strip(), re.IGNORECASE) for name in names)
    if numbers and names and list(names) != [str(each) for each in range(len(names))]:
        listed = ", ".join(repr(name) for name in names[:8])
        problem = f"its columns are called {listed}: a header line seems to be missing"
        raise DataError(f"{problem}; write one above all others, with the names user, item and time", where)


def _exactly(role: str, name: str, names: Sequence[str], where: str) -> str:
    for known in names:
        if name in (known, known.split(":")[0]):
            return known
    shown = [known for known in names if not is_index(known)]
    raise DataError(f"has no column {name!r} for {role}={nearest(name, shown)}", where)
