"""From a noise report to what its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.likelihood import Likelihood
from siftrec.noise.measure import LEVELS
from siftrec.report.data import Detection, Estimate, Level, Modalities, NoiseView, Origin, Point
from siftrec.report.marks import Flagged
from siftrec.report.modalities import Covered, Weighing, modalities
from siftrec.report.summary import Names, log_view, summarise

if TYPE_CHECKING:
    from siftrec.report.noise import NoiseReport
    from siftrec.report.subject import Subject


def noise_view(report: NoiseReport, command: str) -> NoiseView:
    """Everything noise.html shows; `command` is what makes the same figures again."""
    from siftrec import __version__

    subject, scores, told = report.subject, report.scores, report.to_json()
    names = Names(subject.split.users, subject.catalog.vocab, report.titles)
    return NoiseView(
        name=report.name,
        level=level(scores),
        summary=summarise(report.log, scores.noise, scores.flagged, scores.evidence, names, planted=report.truth),
        origin=Origin(command, __version__, report.seed),
        detections=(detection(told),) if told["auroc"] is not None else (),
        log=log_view(report.log, names, report.name),
        modalities=_modalities(report, names),
    )


def _modalities(report: NoiseReport, names: Names) -> Modalities | None:
    """What the page says of modalities; None where the method weighs none."""
    if report.modal is None:
        return None
    told = report.to_json().get("modalities", {})
    planted = {name: detection(each) for name, each in told.items() if each["auroc"] is not None}
    return modalities(Weighing(report.log, report.modal, names, report.foreign), _coverage(report.subject), planted)


def _coverage(subject: Subject) -> dict[str, Covered]:
    """How many items have each modality, and how it came."""
    found, items = {}, len(subject.catalog) - 1
    for name, aligned in subject.catalog.modalities.items():
        there = int(aligned.present[1:].sum())
        imputed = int(subject.imputed[name].sum()) if name in subject.imputed else 0
        found[name] = Covered(there - imputed, imputed, items - there)
    return found


def level(scores: NoiseScores) -> Level:
    """How noisy, and how sure."""
    at = tuple((q, int(scores.at(q).sum())) for q in LEVELS)
    flagged = int(scores.flagged.sum())
    how = scores.detector
    chosen = "" if how is None else None if isinstance(how, Likelihood) else type(how).__name__
    upper = Estimate(scores.rho_upper, *scores.rho_interval)
    return Level(upper, scores.q, flagged, scores.mechanism, at, chosen, scores.caveat)


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
        auroc_position=told["auroc_position"],
        auroc_lifetime=told["auroc_lifetime"],
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
