"""Train, validation and test parts of a log, and the promise that fitting never sees the test part."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from siftrec.data.interactions import LEFT_OUT, Interactions
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError
from siftrec.settings import settings

if TYPE_CHECKING:
    from siftrec.data.impressions import Impressions

TRAIN, VALID, TEST = 0, 1, 2
Role = Literal["valid", "test"]


@dataclass(frozen=True, eq=False)
class Part:
    """Questions for a recommender: Q histories and what came next.

    Attributes:
        users: (Q,) row of each question in the split's users.
        user_ids: (Q,) raw user ids.
        histories: Q rows, everything before the first target.
        targets: Q rows of one or more target items.
        seen: Q rows of items that filtered ranking leaves out: the original history minus the targets.
        items: whose codes these are; None = the caller knows.
        repeats: (Q,) how many of its targets each user had before, in the original history; None = not known.
        role: which part of its split it is; None = it was made by hand.
        of: the whole part where these are some of its questions; None = these are all.
        unasked: how many users have a target in the part and nothing before it, so that they are not asked; None = not
            known.
        protocol: name of the split, e.g. `leave-one-out`; None = it was made by hand.
    """

    users: np.ndarray
    user_ids: pl.Series
    histories: Sequences
    targets: Sequences
    seen: Sequences
    items: Vocab | None = None
    repeats: np.ndarray | None = None
    role: Role | None = None
    of: Part | None = None
    unasked: int | None = None
    protocol: str | None = None

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        return f"Part({self.role or 'made by hand'}: {len(self):,} questions with {len(self.targets.items):,} targets)"

    @property
    def whole(self) -> Part:
        """The part of the split that these questions are of."""
        return self.of or self

    @property
    def asks(self) -> str:
        """`90 of 166 users (76 without an earlier interaction)`; `166 users` where all of them are asked."""
        return _asks(len(self), self.unasked or 0)

    @property
    def repeated(self) -> float | None:
        """Share of the targets that their user had before, noise aside: filtered ranking does not leave these out."""
        return None if self.repeats is None else float(self.repeats.sum() / max(len(self.targets.items), 1))

    def take(self, rows: np.ndarray) -> Part:
        """The named questions."""
        parts = (self.histories.take(rows), self.targets.take(rows), self.seen.take(rows))
        repeats = None if self.repeats is None else self.repeats[rows]
        users, ids = self.users[rows], self.user_ids.gather(rows)
        return Part(users, ids, *parts, self.items, repeats, self.role, self.whole, protocol=self.protocol)

    def recode(self, items: Vocab) -> Part:
        """The same questions in a catalog's codes; without `self.items` they are in these codes already.

        Raises:
            DataError: the catalog lacks an item of `self.items`.
        """
        if self.items is None or self.items == items:
            return replace(self, items=items)
        table = recoding(self.items, items)
        histories, targets, seen = (rows.recode(table) for rows in (self.histories, self.targets, self.seen))
        return replace(self, histories=histories, targets=targets, seen=seen, items=items)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of users, targets, filtered items and candidates: what two runs must share to be compared.

        Weights and shown content are left out, for they change no question.
        """
        digest = hashlib.sha256(self.user_ids.cast(pl.String).str.join("\x1f").item().encode())
        for rows in (self.targets, self.seen):
            digest.update(replace(rows, weights=None, shown=None).fingerprint.encode())
        digest.update(b"" if self.items is None else self.items.fingerprint.encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Fitting:
    """All that fitting may know: there is no way from here to the test part.

    Attributes:
        train: training interactions.
        valid: questions about what came next.
        items: the item vocabulary.
        impressions: what was shown, for training and for validation; None where only interactions are known.
        seed: of the run, `fit(..., seed=)`; what a method that counts draws, it draws from it.
    """

    train: Sequences
    valid: Part
    items: Vocab
    impressions: tuple[Impressions, Impressions] | None = None
    seed: int = 0

    def recode(self, items: Vocab) -> Fitting:
        """The same data in another catalog's codes.

        Raises:
            DataError: the other catalog lacks an item of the log.
        """
        if items == self.items:
            return self
        shown = self.impressions and (self.impressions[0].recode(items), self.impressions[1].recode(items))
        train = self.train.recode(recoding(self.items, items))
        return replace(self, train=train, valid=self.valid.recode(items), items=items, impressions=shown)

    @property
    def popularity(self) -> np.ndarray:
        """(N,) int64 training interactions of each item; on impressions its clicks, and 1 where it was only shown.

        So 0 means everywhere: never trained on.
        """
        counts = self.train.counts(len(self.items))
        if self.impressions is not None:
            shown = np.unique(self.impressions[0].shown.items)
            counts[shown] = np.maximum(counts[shown], 1)
        return counts

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the training data, the validation questions and the items."""
        prints = {"training": self.train.fingerprint, "validation": self.valid.fingerprint}
        if self.impressions is not None:
            prints = {name: each.fingerprint for name, each in zip(prints, self.impressions, strict=True)}
        return prints | {"items": self.items.fingerprint}


@dataclass(frozen=True, eq=False)
class Split:
    """A log cut into parts.

    Attributes:
        log: U rows, every positive interaction, oldest first.
        role: (E,) int8: TRAIN, VALID or TEST.
        users: (U,) raw user ids.
        items: the item vocabulary.
        protocol: name, e.g. `leave-one-out`.
        original: the log before noise was planted in it, or before it was cleaned; None when it is `log` itself.
        original_role: roles of `original`'s events; None likewise.
        shown_only: rows of the log with `label` 0, which are in no part.
    """

    log: Sequences
    role: np.ndarray
    users: pl.Series
    items: Vocab
    protocol: str
    original: Sequences | None = None
    original_role: np.ndarray | None = None
    shown_only: int = 0

    def __repr__(self) -> str:
        users, items, events = len(self.users), len(self.items) - 1, len(self.log.items)
        parts = (self._told(name, role) for name, role in (("valid", VALID), ("test", TEST)))
        return f"Split({self.protocol}: {events:,} interactions of {users:,} users with {items:,} items; {', '.join(parts)})"

    @property
    def train(self) -> Sequences:
        """U rows: the training interactions."""
        return self.log.where(self.role == TRAIN)

    @property
    def valid(self) -> Part:
        """Questions asked while fitting, for early stopping and choosing settings."""
        return replace(self._part(VALID), role="valid")

    @property
    def test(self) -> Part:
        """Questions asked once, at the end."""
        return replace(self._part(TEST), role="test")

    @property
    def fitting(self) -> Fitting:
        """What `fit` receives."""
        return Fitting(self.train, self.valid, self.items)

    @property
    def fingerprint(self) -> dict[str, str]:
        """Of the training data and of the test questions, with the log's own items as candidates."""
        return {"train": self.train.fingerprint, "test": self.test.fingerprint}

    @property
    def notes(self) -> dict[str, int]:
        """What is in no part, and how many users of each part are not asked, in words; nothing where all are."""
        counts = {name: self._asked(role)[1] for name, role in (("validation", VALID), ("test", TEST))}
        notes = {f"{name} users not asked, without an earlier interaction": n for name, n in counts.items() if n}
        return ({LEFT_OUT: self.shown_only} if self.shown_only else {}) | notes

    def _told(self, name: str, role: int) -> str:
        return f"{name} {_asks(*self._asked(role))}" if (self.role == role).any() else f"no {name} part"

    def _asked(self, role: int) -> tuple[int, int]:
        """How many users of a part are asked, and how many are not."""
        held, before = self._held(role)
        return int((held & before).sum()), int((held & ~before).sum())

    def _held(self, role: int) -> tuple[np.ndarray, np.ndarray]:
        """(U,) bool each: has an interaction in the part; has one before it, in the original log."""
        original, original_role = self._original
        return self.log.where(self.role == role).lengths > 0, original.where(original_role < role).lengths > 0

    @property
    def _original(self) -> tuple[Sequences, np.ndarray]:
        if self.original is None or self.original_role is None:
            return self.log, self.role
        return self.original, self.original_role

    def _part(self, role: int) -> Part:
        targets = self.log.where(self.role == role)
        histories = self.log.where(self.role < role)
        original, original_role = self._original
        before, is_target = original_role < role, original_role == role
        among, again = _among_targets(original, is_target, before)
        seen = original.where(before & ~among)
        held, has_before = self._held(role)
        repeats = np.bincount(original.owners[is_target], weights=again, minlength=len(original)).astype(np.int64)
        part = Part(np.arange(len(self.log)), self.users, histories, targets, seen, self.items, repeats)
        rows = np.flatnonzero(held & has_before)
        return replace(part.take(rows), of=None, unasked=self._asked(role)[1], protocol=self.protocol)

    def with_noise(self, log: Sequences, role: np.ndarray) -> Split:
        """The same questions and filtered items over a corrupted log (see `siftrec.noise.inject`), or over a cleaned one."""
        original, original_role = self._original
        return replace(self, log=log, role=role, original=original, original_role=original_role)


def _asks(asked: int, unasked: int) -> str:
    told = f"{asked:,} users" if not unasked else f"{asked:,} of {asked + unasked:,} users"
    return f"{told} ({unasked:,} without an earlier interaction)" if unasked else told


def _among_targets(log: Sequences, is_target: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E,) bool: the event's item is one of its own row's targets; (T,) bool: the target's item is among those before."""
    key = log.owners * (int(log.items.max(initial=0)) + 1) + log.items
    among = np.isin(key, key[is_target])
    return among, np.isin(key[is_target], key[among & before])


def recoding(old: Vocab, new: Vocab) -> np.ndarray:
    """(N_old,) int32: code in `new` of each code in `old`; 0 stays 0.

    Raises:
        DataError: an item of `old` that `new` lacks.
    """
    return np.concatenate([[0], new.encode(old.ids)]).astype(np.int32)


@settings
class LeaveOneOut:
    """Each user's last interaction is the test target, the one before it the validation target.

    Users with fewer than three interactions are trained on and never asked about. One user's test target may be older
    than another's training data, so this protocol leaks time; `TemporalSplit` does not.
    """

    leaks_time = True

    def __call__(self, events: Interactions) -> Split:
        """Cut the log."""
        users, items, log = logged(events)
        from_end = np.repeat(log.offsets[1:], log.lengths) - np.arange(len(log.items)) - 1
        asked = np.repeat(log.lengths >= 3, log.lengths)
        role = np.where(asked & (from_end == 0), TEST, np.where(asked & (from_end == 1), VALID, TRAIN))
        split = Split(log, role.astype(np.int8), users, items, "leave-one-out")
        return checked(split, events, why="no user has three, as it needs")


@settings
class Everything:
    """Everything is trained on: what goes into service, once its settings are chosen.

    No validation part, so every epoch is trained and the last one is kept; no test part, so there is nothing to evaluate.
    """

    leaks_time = False

    def __call__(self, events: Interactions) -> Split:
        """The log, uncut."""
        users, items, log = logged(events)
        return checked(Split(log, np.zeros(len(log.items), np.int8), users, items, "everything"), events, (TRAIN,))


@settings
class Predefined:
    """The parts named by a column of the log: `train`, `valid` or `test` in `split`.

    Of a user's interactions at one time, those of training come first, those of the test last.
    Without `valid` in any row every epoch is trained and the last one is kept.
    """

    leaks_time = False

    def __call__(self, events: Interactions) -> Split:
        """Cut the log.

        Raises:
            DataError: no `split` column, a label that is none of the three, or no row of training or of the test.
        """
        names = {"train": TRAIN, "valid": VALID, "test": TEST}
        if "split" not in events.frame.columns:
            raise DataError("has no column 'split' with train, valid or test in each row", events.source)
        users, items, log = logged(events)
        role = events.positives().frame["split"].replace_strict(names, default=-1, return_dtype=pl.Int8).to_numpy()
        if (role < 0).any():
            wrong = events.positives().frame["split"].gather(np.flatnonzero(role < 0)[:1])[0]
            raise DataError(f"split label {wrong!r} is none of train, valid, test", events.source)
        order = np.lexsort((role, log.times, log.owners))
        log, role = log.ordered(order), role[order]
        backwards = (np.diff(role) < 0) & (np.diff(log.owners) == 0)
        if backwards.any():
            late = int(backwards.argmax()) + 1
            name = ("train", "valid")[role[late]]
            raise DataError(
                f"the parts of user {users[int(log.owners[late])]!r} are out of order in time: row {log.rows[late]} "
                f"(from 0) is {name!r} and later than what is not; train must come before valid before test",
                events.source,
            )
        split = Split(log, role, users, items, "predefined")
        return checked(split, events, (TRAIN, TEST), "no row of its column 'split' says so")


def logged(events: Interactions) -> tuple[pl.Series, Vocab, Sequences]:
    """What every split cuts: users, items, and the positive interactions of each user, oldest first.

    Items that were shown and never clicked are among the items.
    """
    kept = events.positives()
    users, items = kept.users, Vocab.of(events.items)
    return users, items, kept.sequences(users, items)


def checked(
    split: Split,
    events: Interactions,
    needed: Collection[int] = (TRAIN, VALID, TEST),
    why: str = "the log is too short for it",
) -> Split:
    """The split, if every part it needs has an interaction; it knows what the log has that is in no part.

    Args:
        split: of the log.
        events: the log, for its name.
        needed: parts that may not be empty; without VALID there is no early stopping.
        why: they may be.

    Raises:
        DataError: naming the part that is empty.
    """
    for name, role in (("training", TRAIN), ("validation", VALID), ("test", TEST)):
        if role in needed and not (split.role == role).any():
            raise DataError(f"the {split.protocol} split leaves no {name} interaction; {why}", events.source)
    return replace(split, shown_only=len(events) - len(events.positives()))


def leave_one_out(events: Interactions) -> Split:
    """`LeaveOneOut()(events)`."""
    return LeaveOneOut()(events)


def everything(events: Interactions) -> Split:
    """`Everything()(events)`."""
    return Everything()(events)
