"""What a trained CCL4Rec believes of any log's interactions, of users it was trained on or not."""

from __future__ import annotations

import numpy as np

from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import Calibration, NoiseScores
from siftrec.detectors.scored import scored
from siftrec.errors import UsageError
from siftrec.methods.ccl4rec import CCL4Rec, importance_of
from siftrec.methods.trained import Trained


def judged_by(trained: Trained, log: Sequences, *, q: float = 0.2, seed: int = 7) -> tuple[NoiseScores, Calibration]:
    """Noise scores from how well the rest of its history vouches for each interaction, in the model's own geometry.

    Of users it was trained on it remembers what they did, so their share of noise may lie above `rho_upper`.

    Args:
        trained: a trained CCL4Rec.
        log: histories in the codes of `trained.items`.
        q: for `NoiseScores.flagged`.
        seed: of the background.

    Returns:
        The scores, aligned with the events of `log`, and the map for histories of other logs.

    Raises:
        UsageError: another method, which has no opinion of single interactions.
    """
    if not isinstance(trained.method, CCL4Rec):
        name = type(trained.method).__name__
        raise UsageError(
            f"{name} has no opinion of single interactions; train CCL4Rec, or use siftrec.noise.judge.judge"
        )

    def score(histories: Sequences, users: np.ndarray) -> np.ndarray:
        importance = importance_of(trained, histories)
        return np.where(importance == 0, np.nan, importance)  # exactly 0: nothing could vouch

    return scored(score, log, q=q, seed=seed)
