"""Judges for tests: one that knows the truth, one that knows nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores
from siftrec.synthetic import Planted


def scores_of(noise: np.ndarray, q: float = 0.2) -> NoiseScores:
    """What a judge gives, made of probabilities alone."""
    noise = noise.astype(np.float32)
    flagged = noise > 0.5
    evidence = np.full(len(noise), 5, np.int32)
    share = float(noise.mean())
    return NoiseScores(noise, flagged, evidence, 1 - noise, share, (share, share), q, "replace")


@dataclass(frozen=True)
class Oracle:
    """Knows which source rows are noise, and sees every event that is not what its row holds.

    Attributes:
        items: (rows,) item code of each source row.
        noisy: (rows,) the truth.
        seen: fingerprints of the logs it was shown.
    """

    items: np.ndarray
    noisy: np.ndarray
    seen: list[Sequences]

    def __call__(self, log: Sequences, catalog: Catalog, **named: object) -> NoiseScores:
        self.seen.append(log)
        planted = (log.rows < 0) | (log.items != self.items[log.rows])
        return scores_of(np.where(planted | self.noisy[log.rows], 0.95, 0.05))


def dice(log: Sequences, catalog: Catalog, *, seed: int, **named: object) -> NoiseScores:
    """A judge that knows nothing."""
    return scores_of(seeds.rng(seed, "dice").random(len(log.items)))


@dataclass(frozen=True)
class OnDisk:
    """A planted log, its file, and its oracle."""

    planted: Planted
    path: Path
    oracle: Oracle
