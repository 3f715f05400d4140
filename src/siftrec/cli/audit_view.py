"""From an audit's result to what its page shows."""

from __future__ import annotations

from typing import Any

from siftrec.audit import Audit
from siftrec.audit.gains import TOGETHER, Gain
from siftrec.audit.planting import Findable
from siftrec.audit.result import LEVELS
from siftrec.audit.verdict import HARM, LEAVE, SHORT, WEIGHT
from siftrec.report.data import (
    Answer,
    AuditView,
    Detection,
    Estimate,
    Level,
    Log,
    Origin,
    Point,
    Proxy,
    Suspect,
    Verdict,
)
from siftrec.report.summary import Names, log_view, summarise

_ANSWERS: dict[str, Answer] = {WEIGHT: "weight", LEAVE: "leave", SHORT: "short"}


def view(audit: Audit, command: str) -> AuditView:
    """Everything audit.html shows; `command` makes it again."""
    source, scores = audit.source, audit.scores
    names = Names(source.users, source.catalog.vocab, source.titles)
    levels = tuple((q, int(scores.at(q).sum())) for q in LEVELS)
    upper = Estimate(scores.rho_upper, *scores.rho_interval)
    return AuditView(
        name=source.path.name,
        level=Level(upper, scores.q, int(scores.flagged.sum()), scores.mechanism, levels),
        verdict=_verdict(audit),
        summary=summarise(source.log, scores.noise, scores.flagged, scores.evidence, names),
        origin=Origin(command, audit.version, audit.seed),
        detections=tuple(_detection(each) for each in audit.findable if each.detection["auroc"] is not None),
        log=_log(audit, names),
    )


def _verdict(audit: Audit) -> Verdict:
    proxies = tuple(_proxy(gain) for gain in audit.verdict.gains if gain.proxy != TOGETHER)
    return Verdict(_ANSWERS[audit.verdict.answer], audit.verdict.sentences, proxies, HARM)


def _proxy(gain: Gain) -> Proxy:
    without = gain.without or 0.0
    difference = Estimate(gain.relative * without, gain.low * without, gain.high * without)
    return Proxy(gain.proxy, gain.metric.replace("ndcg", "NDCG"), gain.users, without, difference)


def _detection(found: Findable) -> Detection:
    told = found.detection
    control = told["auroc_popularity"]
    recall = ((float(q), each) for q, each in told["recall_at_fdr"].items() if each is not None)
    return Detection(
        mechanism=found.mechanism,
        rho=found.planted / found.interactions,
        auroc=Estimate(told["auroc"], *told["auroc_interval"]),
        auroc_popularity=None if control is None else Estimate(control),
        auprc=told["auprc"],
        brier=told["brier"],
        recall=tuple(recall),
        reliability=tuple(_points(told["reliability"])),
        by_length=tuple(_lengths(told["by_history_length"])),
    )


def _points(curve: list[dict[str, Any]]) -> list[Point]:
    return [Point(each["predicted"], Estimate(each["observed"]), each["count"]) for each in curve]


def _lengths(slices: dict[str, dict[str, Any]]) -> list[tuple[str, Estimate]]:
    known = ((name, each) for name, each in slices.items() if each["auroc"] is not None)
    return [(name, Estimate(each["auroc"], *each["auroc_interval"])) for name, each in known]


def _log(audit: Audit, names: Names) -> Log:
    basic, looks = audit.description.basic, audit.description.looks
    time = basic["time"]
    span = f"{time['first'][:10]} to {time['last'][:10]}" if time["kind"] == "clock" else None
    suspects = [
        Suspect(str(one.get("user") or one["users"][0]), one["count"], f"{look.kind}: {look.rule}")
        for look in looks
        for one in look.examples
    ]
    notes = [f"{name}: {count:,}" for name, count in basic["notes"].items()]
    return log_view(audit.source.log, names, str(audit.source.path), span=span, suspects=suspects, notes=notes)
