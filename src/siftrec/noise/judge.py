"""Judge a log by itself: how much more often than by chance other users had an interaction's item with its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores, calibrate
from siftrec.detectors.slots import others, pieces, replaced

_LENGTH = 20
_DRAWS = 100_000


def judge(log: Sequences, catalog: Catalog, *, detector: Any = None, seed: int = 7, quick: bool = False) -> NoiseScores:
    """Noise scores from co-occurrence, each user's own contribution left out.

    Args:
        log: histories in the codes of `catalog`.
        catalog: the items.
        detector: not used yet.
        seed: of the background.
        quick: a smaller background.
    """
    histories = pieces(log, _LENGTH)
    together = _Together.of(log, len(catalog))
    background = replaced(histories, log.owners, _DRAWS // 5 if quick else _DRAWS, seed)
    drawn = together.scores(background.histories, background.slots)
    there = others(background.histories)[background.slots]
    return calibrate(together.scores(histories), others(histories), log.owners, drawn, there, seed=seed)[0]


@dataclass(frozen=True)
class _Together:
    """How many users had each pair of items: ascending keys of the pairs, and counts."""

    keys: np.ndarray
    counts: np.ndarray
    popularity: np.ndarray
    users: int

    @classmethod
    def of(cls, log: Sequences, size: int) -> _Together:
        had = scipy.sparse.csr_matrix(
            (np.ones(len(log.items), np.float32), (log.owners, log.items)), shape=(len(log), size)
        )
        had.data[:] = 1.0
        pairs = (had.T @ had).tocoo()
        keys = pairs.row.astype(np.int64) * size + pairs.col
        order = np.argsort(keys)
        return cls(keys[order], pairs.data[order], np.asarray(had.sum(axis=0)).ravel(), len(log))

    def scores(self, histories: Sequences, replaced_slots: np.ndarray | None = None) -> np.ndarray:
        """(E,) mean log-ratio of seen to expected co-occurrence with the neighbours; (S,) of the replaced slots only."""
        events = np.arange(len(histories.items)) if replaced_slots is None else replaced_slots
        own = 0.0 if replaced_slots is not None else 1.0
        size, owners = len(self.popularity), histories.owners[events]
        total, count = np.zeros(len(events)), np.zeros(len(events))
        item, longest = histories.items[events].astype(np.int64), int(histories.lengths.max(initial=0))
        for step in range(longest):
            at = np.minimum(histories.offsets[:-1][owners] + step, len(histories.items) - 1)
            other = histories.items[at].astype(np.int64)
            real = (step < histories.lengths[owners]) & (other != item)
            seen = np.maximum(self._count(item * size + other) - own, 0)
            chance = (self.popularity[item] - own) * (self.popularity[other] - 1) / max(self.users - 1, 1)
            total += np.where(real, np.log((seen + 0.5) / (chance + 0.5)), 0)
            count += real
        return total / np.maximum(count, 1)

    def _count(self, keys: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.counts[at], 0.0)
