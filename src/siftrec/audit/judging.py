"""What the audit needs of a scorer, so that any can be put in its place."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.blend import Detector
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.fitted import OnFold


class Judge(Protocol):
    """Scores the events of a log for noise, from that log alone."""

    def __call__(self, log: Sequences, catalog: Catalog, *, seed: int, quick: bool, on_fold: OnFold) -> NoiseScores:
        """Noise scores aligned with the events of `log`; `on_fold` is called with the parts done and their number."""
        ...


def judge_by(detector: Detector | Judge | None) -> Judge:
    """A detector of the library as a judge, None = the default one; what judges already stays what it is.

    Raises:
        UsageError: neither.
    """
    from siftrec.noise.judge import check_detector, judge

    if isinstance(detector, type) or not callable(detector):
        check_detector(detector)
        return partial(judge, detector=detector)
    return detector


def weights_of(log: Sequences, scores: NoiseScores) -> np.ndarray:
    """(E,) float32: what each event is worth after judging, times the weight the log gave it already."""
    return scores.weight if log.weights is None else scores.weight * log.weights


def weighted(log: Sequences, weights: np.ndarray) -> Sequences:
    """The log with these weights instead of its own; `weights` is (E,)."""
    return replace(log, weights=weights.astype(np.float32))
