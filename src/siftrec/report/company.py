"""What other users have together with an interaction: plain counts, beside what a detector makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siftrec.data.keys import distinct_keys
from siftrec.data.sequences import Sequences

FEWEST = 2
"""Users who must have both: one alone is an anecdote."""


@dataclass(frozen=True)
class Together:
    """What others have together with an item.

    Attributes:
        lift: how many times as much of the history they have as by chance.
        best: the item for which that is clearest, by the largest n·log(n/e), where n, at least 2, others have both and e
            would by chance; None where no item is above chance.
    """

    lift: float
    best: tuple[int, int, float] | None


class Companies:
    """Who has which item of a log, and what else.

    Args:
        log: U rows, E events; a user who has an item twice has it once here.
        catalog_size: N, the padding included.
    """

    def __init__(self, log: Sequences, catalog_size: int) -> None:
        self._log, self._size = log, catalog_size

    @cached_property
    def _had(self) -> Sequences:
        """The log with every item of a user once."""
        keys = distinct_keys(self._log.owners * self._size + self._log.items)
        return Sequences.from_items(keys % self._size, np.bincount(keys // self._size, minlength=len(self._log)))

    @cached_property
    def _users(self) -> Sequences:
        """Row i: the users who have item i, ascending."""
        order = np.argsort(self._had.items, kind="stable")
        return Sequences.from_items(self._had.owners[order], self._had.counts(self._size))

    def of(self, row: int, code: int) -> Together | None:
        """How much of the rest of a user's history those have who have one of its items.

        By chance each of their other items is drawn by popularity, so whoever has much has more of everything.

        Args:
            row: of the user.
            code: an item of that user.

        Returns:
            None where nobody else has the item, or the user has nothing else that others have.
        """
        users, others = self._users[code], self._had[row]
        users, others = users[users != row], others[others != code]
        rest = int((self._had.lengths[users] - 1).sum())
        chance = rest * (self._users.lengths[others] - 1) / max(1, len(self._had.items) - self._had.lengths[row])
        if not chance.sum():
            return None
        both = self._had.take(users).counts(self._size)[others]
        clear = np.where(
            (both >= FEWEST) & (both > chance), both * np.log(np.maximum(both, 1) / np.fmax(chance, 1e-12)), 0
        )
        best = int(clear.argmax())
        known = (int(others[best]), int(both[best]), float(chance[best])) if clear[best] > 0 else None
        return Together(float(both.sum() / chance.sum()), known)
