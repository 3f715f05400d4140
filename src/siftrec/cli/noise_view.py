"""From noise scores and detection.json to what a page shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from siftrec.config import Prepared
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.likelihood import Likelihood
from siftrec.noise.measure import LEVELS
from siftrec.noise.modal import Modal
from siftrec.report.data import Detection, Estimate, Level, Modalities, NoiseView, Origin, Point
from siftrec.report.marks import Flagged
from siftrec.report.modalities import Covered, Weighing, modalities
from siftrec.report.summary import Names, log_view, summarise

Called = tuple[pl.Series, Vocab, Mapping[str, str]]


def view(
    name: str,
    log: Sequences,
    scores: NoiseScores,
    called: Called,
    origin: Origin,
    report: Mapping[str, Any] | None = None,
    truth: np.ndarray | None = None,
    weighed: Modalities | None = None,
) -> NoiseView:
    """Everything noise.html shows.

    Args:
        name: of the run.
        log: the judged events.
        scores: of them.
        called: raw user ids, item vocabulary, titles by item id.
        origin: how the page came to be.
        report: content of detection.json, where the truth is known.
        truth: (E,) bool, likewise.
        weighed: modalities, where the method weighs them.
    """
    names = Names(*called)
    planted = (detection(report),) if report is not None and report.get("auroc") is not None else ()
    return NoiseView(
        name=name,
        level=level(scores),
        summary=summarise(log, scores.noise, scores.flagged, scores.evidence, names, planted=truth),
        origin=origin,
        detections=planted,
        log=log_view(log, names, name),
        modalities=weighed,
    )


def modal_view(
    log: Sequences,
    found: Modal,
    called: Called,
    prepared: Prepared,
    report: Mapping[str, Any] | None,
    foreign: np.ndarray | None,
) -> Modalities:
    """What the page says of modalities.

    Args:
        log: the judged events.
        found: what is believed of their modalities.
        called: raw user ids, item vocabulary, titles by item id.
        prepared: the run's data.
        report: content of detection.json, where the truth is known.
        foreign: (E, M) bool, the truth of planted foreign content.
    """
    coverage = {}
    for name, aligned in prepared.catalog.modalities.items():
        there, imputed = int(aligned.present[1:].sum()), int(prepared.imputed[name].sum())
        coverage[name] = Covered(there - imputed, imputed, len(prepared.catalog) - 1 - there)
    told = (report or {}).get("modalities", {})
    planted = {name: detection(each) for name, each in told.items() if each["auroc"] is not None}
    return modalities(Weighing(log, found, Names(*called), foreign), coverage, planted)


def level(scores: NoiseScores) -> Level:
    """How noisy, and how sure."""
    at = tuple((q, int(scores.at(q).sum())) for q in LEVELS)
    flagged = int(scores.flagged.sum())
    how = scores.detector
    chosen = None if how is None or isinstance(how, Likelihood) else type(how).__name__
    return Level(Estimate(scores.rho_upper, *scores.rho_interval), scores.q, flagged, scores.mechanism, at, chosen)


def detection(told: Mapping[str, Any]) -> Detection:
    """What a page shows of detection.json."""
    control = told["auroc_popularity"]
    curve = (
        Point(each["predicted"], Estimate(each["observed"], *each["interval"]), each["count"])
        for each in told["reliability"]
    )
    known = ((name, each) for name, each in told["by_history_length"].items() if each["auroc"] is not None)
    return Detection(
        mechanism=told["mechanism"],
        rho=told["rho"],
        auroc=Estimate(told["auroc"], *told["auroc_interval"]),
        auroc_popularity=None if control is None else Estimate(control),
        auprc=told["auprc"],
        brier=told["brier"],
        flagged=tuple(
            Flagged(float(q), found, told["fdr_reached"][q])
            for q, found in told["recall_at_fdr"].items()
            if found is not None
        ),
        reliability=tuple(curve),
        by_length=tuple((name, Estimate(each["auroc"], *each["auroc_interval"])) for name, each in known),
    )
