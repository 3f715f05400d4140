"""`cooccurrence`: how much more often than by chance other users had an item together with the rest of its history.

The mean over the rest of log((seen + .5) / (expected + .5)): *seen*, how many other users had both items; *expected*, how
many would if items were had independently. Nothing is trained. Leaving a user out is exact: what they added to any
count is taken away before they are judged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from siftrec.data.sequences import Sequences
from siftrec.detectors.slots import piece_rows, pieces

_LENGTH = 20


@dataclass(frozen=True)
class Cooccurrence:
    """Counts of users.

    Attributes:
        pairs: ascending keys i · N + j of the item pairs that anybody had.
        counts: how many users had each pair.
        popularity: (N,) how many users had each item.
        had: ascending keys user · N + item of what each user had.
        users: U.
    """

    pairs: np.ndarray
    counts: np.ndarray
    popularity: np.ndarray
    had: np.ndarray
    users: int

    @classmethod
    def fit(cls, log: Sequences, size: int) -> Cooccurrence:
        """Count.

        Args:
            log: histories; each row is a user.
            size: N.
        """
        had = np.unique(log.owners * np.int64(size) + log.items)
        user_had = scipy.sparse.csr_matrix((np.ones(len(had), np.int32), np.divmod(had, size)), shape=(len(log), size))
        pairs = (user_had.T @ user_had).tocoo()
        keys = pairs.row * np.int64(size) + pairs.col
        order = np.argsort(keys)
        return cls(keys[order], pairs.data[order], np.bincount(had % size, minlength=size), had, len(log))

    def judge(self, log: Sequences, users: np.ndarray | None = None) -> np.ndarray:
        """(E,) float32 scores, higher = more genuine; 0 where nothing could vouch; long histories in pieces of 20.

        Args:
            log: histories in the codes of the fitted log.
            users: (R,) row of each history's user in the fitted log, to be left out; None = nobody of it.
        """
        histories = pieces(log, _LENGTH)
        owners, size = histories.owners, np.int64(len(self.popularity))
        user = None if users is None else users[piece_rows(log, _LENGTH)][owners].astype(np.int64)
        item = histories.items.astype(np.int64)
        lengths, starts = histories.lengths[owners], histories.offsets[:-1][owners]
        own = np.zeros(len(item), np.int64) if user is None else _in(self.had, user * size + item)
        total, count = np.zeros(len(item)), np.zeros(len(item), np.int64)
        for step in range(int(lengths.max(initial=0))):
            here = np.flatnonzero(step < lengths)
            here = here[item[starts[here] + step] != item[here]]
            other = item[starts[here] + step]
            own_other = own[starts[here] + step]
            total[here] += self._surprise(item[here], other, own[here], own_other, user is not None)
            count[here] += 1
        return np.asarray(total / np.maximum(count, 1), np.float32)

    def _surprise(
        self, item: np.ndarray, other: np.ndarray, own: np.ndarray, own_other: np.ndarray, known: bool
    ) -> np.ndarray:
        """(n,) log-ratio of seen to expected; `own` and `own_other` are what the user to be left out had of them."""
        key = item * np.int64(len(self.popularity)) + other
        at = np.minimum(np.searchsorted(self.pairs, key), len(self.pairs) - 1)
        seen = np.where(self.pairs[at] == key, self.counts[at], 0) - own * own_other
        expected = (self.popularity[item] - own) * (self.popularity[other] - own_other) / max(self.users - known, 1)
        return np.asarray(np.log((seen + 0.5) / (expected + 0.5)))


def _in(ordered: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(n,) int64: 1 where a key is in a sorted array, else 0."""
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.asarray(ordered[at] == keys, np.int64)
