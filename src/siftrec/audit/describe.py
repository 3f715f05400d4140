"""What the log is like, and which users are worth a look before anything is learned from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from siftrec.audit.source import Source
from siftrec.data.describe import describe as basic
from siftrec.data.sequences import Sequences

BURST, WITHIN = 10, 10
"""A burst: so many interactions of one user within so many seconds."""
EXTREME = 20
"""An extreme count: so many times the median history."""
COPIED = 5
"""Shorter histories are equal by chance."""
SHOWN = 5
_COARSE = 60_000_000
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Look:
    """Users worth a look: a reason to check, not a proof of anything.

    Attributes:
        kind: `bursts`, `extreme counts` or `identical histories`.
        rule: what puts a user here.
        users: how many there are; None where the log cannot tell.
        interactions: how many are theirs.
        examples: the top few: raw `user` (or `users`) as text, and `count`.
    """

    kind: str
    rule: str
    users: int | None
    interactions: int
    examples: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Description:
    """The log in numbers.

    Attributes:
        basic: see `siftrec.data.describe`.
        popularity: `gini` of interactions per item, `top_1_percent` share of the most popular items, `once` share of
            items with a single interaction.
        repeats: `share` of interactions with an item the user has met before, `immediate` share right after it.
        looks: users worth a look.
    """

    basic: dict[str, Any]
    popularity: dict[str, float]
    repeats: dict[str, float]
    looks: tuple[Look, ...]


def describe(source: Source) -> Description:
    """Describe a log; no randomness, no learning."""
    log, numbers = source.log, basic(source.events)
    again = (np.diff(log.items) == 0) & (np.diff(log.owners) == 0)
    repeats = {"share": numbers["repeats"] / len(log.items), "immediate": float(again.sum()) / len(log.items)}
    looks = (_bursts(source), _extreme(source), _identical(source))
    return Description(numbers, popularity(log.counts(len(source.catalog))[1:]), repeats, looks)


def popularity(counts: np.ndarray) -> dict[str, float]:
    """How unequal interactions per item are; `counts` is (n,) with at least one interaction."""
    ordered = np.sort(counts).astype(np.float64)
    size, total = len(ordered), ordered.sum()
    gini = float(((2 * np.arange(1, size + 1) - size - 1) * ordered).sum() / (size * total))
    top = max(1, -(-size // 100))
    return {
        "gini": gini,
        "top_1_percent": float(ordered[-top:].sum() / total),
        "once": float((ordered == 1).mean()),
    }


def _bursts(source: Source) -> Look:
    log, rule = source.log, f"{BURST} or more interactions within {WITHIN} seconds"
    coarse = source.events.time_kind == "clock" and int(np.gcd.reduce(np.diff(log.times))) >= _COARSE
    if source.events.time_kind != "clock" or coarse:
        why = "its clock is too coarse" if coarse else "it has no clock"
        return Look("bursts", f"{rule}; this log cannot tell, for {why}", None, 0, ())
    most = np.zeros(len(log), np.int64)
    np.maximum.at(most, log.owners, _within(log, WITHIN))
    return _look(source, "bursts", rule, most, most >= BURST)


def _within(log: Sequences, seconds: int) -> np.ndarray:
    """(E,) int64: interactions of the same user from each one on, within so many seconds."""
    second = (log.times - log.times.min()) // 1_000_000
    row = second.max() + seconds + 2
    key = log.owners * row + second
    return np.asarray(np.searchsorted(key, key + seconds, side="right") - np.arange(len(key)))


def _extreme(source: Source) -> Look:
    lengths = source.log.lengths
    least = int(EXTREME * max(np.median(lengths), 1))
    rule = f"{least:,} or more interactions, {EXTREME} times the median history"
    return _look(source, "extreme counts", rule, lengths, lengths >= least)


def _look(source: Source, kind: str, rule: str, counts: np.ndarray, worth: np.ndarray) -> Look:
    rows = np.flatnonzero(worth)
    top = rows[np.argsort(-counts[rows], kind="stable")][:SHOWN]
    examples = tuple({"user": str(source.users[int(row)]), "count": int(counts[row])} for row in top)
    return Look(kind, rule, len(rows), int(source.log.lengths[rows].sum()), examples)


def _identical(source: Source) -> Look:
    log, rule = source.log, f"the same {COPIED} or more items in the same order as another user"
    rows = np.flatnonzero(log.lengths >= COPIED)
    group, sizes = _groups(log, rows)
    copied = sizes[group] > 1
    largest = np.argsort(-sizes, kind="stable")[:SHOWN]
    examples = tuple(
        {
            "users": [str(source.users[int(row)]) for row in rows[group == each][:SHOWN]],
            "count": int(sizes[each]),
            "length": int(log.lengths[rows[group == each][0]]),
        }
        for each in largest
        if sizes[each] > 1
    )
    return Look("identical histories", rule, int(copied.sum()), int(log.lengths[rows[copied]].sum()), examples)


def _groups(log: Sequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) group of each row and (g,) sizes; rows are equal when length and a 64-bit hash of items in order are."""
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    taken = log.take(rows)
    position = (np.arange(len(taken.items)) - taken.offsets[taken.owners] + 1).astype(np.uint64)
    mixed = (taken.items.astype(np.uint64) + position * _MIX) * _MIX
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(32)
    digest = np.add.reduceat(mixed, taken.offsets[:-1])
    keys = np.stack([taken.lengths.astype(np.uint64), digest], axis=1)
    _, group, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    return group.ravel(), sizes
