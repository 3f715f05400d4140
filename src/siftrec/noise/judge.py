"""Judge a log by itself: no model trained before, no label, and nobody is judged by a model that has seen them."""

from __future__ import annotations

import numpy as np
import torch

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.content import content_of, units
from siftrec.detectors.likelihood import CrossFitted, Likelihood, OnFold, calibrated

QUICK = Likelihood(folds=2, epochs=3, steps=350, learning_rate=0.01)


def judge(
    log: Sequences,
    catalog: Catalog,
    *,
    detector: Likelihood | None = None,
    q: float = 0.2,
    seed: int = 7,
    quick: bool = False,
    on_fold: OnFold = lambda done, of: None,
) -> NoiseScores:
    """Noise scores of every interaction of a log from the cross-fitted likelihood of the rest of its history.

    Args:
        log: histories in the codes of `catalog`.
        catalog: the items; its content, where it has any, speaks too.
        detector: how the scorer is fitted; None = its defaults.
        q: share of genuine interactions aimed at among the flagged.
        seed: of the scorer and the background.
        quick: fewer folds and epochs; ignored where `detector` is given.
        on_fold: progress.
    """
    how = detector or (QUICK if quick else Likelihood())
    counts_N = torch.from_numpy(log.counts(len(catalog)).astype(np.float32))
    content_NG = units(content_of(catalog, counts_N))
    fitted = CrossFitted(how, len(catalog), content_NG.shape[1]).fit(log, content_NG, seed, on_fold)
    return calibrated(fitted, log, content_NG, q=q, seed=seed)
