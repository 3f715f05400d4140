"""What other users have together with an interaction: plain counts, beside what a detector makes of it."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from siftrec.data.keys import distinct_keys
from siftrec.data.sequences import Sequences

FEWEST = 2
"""Users who must have both: one alone is an anecdote."""


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

    def best(self, row: int, code: int) -> tuple[int, int, float] | None:
        """What of the rest of a user's history goes best with one of its items, by what everybody else has.

        Best is the largest n·log(n/e), where n, at least 2, others have both and e < n would by chance: were the other items
        of those who have it drawn by popularity, so that whoever has much has more of everything.

        Args:
            row: of the user.
            code: an item of that user.

        Returns:
            The other item, n and e; None where there is no such item.
        """
        users, others = self._users[code], self._had[row]
        users, others = users[users != row], others[others != code]
        rest = int((self._had.lengths[users] - 1).sum())
        if not rest or not len(others):
            return None
        both = self._had.take(users).counts(self._size)[others]
        everybody = len(self._had.items) - self._had.lengths[row] - len(users)
        chance = rest * (self._users.lengths[others] - 1) / everybody
        clear = np.where(
            (both >= FEWEST) & (both > chance), both * np.log(np.maximum(both, 1) / np.fmax(chance, 1e-12)), 0
        )
        best = int(clear.argmax())
        return (int(others[best]), int(both[best]), float(chance[best])) if clear[best] > 0 else None
