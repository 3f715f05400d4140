"""Planted noise: a split whose train and validation interactions are corrupted, with the truth beside it.

What is corrupted: training targets, validation targets, and every history, those of the test questions included, for
histories are made of train and validation interactions. What is not: test targets, and the items that filtered ranking
leaves out, which come from the original log. Whatever is planted is new to the user's train and validation items and
distinct within the user, and drawn from train and validation interactions alone: the test part has no influence on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import polars as pl
from pydantic import Field

from siftrec import seeds
from siftrec.data.draws import Propose, draw
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, Split
from siftrec.errors import UsageError
from siftrec.settings import Count, settings

Mechanism = Literal["replace", "insert", "swap", "autoplay"]
Share = Annotated[float, Field(ge=0, le=0.9)]
_NEIGHBOURS = np.array([-2, -1, 1, 2])


@dataclass(frozen=True, eq=False)
class Injected:
    """A corrupted split and the truth about it.

    Attributes:
        split: the same questions over the corrupted log.
        noisy: (E,) bool over `split.log`'s events: True = planted.
        mechanism: how.
    """

    split: Split
    noisy: np.ndarray
    mechanism: Mechanism

    def __repr__(self) -> str:
        planted = f"{int(self.noisy.sum()):,} of {len(self.noisy):,} interactions planted"
        return f"Injected({self.mechanism}: {planted}, {self.split!r})"

    @property
    def taken_later(self) -> int:
        """How many planted interactions are with an item that the same user has in the test part.

        Nothing planted looks at the test part, so some are in dense logs: to a model they look like a hint at the answer.
        """
        split = self.split
        keys = split.log.owners * np.int64(len(split.items)) + split.log.items
        return int(np.isin(keys[self.noisy], keys[split.role == TEST]).sum())

    def truth(self) -> pl.DataFrame:
        """One row per planted interaction: `row` in the source (-1 = added), raw `user`, raw `item`, `mechanism`."""
        log = self.split.log
        return pl.DataFrame(
            {
                "row": log.rows[self.noisy],
                "user": self.split.users.gather(log.owners[self.noisy]),
                "item": self.split.items.decode(log.items[self.noisy]),
                "mechanism": pl.Series([self.mechanism], dtype=pl.String).new_from_index(0, int(self.noisy.sum())),
            }
        )


@settings
class Inject:
    """The `[data.inject]` table.

    Attributes:
        mechanism: `replace`: the item gives way to a popularity-drawn one. `insert`: popularity-drawn interactions are
            added and nothing is lost. `swap`: another user's item at the same position. `autoplay`: an item that
            someone else had within two steps of the previous item; a user's first interaction has none and stays.
        rho: share of noise among the train and validation interactions of the corrupted log. Each is replaced with
            this probability, independently; with `insert`, their number is what makes this share the expected one.
        seed: of the noise; None = the experiment's.
    """

    mechanism: Mechanism = "replace"
    rho: Share = 0.3
    seed: Count | None = None

    def __call__(self, split: Split, seed: int) -> Injected:
        """Corrupt a split; `seed` is the experiment's.

        Raises:
            UsageError: it is no split, or holds foreign content, which what is planted now would inherit.
        """
        check_split(split)
        if split.log.shown is not None:
            raise UsageError(
                "plant interactions first and foreign content after: this split has foreign content already"
            )
        rng = seeds.rng(seed if self.seed is None else self.seed, "inject", self.mechanism)
        if self.mechanism == "insert":
            return _insert(split, self.rho, rng)
        propose = {"replace": _popular, "swap": _same_position, "autoplay": _neighbour}[self.mechanism]
        return _replace(split, self.rho, rng, propose, self.mechanism)


def inject(split: Split, mechanism: Mechanism = "replace", rho: float = 0.3, seed: int = 7) -> Injected:
    """Plant noise in the train and validation interactions of a split: `Inject(...)(split, seed)`."""
    return Inject(mechanism=mechanism, rho=rho)(split, seed)


def check_split(split: object) -> None:
    """Refuse to plant noise into anything but a split of interactions.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(split, Split):
        problem = "is no Split, and noise is planted in one; try siftrec.leave_one_out(events)"
        raise UsageError(f"split: {type(split).__name__} {problem}")


Source = Callable[[Split, np.ndarray, np.random.Generator], Propose]
"""From a split and the events to be replaced, what proposes their substitutes."""


def _replace(split: Split, rho: float, rng: np.random.Generator, source: Source, mechanism: Mechanism) -> Injected:
    log = split.log
    chosen = np.flatnonzero((split.role < TEST) & (rng.random(len(log.items)) < rho))
    drawn = draw(source(split, chosen, rng), log.owners[chosen], _own(split), len(split.items))
    chosen, drawn = chosen[drawn > 0], drawn[drawn > 0]
    items = log.items.copy()
    items[chosen] = drawn
    noisy = np.zeros(len(items), bool)
    noisy[chosen] = True
    return Injected(split.with_noise(replace(log, items=items), split.role), noisy, mechanism)


def _insert(split: Split, rho: float, rng: np.random.Generator) -> Injected:
    """Add to a user of n interactions NegBin(n, 1 - rho) ones, n · rho / (1 - rho) on average, each at a random gap.

    An added interaction has the role and the time of the one it follows; at the very start, of the first.
    """
    log = split.log
    lengths = np.bincount(log.owners[split.role < TEST], minlength=len(log))
    users = np.flatnonzero(lengths)
    added = rng.negative_binomial(lengths[users], 1 - rho) if rho > 0 else np.zeros(len(users), np.int64)
    owners = np.repeat(users, added)
    gap = rng.integers(0, lengths[owners] + 1)
    drawn = draw(_popular(split, owners, rng), owners, _own(split), len(split.items))
    owners, gap, drawn = owners[drawn > 0], gap[drawn > 0], drawn[drawn > 0]
    follows = log.offsets[owners] + np.maximum(gap - 1, 0)
    source = np.concatenate([np.arange(len(log.items)), follows])
    new = np.arange(len(source)) >= len(log.items)
    place = np.concatenate([np.arange(len(log.items)) + 0.5, log.offsets[owners] + gap])
    order = np.argsort(place, kind="stable")
    source, new = source[order], new[order]
    items = np.concatenate([log.items, drawn])[order]
    offsets = log.offsets + np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(log)))])
    weights = None if log.weights is None else np.where(new, np.float32(1), log.weights[source])
    corrupted = Sequences(items, offsets, log.times[source], np.where(new, -1, log.rows[source]), weights)
    return Injected(split.with_noise(corrupted, split.role[source]), new, "insert")


def _own(split: Split) -> np.ndarray:
    """Keys of what each user has in train and validation; the test items stay unknown here."""
    known = split.role < TEST
    return np.asarray(split.log.owners[known] * np.int64(len(split.items)) + split.log.items[known])


def _popular(split: Split, events: np.ndarray, rng: np.random.Generator) -> Propose:
    """The item of a random training interaction: a draw by training popularity."""
    pool = split.log.items[split.role == TRAIN]
    return lambda slots: np.asarray(pool[rng.integers(0, len(pool), len(slots))])


def _same_position(split: Split, events: np.ndarray, rng: np.random.Generator) -> Propose:
    """The item at the same position of a random user who is that far."""
    log = split.log
    position = np.arange(len(log.items)) - log.offsets[:-1][log.owners]
    known = np.flatnonzero(split.role < TEST)
    pool = known[np.argsort(position[known], kind="stable")]
    ends = np.cumsum(np.bincount(position[known]))
    starts = np.concatenate([[0], ends])

    def propose(slots: np.ndarray) -> np.ndarray:
        at = position[events[slots]]
        return np.asarray(log.items[pool[rng.integers(starts[at], ends[at])]])

    return propose


def _neighbour(split: Split, events: np.ndarray, rng: np.random.Generator) -> Propose:
    """An item within two steps of a random training occurrence of the item before the event."""
    log = split.log
    train = np.flatnonzero(split.role == TRAIN)
    pool = train[np.argsort(log.items[train], kind="stable")]
    ends = np.cumsum(np.bincount(log.items[train], minlength=len(split.items)))
    starts = np.concatenate([[0], ends[:-1]])
    owners, last = log.owners, len(log.items) - 1

    def propose(slots: np.ndarray) -> np.ndarray:
        before = np.maximum(events[slots] - 1, 0)
        previous = log.items[before]
        has_previous = (events[slots] > 0) & (owners[before] == owners[events[slots]])
        occurs = has_previous & (ends[previous] > starts[previous])
        low = np.where(occurs, starts[previous], 0)
        there = pool[rng.integers(low, np.where(occurs, ends[previous], 1))]
        near = there + rng.choice(_NEIGHBOURS, len(slots))
        inside = (near >= 0) & (near <= last)
        near = np.clip(near, 0, last)
        usable = occurs & inside & (owners[near] == owners[there]) & (split.role[near] == TRAIN)
        return np.where(usable, log.items[near], 0)

    return propose
