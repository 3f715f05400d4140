"""Judge a log by itself: no model trained before, no label, and nobody is judged by a model that has seen them."""

from __future__ import annotations

import numpy as np
import torch

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores, calibrate
from siftrec.detectors.content import content_of, units
from siftrec.detectors.likelihood import CrossFitted, Likelihood, OnFold
from siftrec.detectors.slots import others, pieces, replaced
from siftrec.nn.cloze import LONGEST

QUICK = Likelihood(folds=2, epochs=3)
_DRAWS = 50_000


def judge(
    log: Sequences,
    catalog: Catalog,
    *,
    detector: Likelihood | None = None,
    seed: int = 7,
    quick: bool = False,
    on_fold: OnFold = lambda done, of: None,
) -> NoiseScores:
    """Noise scores of every interaction of a log from the cross-fitted likelihood of the rest of its history.

    Args:
        log: histories in the codes of `catalog`.
        catalog: the items; its content, where it has any, speaks too.
        detector: how the scorer is fitted; None = its defaults.
        seed: of the scorer and the background.
        quick: fewer folds and epochs; ignored where `detector` is given.
        on_fold: progress.
    """
    how = detector or (QUICK if quick else Likelihood())
    counts_N = torch.from_numpy(log.counts(len(catalog)).astype(np.float32))
    content_NG = units(content_of(catalog, counts_N))
    fitted = CrossFitted(how, len(catalog), content_NG.shape[1]).fit(log, content_NG, seed, on_fold)
    return scores_of(fitted, log, content_NG, seed=seed)


def scores_of(
    fitted: CrossFitted, log: Sequences, content_NG: torch.Tensor, *, q: float = 0.2, seed: int = 7
) -> NoiseScores:
    """Calibrated scores of the log that a detector was fitted on."""
    background = replaced(pieces(log, LONGEST), log.owners, _DRAWS, seed)
    drawn = fitted.judge(background.histories, content_NG, background.owners)[background.slots]
    evidence = others(pieces(log, LONGEST))
    score = fitted.judge(log, content_NG, np.arange(len(log)))
    there = others(background.histories)[background.slots]
    return calibrate(score, evidence, log.owners, drawn, there, q=q, seed=seed)[0]
