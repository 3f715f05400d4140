"""The earlier part of a log, which everything is fitted on, and the later holdout, which judges it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from siftrec import seeds
from siftrec.data.interactions import Interactions
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, VALID, LeaveOneOut, Split
from siftrec.data.temporal import TemporalSplit
from siftrec.errors import DataError

FEWEST_ASKED = 1000
"""A cut in time must ask at least so many users, and at least half of those whose last interaction could be asked."""

SHARE = 10
"""One interaction in so many is held out."""


@dataclass(frozen=True)
class Cut:
    """A log cut into earlier and later.

    Attributes:
        split: train and validation are the earlier part, test is the holdout.
        asked: users whose later interactions are predicted.
        why: the reason for this protocol, for the record.
    """

    split: Split
    asked: int
    why: str

    @property
    def earlier(self) -> Sequences:
        """U rows: everything before the holdout, the only thing the detector may see."""
        return self.split.log.where(self.split.role < TEST)


def cut(events: Interactions) -> Cut | None:
    """Cut a log in time where its clock allows it, else before each user's last tenth; None: too short for both.

    One cut in time for everybody is how a recommender is used, but it can only ask users who are active on both sides.
    Where it asks fewer than 1,000 users, or fewer than half of those that everybody's own last interactions would ask,
    the answer would be about few and unusual people, and the last tenth of each history, one interaction at least, is
    the holdout: single ones would leave a small log's answer to chance. Both protocols treat the models alike.
    """
    last = _tried(LeaveOneOut(), events)
    if last is None:
        return None
    last = _longer(last)
    asked = len(last.test)
    if events.time_kind != "clock":
        return Cut(last, asked, "before the last tenth of each history, for the log has an order but no clock")
    timed = _tried(TemporalSplit(), events)
    later = 0 if timed is None else len(timed.test)
    if timed is None or later < max(FEWEST_ASKED, asked / 2):
        why = f"before the last tenth of each history: one cut in time would ask {later:,} users instead of {asked:,}"
        return Cut(last, asked, why)
    return Cut(timed, later, f"one cut in time: the last tenth of interactions, by {later:,} users, is the holdout")


def _longer(split: Split) -> Split:
    """The last tenth of each history in the place of its last interaction; validation is the one before."""
    log = split.log
    held = np.maximum(log.lengths // SHARE, 1)
    asked = log.lengths >= 3
    from_end = np.repeat(log.offsets[1:], log.lengths) - np.arange(len(log.items)) - 1
    last, asks = np.repeat(held, log.lengths), np.repeat(asked, log.lengths)
    role = np.where(asks & (from_end < last), TEST, np.where(asks & (from_end == last), VALID, TRAIN))
    return replace(split, role=role.astype(np.int8), protocol="last-tenth")


def _tried(splitter: LeaveOneOut | TemporalSplit, events: Interactions) -> Split | None:
    try:
        return splitter(events)
    except DataError:  # some part would be empty
        return None


def some_users(split: Split, most: int, seed: int) -> Split:
    """The split of at most so many users, drawn at random."""
    if len(split.log) <= most:
        return split
    rows = np.sort(seeds.rng(seed, "audit users").choice(len(split.log), most, replace=False))
    kept = np.isin(split.log.owners, rows)
    return replace(split, log=split.log.take(rows), role=split.role[kept], users=split.users.gather(rows))
