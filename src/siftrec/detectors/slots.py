"""Histories as the scorers take them, and the background: other items put in the place of some interactions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from siftrec import seeds
from siftrec.data.draws import draw
from siftrec.data.sequences import Sequences


@dataclass(frozen=True)
class Background:
    """What noise looks like.

    Attributes:
        histories: S rows, each a history with one interaction replaced.
        slots: (S,) which of all their events it is.
        owners: (S,) the user of each row.
        shared: (E,) bool of each event, whether the user from whom its row's item was drawn had the event's item too.
    """

    histories: Sequences
    slots: np.ndarray
    owners: np.ndarray
    shared: np.ndarray


def pieces(log: Sequences, length: int) -> Sequences:
    """The same events in the same order, with every row cut into about equal rows of at most `length`."""
    parts, rows = _parts(log, length), piece_rows(log, length)
    part = np.arange(len(rows)) - np.repeat(np.cumsum(parts) - parts, parts)
    starts = log.offsets[rows] + part * log.lengths[rows] // parts[rows]
    return replace(log, offsets=np.append(starts, len(log.items)))


def piece_rows(log: Sequences, length: int) -> np.ndarray:
    """(P,) int64: the row of `log` that each of its `pieces` is of."""
    return np.repeat(np.arange(len(log)), _parts(log, length))


def _parts(log: Sequences, length: int) -> np.ndarray:
    return np.asarray(np.maximum(-(-log.lengths // length), 1))


def others(log: Sequences) -> np.ndarray:
    """(E,) int64: how many other events of the row are with another item."""
    key = log.owners * (int(log.items.max(initial=0)) + 1) + log.items
    _, which, times = np.unique(key, return_inverse=True, return_counts=True)
    return np.asarray(np.repeat(log.lengths, log.lengths) - times[which])


def replaced(log: Sequences, own: np.ndarray, count: int, seed: int, folds: np.ndarray | None = None) -> Background:
    """Some histories with one interaction replaced by a popularity-drawn item that is not the user's own.

    Args:
        log: histories.
        own: (E,) the user of each event, where a history is a part of what a user did.
        count: how many, at most; every event with a neighbour is as likely.
        seed: of the draws.
        folds: (E,) int64 fold of each event's user, whose items come from users of the same: an event is judged by a model
            that has not seen it, and were drawn items known from where they were drawn, noise would look like less.
            None = all are of one.
    """
    rng = seeds.rng(seed, "background")
    able = np.flatnonzero(others(log) > 0)
    chosen = rng.permutation(able)[:count]
    size = int(log.items.max(initial=0)) + 1
    known = np.asarray(own * np.int64(size) + log.items)
    fold = np.zeros(len(log.items), np.int64) if folds is None else folds
    order, sizes = np.argsort(fold, kind="stable"), np.bincount(fold)
    starts, drawn_from = np.cumsum(sizes) - sizes, fold[chosen]
    donors = np.zeros(len(chosen), np.int64)

    def popular(slots: np.ndarray) -> np.ndarray:
        here = drawn_from[slots]
        events = order[starts[here] + rng.integers(0, sizes[here])]
        donors[slots] = own[events]
        return np.asarray(log.items[events])

    drawn = draw(popular, own[chosen], known, size)
    chosen, drawn, donors = chosen[drawn > 0], drawn[drawn > 0], donors[drawn > 0]
    rows = log.owners[chosen]
    taken = log.take(rows)
    slots = taken.offsets[:-1] + chosen - log.offsets[rows]
    items = taken.items.copy()
    items[slots] = drawn
    shared = np.isin(donors[taken.owners] * np.int64(size) + items, known)
    return Background(replace(taken, items=items), slots, own[chosen], shared)
