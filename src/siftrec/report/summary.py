"""From the scores of a log to what the pages show: tables by popularity, position and length, items, the log itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from siftrec.data.keys import distinct_keys
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.report.data import Bin, Group, Item, Log, Summary, Suspect
from siftrec.report.examples import Scored, examples

_BINS = 20
_ENOUGH = 5
_ITEMS = 15
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Names:
    """How users and items are called.

    Attributes:
        users: (U,) raw ids.
        items: the vocabulary of the log's codes.
        titles: raw item id as text → title; may be empty.
    """

    users: pl.Series
    items: Vocab
    titles: Mapping[str, str] = field(default_factory=dict)

    def user(self, row: int) -> str:
        """The raw id of a row, as text."""
        return str(self.users[row])

    def item(self, code: int) -> str:
        """The raw id of an item code ≥ 1, as text."""
        return str(self.items.ids[code - 1])

    def title(self, code: int) -> str | None:
        """The title of an item code ≥ 1, or None."""
        return self.titles.get(self.item(code))


def summarise(
    log: Sequences,
    noise: np.ndarray,
    flagged: np.ndarray,
    evidence: np.ndarray,
    names: Names,
    *,
    planted: np.ndarray | None = None,
) -> Summary:
    """What the scores of a log say, in tables small enough for a page.

    Args:
        log: U rows, E events.
        noise: (E,) noise probabilities in [0, 1].
        flagged: (E,) bool.
        evidence: (E,) how many other interactions could vouch; 0 = not judged.
        names: of users and items.
        planted: (E,) bool, the truth where it is known.

    Returns:
        The same for the same log, whatever the order of equal values.
    """
    noise = np.asarray(noise, dtype=np.float64)
    popularity = log.counts(len(names.items))
    position = np.arange(len(log.items)) - log.offsets[log.owners] + 1
    scored = Scored(log, len(names.items), noise, flagged, evidence, position, planted)
    return Summary(
        users=int((log.lengths > 0).sum()),
        items=int((popularity > 0).sum()),
        interactions=len(log.items),
        unjudged=int((evidence == 0).sum()),
        histogram=_histogram(noise, flagged),
        by_popularity=_groups(popularity[log.items], noise, flagged),
        by_position=_groups(position, noise, flagged),
        by_length=_groups(log.lengths[log.owners], noise, flagged),
        mistaken=_mistaken(log, noise, flagged, popularity, names),
        histories=examples(scored, names),
    )


def log_view(
    log: Sequences,
    names: Names,
    source: str,
    *,
    span: str | None = None,
    suspects: Sequence[Suspect] = (),
    notes: Sequence[str] = (),
) -> Log:
    """What a log is like; what only its clock or its reader knows is handed in."""
    popularity = log.counts(len(names.items))
    pairs = distinct_keys(log.owners * len(names.items) + log.items)
    return Log(
        source=source,
        users=int((log.lengths > 0).sum()),
        items=int((popularity > 0).sum()),
        interactions=len(log.items),
        repeats=len(log.items) - len(pairs),
        span=span,
        lengths=lengths_histogram(log.lengths),
        popularity=popularity_curve(popularity),
        suspects=tuple(suspects),
        notes=tuple(notes),
    )


def lengths_histogram(lengths: np.ndarray) -> tuple[Bin, ...]:
    """Users by number of interactions; users without any are left out."""
    return tuple(Bin(label, int(here.sum())) for label, here in ranges(lengths))


def popularity_curve(popularity: np.ndarray) -> tuple[tuple[float, float], ...]:
    """(share of the items that occur, most popular first; share of the interactions they hold)."""
    counts = np.sort(popularity[popularity > 0])[::-1]
    if not len(counts):
        return ()
    held = np.cumsum(counts) / counts.sum()
    tops = sorted({max(1, round(share * len(counts))) for share in _SHARES})
    return tuple((top / len(counts), float(held[top - 1])) for top in tops)


def ranges(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """1, 2, 3 to 5, 6 to 10, 11 to 20, 21 to 50 and so on: a label and (n,) bool for each that occurs."""
    found, low, step = [], 1, 0
    largest = int(values.max(initial=0))
    while low <= largest:
        high = (1, 2, 5)[step % 3] * 10 ** (step // 3)
        here = (values >= low) & (values <= high)
        if here.any():
            found.append((f"{low:,}" if low == high else f"{low:,} to {high:,}", here))
        low, step = high + 1, step + 1
    return found


def _groups(values: np.ndarray, noise: np.ndarray, flagged: np.ndarray) -> tuple[Group, ...]:
    return tuple(
        Group(label, int(here.sum()), float(noise[here].mean()), int(flagged[here].sum()))
        for label, here in ranges(values)
    )


def _histogram(noise: np.ndarray, flagged: np.ndarray) -> tuple[Bin, ...]:
    bins = np.minimum((noise * _BINS).astype(np.int64), _BINS - 1)
    counts, marked = (np.bincount(each, minlength=_BINS) for each in (bins, bins[flagged]))
    labels = (f"{k / _BINS:.2f} to {(k + 1) / _BINS:.2f}" for k in range(_BINS))
    return tuple(Bin(label, int(a), int(b)) for label, a, b in zip(labels, counts, marked, strict=True))


def _mistaken(
    log: Sequences, noise: np.ndarray, flagged: np.ndarray, popularity: np.ndarray, names: Names
) -> tuple[Item, ...]:
    """Items above the log's mean, ranked by a mean that is drawn to it, so that five interactions do not win by luck."""
    if not len(noise):
        return ()
    total, marked = (np.bincount(log.items, each, len(popularity)) for each in (noise, flagged))
    overall = noise.mean()
    drawn = (total + _ENOUGH * overall) / (popularity + _ENOUGH)
    drawn[(popularity < _ENOUGH) | (drawn <= overall + 1e-9)] = -1
    order = np.argsort(-drawn, kind="stable")[:_ITEMS]
    chosen = order[drawn[order] >= 0].tolist()
    return tuple(_item(code, float(total[code]), int(marked[code]), int(popularity[code]), names) for code in chosen)


def _item(code: int, total: float, flagged: int, interactions: int, names: Names) -> Item:
    return Item(names.item(code), names.title(code), interactions, total / interactions, flagged)
