"""From an audit's result to what its page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siftrec.audit.gains import TOGETHER, Gain
from siftrec.audit.verdict import HARM, LEAVE, SHORT, WEIGHT
from siftrec.report.data import Answer, AuditView, Estimate, Log, Origin, Proxy, Suspect, Verdict
from siftrec.report.summary import Names, log_view, summarise
from siftrec.report.view import detection, level

if TYPE_CHECKING:
    from siftrec.audit.result import Audit

_AGAINST = {"raw": "weights against the log as it is", "level": "weights against one mean weight for all"}
_ANSWERS: dict[str, Answer] = {WEIGHT: "weight", LEAVE: "leave", SHORT: "short"}


def audit_view(audit: Audit, command: str) -> AuditView:
    """Everything audit.html shows; `command` is what makes the same figures again."""
    source, scores = audit.source, audit.scores
    names = Names(source.users, source.catalog.vocab, source.titles)
    return AuditView(
        name=source.path.name,
        level=level(scores),
        verdict=_verdict(audit),
        summary=summarise(source.log, scores.noise, scores.flagged, scores.evidence, names),
        origin=Origin(command, audit.version, audit.seed),
        detections=tuple(detection(each.detection) for each in audit.findable if each.detection["auroc"] is not None),
        log=_log(audit, names),
    )


def _verdict(audit: Audit) -> Verdict:
    proxies = tuple(_proxy(gain) for gain in audit.verdict.gains if gain.proxy != TOGETHER)
    why = audit.verdict.sentences.removeprefix(f"{audit.verdict.answer.capitalize()}: ")  # the page has it as headline
    return Verdict(_ANSWERS[audit.verdict.answer], f"{why[0].upper()}{why[1:]}", proxies, HARM)


def _proxy(gain: Gain) -> Proxy:
    without = gain.without or 0.0
    difference = Estimate(gain.relative * without, gain.low * without, gain.high * without)
    return Proxy(
        gain.proxy, gain.metric.replace("ndcg", "NDCG"), gain.users, without, difference, _AGAINST[gain.against]
    )


def _log(audit: Audit, names: Names) -> Log:
    basic, looks = audit.description.basic, audit.description.looks
    time = basic["time"]
    span = f"{time['first'][:10]} to {time['last'][:10]}" if time["kind"] == "clock" else None
    suspects = [
        Suspect(
            str(one.get("user") or one["users"][0]), one["count"], f"{look.kind} ({look.users:,} users): {look.rule}"
        )
        for look in looks
        for one in look.examples
    ]
    notes = [f"{name}: {count:,}" for name, count in basic["notes"].items()]
    return log_view(audit.source.log, names, str(audit.source.path), span=span, suspects=suspects, notes=notes)
