"""Judge a log by itself: no model trained before, no label, and nobody is judged by a model that has seen them."""

from __future__ import annotations

import typing
from dataclasses import replace
from functools import partial
from typing import Protocol

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


class Judge(Protocol):
    """A detector of one's own: scores the events of a log for noise, from that log alone."""

    def __call__(self, log: Sequences, catalog: Catalog, *, seed: int, quick: bool, on_fold: OnFold) -> NoiseScores:
        """Noise scores aligned with the events of `log`, e.g. by `siftrec.noise_scores`; what is flagged is made anew.

        Args:
            log: histories in the codes of `catalog`: what is to be judged, the training interactions alone where
                `part="train"` was asked for.
            catalog: the items and their content.
            seed: of everything random.
            quick: whether to take less time, as in a quick audit.
            on_fold: progress, to be called with the parts done and their number, or not at all.
        """
        ...


@threads(1)
def judge(
    log: Sequences,
    catalog: Catalog,
    *,
    detector: Detector | Judge | None = None,
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
        detector: `Likelihood`, `Cooccurrence`, `Agreement` or `Blend`; None = `Likelihood()`; or one of your own, a function
            as `siftrec.noise.judge.Judge` describes it.
        fitted_on: another log in the same codes that the detector learns from; none of its users may be in `log`, for here
            nobody's own part is left out, and with `Cooccurrence` and `Blend` what they did themselves would vouch for
            them. None = `log` itself, of which nobody is judged by what they did themselves. Not with one of your own.
        q: share of genuine interactions aimed at among the flagged.
        seed: of the detector and the background.
        quick: fewer folds and epochs for the likelihood, whatever `detector` says of them.
        on_fold: progress.

    Raises:
        SettingsError: `Agreement` without content.
        UsageError: a log that is not histories in codes, items that the catalog lacks, what is no detector, or one of your
            own that does not give probabilities of every event.
    """
    if not isinstance(catalog, Catalog):
        raise UsageError(f"catalog: {type(catalog).__name__} is no Catalog; try siftrec.Catalog(events.items)")
    for each in (log,) if fitted_on is None else (log, fitted_on):
        check_coded(each, len(catalog))
    check_detector(detector)
    if callable(detector):
        if fitted_on is not None:
            raise UsageError("fitted_on: a detector of your own learns from the log that it judges; leave it out")
        return _checked(detector(log, catalog, seed=seed, quick=quick, on_fold=on_fold), detector, log, q)
    how, source = detector or DEFAULT, log if fitted_on is None else fitted_on
    how = _quick(how) if quick else how
    counts_N = torch.from_numpy(source.counts(len(catalog)).astype(np.float32))
    content_NG = units(content_of(catalog, counts_N))
    fitted = how.build(len(catalog), content_NG.shape[1]).fit(source, content_NG, seed, on_fold)
    users = np.arange(len(log)) if source is log else None
    return replace(calibrated(fitted, log, content_NG, users, q=q, seed=seed), detector=how)


def judge_by(detector: Detector | Judge | None) -> Judge:
    """`judge` by this detector, None = the default one.

    Raises:
        UsageError: what is no detector.
    """
    check_detector(detector)
    return partial(judge, detector=detector)


def _checked(scores: NoiseScores, how: Judge, log: Sequences, q: float) -> NoiseScores:
    """What a detector of one's own gives, its flags at `q`."""
    name, size = getattr(how, "__name__", type(how).__name__), len(log.items)
    if not isinstance(scores, NoiseScores):
        problem = (
            f"gives {type(scores).__name__}, not NoiseScores; siftrec.noise_scores(score, log) makes them of scores"
        )
        raise UsageError(f"detector: {name} {problem}")
    noise, evidence = np.asarray(scores.noise, np.float32), np.asarray(scores.evidence, np.int32)
    if not noise.shape == evidence.shape == np.shape(scores.score) == (size,):
        problem = f"noise {noise.shape}, evidence {evidence.shape} and score {np.shape(scores.score)}"
        raise UsageError(f"detector: {name} gives {problem} of {size:,} events; give one of each for every event")
    if not ((noise >= 0) & (noise <= 1)).all():
        raise UsageError(f"detector: {name} gives noise that is no probability from 0 to 1; see siftrec.noise_scores")
    scores = replace(scores, noise=noise, evidence=evidence, q=q)
    return replace(scores, flagged=scores.at(q))


def _quick(how: Detector) -> Detector:
    """The same with its likelihood fitted as `QUICK` is; the others train nothing."""
    if isinstance(how, Blend):
        return replace(how, likelihood=_quickly(how.likelihood))
    return _quickly(how) if isinstance(how, Likelihood) else how


def _quickly(how: Likelihood) -> Likelihood:
    return replace(how, folds=QUICK.folds, epochs=QUICK.epochs, steps=QUICK.steps, learning_rate=QUICK.learning_rate)


def check_detector(detector: object) -> None:
    """Refuse what is neither the settings of a detector, nor one of the user's own, nor None.

    Raises:
        UsageError: naming what there is.
    """
    if isinstance(detector, type):
        raise UsageError(f"detector: {detector.__name__} is a class; give its settings, {detector.__name__}()")
    if detector is None or isinstance(detector, Detector) or callable(detector):
        return
    names = ", ".join(f"{each.__name__}()" for each in typing.get_args(Detector))
    told = repr(detector) if isinstance(detector, str) else type(detector).__name__
    raise UsageError(f"detector: {told} is none; give the settings of one: {names}; or a function of your own")
