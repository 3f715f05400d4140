"""What a judgement is worth: the weights of a log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores


def weights_of(log: Sequences, scores: NoiseScores) -> np.ndarray:
    """(E,) float32: what each event is worth after judging, times the weight the log gave it already."""
    return scores.weight if log.weights is None else scores.weight * log.weights


def weighted(log: Sequences, weights: np.ndarray) -> Sequences:
    """The log with these weights instead of its own; `weights` is (E,)."""
    return replace(log, weights=weights.astype(np.float32))
