"""What clients add, on disk before it is acknowledged: one SQLite file with a write-ahead log."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from siftrec.errors import DataError, EnvironmentProblem, SiftrecError

_KIND = 0x51F7
_SLICE, _PAUSE = 20_000, 0.01
"""Events that are taken out at once, and seconds between two slices, in which a service can write."""
_ROOM = 1 << 20
"""Bytes that must find room before a store that could not be written counts as mended."""
_TAKEN = -1
"""Label of the last event that was taken out: it stays, so that no later event gets a place that was taken before."""
_STEPS = (
    """
CREATE TABLE items (seq INTEGER PRIMARY KEY, item TEXT NOT NULL UNIQUE, title TEXT, content TEXT NOT NULL);
CREATE TABLE feedback (
    seq INTEGER PRIMARY KEY, user TEXT NOT NULL, item TEXT NOT NULL, time INTEGER NOT NULL, label INTEGER NOT NULL
);
""",
    # The last word on each item; a new one takes the place of the old at a later place, so that others need not read all.
    """
CREATE TABLE hidden (seq INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL UNIQUE, hidden INTEGER NOT NULL);
""",
)
"""What each version added to the one before."""
_VERSION = len(_STEPS)


class Conflict(SiftrecError):
    """An item of that id is there already."""


class Full(SiftrecError):
    """The store holds as many items or events as it may."""


class Missing(SiftrecError):
    """No item has that id."""


class Unusable(EnvironmentProblem):
    """The store cannot be read or written, and no request is at fault."""


@dataclass(frozen=True)
class Item:
    """An item by its content.

    Attributes:
        item: id, as text.
        title: for people; None: it has none.
        content: raw vector by modality.
    """

    item: str
    title: str | None
    content: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Event:
    """What a user did with an item: `time` in µs UTC, `label` 1 clicked, 0 only shown."""

    user: str
    item: str
    time: int
    label: int


class Store:
    """The items and events of one service; several processes may share a file.

    Args:
        path: of the file; made when it is not there.
        write: False: only to look, at a store that is there.

    Attributes:
        path: likewise.
        events: how many it held at the last look.
        problem: why it could not be used the last time; None: it could, or has been written since.

    Raises:
        DataError: another kind of file.
        Unusable: it cannot be opened or written.
    """

    def __init__(self, path: Path, write: bool = True) -> None:
        self.path, self._lock, self.events = path, threading.Lock(), 0
        self.problem: str | None = None
        try:
            with self._lock:
                self._open(write)
                self._file = self._standing()
        except sqlite3.OperationalError as error:
            raise Unusable(f"{path}: cannot be used as a store: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"is not a store of `siftrec serve`: {error}", str(path)) from None

    def _open(self, write: bool) -> None:
        try:
            kind, version, tables = self._connect("rwc" if write else "ro")
        except sqlite3.OperationalError:
            # In a folder that cannot be written, SQLite opens nothing that might change; without a log nobody changes it.
            if write or Path(f"{self.path}-wal").exists():
                raise
            kind, version, tables = self._connect("ro&immutable=1")
        if (tables or not write) and (kind != _KIND or version < 1):
            raise DataError("is not a store of `siftrec serve`; name another file", str(self.path))
        if version > _VERSION:
            told = f"is a store of version {version}, and this siftrec knows {_VERSION}; install a newer one"
            raise DataError(told, str(self.path))
        if not write:
            return
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        if version < _VERSION:
            self._make()

    def _connect(self, mode: str) -> list[int]:
        """Open the file; gives its kind, its version and how many tables it has."""
        place = f"{self.path.absolute().as_uri()}?mode={mode}"
        self._base = sqlite3.connect(place, timeout=5.0, isolation_level=None, check_same_thread=False, uri=True)
        asked = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        return [self._base.execute(query).fetchone()[0] for query in asked]

    def _make(self) -> None:
        """Add the tables that it lacks; another process may have done so by now."""
        self._base.execute("BEGIN IMMEDIATE")
        done = self._base.execute("PRAGMA user_version").fetchone()[0]
        for statement in ";".join(_STEPS[done:]).split(";"):
            self._base.execute(statement)
        self._base.execute(f"PRAGMA application_id = {_KIND}")
        self._base.execute(f"PRAGMA user_version = {_VERSION}")
        self._base.execute("COMMIT")

    def _standing(self) -> tuple[int, int] | None:
        """Which file the path leads to, by device and inode; None: to none that can be seen."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check_place(self) -> None:
        """See that whoever opens the path finds what is written here, and nobody else's file comes between.

        Raises:
            Unusable: the file was moved, deleted or replaced; SQLite would go on with it all the same.
        """
        if self._standing() != self._file:
            raise Unusable(
                f"{self.path}: is not the file any more that was opened as a store; put that one back, or start anew"
            )

    @contextmanager
    def _clear(self) -> Iterator[None]:
        """One user at a time, and SQLite's refusals as one line, which are no request's fault."""
        try:
            with self._lock:
                yield
        except sqlite3.DatabaseError as error:
            self.problem = f"{self.path}: cannot be used as a store: {error}"
            raise Unusable(self.problem) from error
        except Unusable as error:
            self.problem = str(error)
            raise

    @contextmanager
    def _written(self) -> Iterator[None]:
        """A transaction that is on disk, where the path leads, when it ends."""
        with self._clear():
            self._check_place()
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._check_place()
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise
            self.problem = None

    def add_items(self, items: Sequence[Item]) -> int:
        """Keep items, all or none; gives the place of the last.

        Raises:
            Conflict: one is there already, named.
        """
        with self._written():
            for each in items:
                if self._base.execute("SELECT 1 FROM items WHERE item = ?", (each.item,)).fetchone():
                    raise Conflict(f"item {each.item!r} is known already")
                content = orjson.dumps(dict(each.content)).decode()
                row = (each.item, each.title, content)
                last = self._base.execute("INSERT INTO items (item, title, content) VALUES (?, ?, ?)", row).lastrowid
        return last or 0

    def add_events(self, events: Sequence[Event], most: int) -> None:
        """Keep events, all or none.

        Args:
            events: new ones.
            most: events that the store may hold.

        Raises:
            Full: there is no room for them.
        """
        rows = [(each.user, each.item, each.time, each.label) for each in events]
        with self._written():
            held = self._held()
            if held + len(rows) > most:
                raise Full(f"{held:,} events are stored, and at most {most:,} may be; keep yours until there is room")
            self._base.executemany("INSERT INTO feedback (user, item, time, label) VALUES (?, ?, ?, ?)", rows)
        self.events = held + len(rows)

    def look(self) -> None:
        """See how many events there are, for other processes add some and take some out, and whether it can be used.

        Raises:
            Unusable: it cannot.
        """
        if self.problem is not None:
            self._try()
        with self._clear():
            self._check_place()
            self.events = self._held()

    def _try(self) -> None:
        """Write as much as a request may hold, and free it: to read tells nothing of a disk, and a little finds room."""
        with self._written():
            self._base.execute("CREATE TABLE IF NOT EXISTS room (bytes BLOB)")
            self._base.execute("INSERT INTO room VALUES (zeroblob(?))", (_ROOM,))
        with self._written():
            self._base.execute("DROP TABLE IF EXISTS room")

    def _held(self) -> int:
        """Events from the first place to the last: none is ever taken from between, and to count them would take long."""
        ends = self._base.execute("SELECT (SELECT min(seq) FROM feedback), (SELECT max(seq) FROM feedback)").fetchone()
        if ends[0] is None:
            return 0
        first = self._base.execute("SELECT label FROM feedback WHERE seq = ?", ends[:1]).fetchone()[0]
        return int(ends[1] - ends[0] + (first != _TAKEN))

    def items_after(self, seq: int) -> tuple[list[Item], int]:
        """Items added after place `seq`, in order, and the place of the last."""
        with self._clear():
            self._check_place()
            query = "SELECT seq, item, title, content FROM items WHERE seq > ? ORDER BY seq"
            rows = self._base.execute(query, (seq,)).fetchall()
        return [Item(item, title, orjson.loads(content)) for _, item, title, content in rows], rows[-1][
            0
        ] if rows else seq

    def hide(self, items: Sequence[str], hidden: bool) -> None:
        """Keep that items are not to be shown, or are again: all or none."""
        with self._written():
            rows = [(item, hidden) for item in items]
            self._base.executemany("INSERT OR REPLACE INTO hidden (item, hidden) VALUES (?, ?)", rows)

    def turned_after(self, seq: int) -> tuple[list[tuple[str, bool]], int]:
        """(item, whether it is hidden) of what was hidden or shown after place `seq`, and the place of the last."""
        with self._clear():
            self._check_place()
            query = "SELECT item, hidden, seq FROM hidden WHERE seq > ? ORDER BY seq"
            rows = self._base.execute(query, (seq,)).fetchall()
        return [(item, bool(hidden)) for item, hidden, _ in rows], rows[-1][2] if rows else seq

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        with self._clear():
            return {
                table: self._base.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
                for table in ("items", "feedback")
            }

    def feedback(self) -> tuple[pl.DataFrame, int]:
        """The events as a log, in order of arrival, `user, item, time` (UTC), `label`; and the place of the last."""
        types: dict[str, Any] = {
            "user": pl.String,
            "item": pl.String,
            "time": pl.Datetime("us", "UTC"),
            "label": pl.Int64,
        }
        log, last = [pl.DataFrame(schema=types)], 0
        with self._clear():
            query = f"SELECT seq, user, item, time, label FROM feedback WHERE label <> {_TAKEN} ORDER BY seq"  # noqa: S608
            found = self._base.execute(query)
            while rows := found.fetchmany(_SLICE):
                log.append(pl.DataFrame([row[1:] for row in rows], schema=types, orient="row"))
                last = rows[-1][0]
        return pl.concat(log), last

    def take_out(self, last: int) -> None:
        """Forget the events up to a place that `feedback` gave."""
        gone = 1
        while gone > 0:
            with self._written():
                first = self._base.execute("SELECT min(seq) FROM feedback").fetchone()[0]
                until = min(last, (first or last) + _SLICE)
                gone = self._base.execute("DELETE FROM feedback WHERE seq < ?", (until,)).rowcount
            time.sleep(_PAUSE)
        with self._written():
            self._base.execute("UPDATE feedback SET label = ? WHERE seq = ?", (_TAKEN, last))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._base.close()
