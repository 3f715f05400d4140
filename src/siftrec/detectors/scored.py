"""Scores of any make become noise probabilities: what is compared is the same score of background items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import Calibration, NoiseScores, calibrate
from siftrec.detectors.fitted import DRAWS, LENGTH
from siftrec.detectors.slots import others, piece_rows, pieces, replaced
from siftrec.errors import UsageError

Score = Callable[[Sequences, np.ndarray], np.ndarray]
"""Given R histories with E events and (R,) the row of the log that each is of: (E,) scores, see `noise_scores`."""


def noise_scores(score: Score, log: Sequences, *, q: float = 0.2, seed: int = 7) -> NoiseScores:
    """Noise probabilities of every event of a log by a score of one's own, calibrated as those of every detector here.

    Args:
        score: how well the rest of its history vouches for each event, higher = more genuine, nan = nothing can. It is asked
            about the log, its histories cut into about equal ones of at most 20 events, and about some of these with one
            item replaced by a popularity-drawn one: `score(histories, users)` gets histories with E events and (R,) the row
            of `log` that each is of, by which to leave out what the user did, and gives (E,) numbers.
        log: histories in the codes of a catalog.
        q: share of genuine interactions aimed at among the flagged.
        seed: of the draws.

    Raises:
        UsageError: scores that are not one number per event.
    """
    return scored(score, log, q=q, seed=seed)[0]


def scored(score: Score, log: Sequences, *, q: float, seed: int) -> tuple[NoiseScores, Calibration]:
    """As `noise_scores`, with the map from scores to noise for histories of other logs."""
    histories = pieces(log, LENGTH)
    background = replaced(histories, log.owners, DRAWS, seed)
    found, evidence = _asked(score, histories, piece_rows(log, LENGTH))
    drawn, there = (each[background.slots] for each in _asked(score, background.histories, background.owners))
    return calibrate(found, evidence, log.owners, drawn, there, q=q, seed=seed)


def _asked(score: Score, histories: Sequences, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E,) scores and (E,) how many other interactions vouch."""
    found = np.asarray(score(histories, users))
    if found.shape != histories.items.shape:
        raise UsageError(f"score: gives {found.shape} numbers of {len(histories.items):,} events; give one for each")
    return found, np.where(np.isnan(found), 0, others(histories))
