"""Judge a log by itself: no model trained before, no label, and nobody is judged by a model that has seen them."""

from __future__ import annotations

import typing
from dataclasses import replace

import numpy as np
import torch

from siftrec.data.catalog import Catalog
from siftrec.data.coded import check_coded
from siftrec.data.sequences import Sequences
from siftrec.detectors.blend import Blend, Detector
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.content import content_of, units
from siftrec.detectors.fitted import OnFold, calibrated
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import UsageError
from siftrec.nn.threads import threads

DEFAULT = Likelihood()
QUICK = Likelihood(folds=2, epochs=3, steps=350, learning_rate=0.01)


@threads(1)
def judge(
    log: Sequences,
    catalog: Catalog,
    *,
    detector: Detector | None = None,
    fitted_on: Sequences | None = None,
    q: float = 0.2,
    seed: int = 7,
    quick: bool = False,
    on_fold: OnFold = lambda done, of: None,
) -> NoiseScores:
    """Noise scores of every interaction of a log from how well the rest of its history vouches for it, in one thread.

    Args:
        log: histories in the codes of `catalog`.
        catalog: the items; its content, where it has any, speaks too.
        detector: `Likelihood`, `Cooccurrence`, `Agreement` or `Blend`; None = `Likelihood()`.
        fitted_on: another log in the same codes that the detector learns from; none of its users may be in `log`, for here
            nobody's own part is left out, and with `Cooccurrence` and `Blend` what they did themselves would vouch for
            them. None = `log` itself, of which nobody is judged by what they did themselves.
        q: share of genuine interactions aimed at among the flagged.
        seed: of the detector and the background.
        quick: fewer folds and epochs for the likelihood, whatever `detector` says of them.
        on_fold: progress.

    Raises:
        SettingsError: `Agreement` without content.
        UsageError: a log that is not histories in codes, items that the catalog lacks, or what is no detector.
    """
    if not isinstance(catalog, Catalog):
        raise UsageError(f"catalog: {type(catalog).__name__} is no Catalog; try siftrec.Catalog(events.items)")
    for each in (log,) if fitted_on is None else (log, fitted_on):
        check_coded(each, len(catalog))
    check_detector(detector)
    how, source = detector or DEFAULT, log if fitted_on is None else fitted_on
    how = _quick(how) if quick else how
    counts_N = torch.from_numpy(source.counts(len(catalog)).astype(np.float32))
    content_NG = units(content_of(catalog, counts_N))
    fitted = how.build(len(catalog), content_NG.shape[1]).fit(source, content_NG, seed, on_fold)
    users = np.arange(len(log)) if source is log else None
    return replace(calibrated(fitted, log, content_NG, users, q=q, seed=seed), detector=how)


def _quick(how: Detector) -> Detector:
    """The same with its likelihood fitted as `QUICK` is; the others train nothing."""
    if isinstance(how, Blend):
        return replace(how, likelihood=_quickly(how.likelihood))
    return _quickly(how) if isinstance(how, Likelihood) else how


def _quickly(how: Likelihood) -> Likelihood:
    return replace(how, folds=QUICK.folds, epochs=QUICK.epochs, steps=QUICK.steps, learning_rate=QUICK.learning_rate)


def check_detector(detector: object) -> None:
    """Refuse what is neither the settings of a detector nor None.

    Raises:
        UsageError: naming what there is.
    """
    if detector is None or isinstance(detector, Detector):
        return
    if isinstance(detector, type):
        raise UsageError(f"detector: {detector.__name__} is a class; give its settings, {detector.__name__}()")
    names = ", ".join(f"{each.__name__}()" for each in typing.get_args(Detector))
    told = repr(detector) if isinstance(detector, str) else type(detector).__name__
    raise UsageError(f"detector: {told} is none; give the settings of one: {names}")
