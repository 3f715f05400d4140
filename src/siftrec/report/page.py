"""The two pages, each one self-contained HTML file: no request, no script, text of the log never as markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import jinja2
from markupsafe import Markup

from siftrec.report import charts, words
from siftrec.report.charts import Scale
from siftrec.report.data import AuditView, Detection, Estimate, NoiseView, Proxy, Summary
from siftrec.report.marks import Flagged
from siftrec.report.palette import DARK, LIGHT, PARTS, variables

ANSWERS = {
    "weight": "Weight it.",
    "leave": "No detectable benefit: leave it alone.",
    "short": "Too short to tell.",
}
GENERATOR = "siftrec"
"""What a page says that it was made by."""
_UNIT = Scale.over([0, 1], ticks=2)


def noise_page(view: NoiseView) -> str:
    """The page of `siftrec noise`, to be written as UTF-8."""
    lengths = view.log.lengths if view.log else ()
    return _render("noise.html", view, view.detections, lengths_scale=Scale.over([each.count for each in lengths]))


def audit_page(view: AuditView) -> str:
    """The page of `siftrec audit`, to be written as UTF-8."""
    lengths = Scale.over([each.count for each in view.log.lengths])
    forest = Forest.of(view.verdict.proxies, view.verdict.margin)
    return _render("audit.html", view, view.detections, lengths_scale=lengths, forest=forest, answers=ANSWERS)


@dataclass(frozen=True)
class Forest:
    """Proxies with their difference as a share of the figure without weights; None where that is 0."""

    rows: tuple[tuple[Proxy, Estimate | None], ...]
    scale: Scale

    @classmethod
    def of(cls, proxies: Sequence[Proxy], margin: float | None) -> Forest:
        """Rows and the scale they share."""
        rows = tuple((proxy, _relative(proxy)) for proxy in proxies)
        ends = [end for _, each in rows if each for end in (each.value, each.low, each.high)]
        return cls(rows, Scale.over(ends, include=(0.0, margin or 0.01, -(margin or 0.01))))


def _relative(proxy: Proxy) -> Estimate | None:
    if not words.known(proxy.without) or proxy.without <= 0:
        return None
    low, high = (None if end is None else end / proxy.without for end in (proxy.difference.low, proxy.difference.high))
    return Estimate(proxy.difference.value / proxy.without, low, high)


def _render(template: str, view: AuditView | NoiseView, detections: Sequence[Detection], **values: object) -> str:
    environment = _environment()
    style = environment.get_template("style.css").render(light=variables(LIGHT), dark=variables(DARK))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(
        view=view,
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=f"sha256-{digest}",
        aurocs=_auroc_scale(detections),
        noise_scale=_noise_scale(view.summary),
        unit=_UNIT,
        generator=GENERATOR,
        **values,
    )


def _auroc_scale(detections: Sequence[Detection]) -> Scale:
    found = [each.auroc for each in detections] + [auroc for each in detections for _, auroc in each.by_length]
    found += [each.auroc_popularity for each in detections if each.auroc_popularity]
    return Scale.over([end for each in found for end in (each.value, each.low, each.high)], include=(0.5, 1.0))


def _noise_scale(summary: Summary) -> Scale:
    groups = (*summary.by_popularity, *summary.by_position, *summary.by_length)
    return Scale.over([group.noise for group in groups], ticks=2)


def _first(detections: Sequence[Detection], mechanism: str) -> Detection | None:
    """Noise as it was calibrated on, else the kind that is found worst: not the kindest; None where none was planted."""
    known = [each for each in detections if words.known(each.auroc.value)]
    return min(known, key=lambda each: (each.mechanism != mechanism, each.auroc.value), default=None)


def _levels(detections: Sequence[Detection]) -> list[float]:
    return sorted({at.q for each in detections for at in each.flagged})


def _by_level(flagged: Sequence[Flagged]) -> dict[float, Flagged]:
    return {at.q: at for at in flagged}


def _measured(detections: Sequence[Detection]) -> list[Detection]:
    """Those with a figure beside the AUROC."""
    return [each for each in detections if each.flagged or each.auprc is not None or each.brier is not None]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("siftrec", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named = (
        words.plain,
        words.count,
        words.counted,
        words.own,
        words.percent,
        words.decimal,
        words.exactly,
        words.between,
    )
    environment.filters.update({each.__name__: each for each in (*named, words.judged, words.vouched, words.weighed)})
    environment.filters.update({"first_of": _first, "levels": _levels, "measured": _measured, "by_level": _by_level})
    drawn = (
        charts.bar,
        charts.stack,
        charts.interval,
        charts.ruler,
        charts.strip,
        charts.histogram,
        charts.reliability,
    )
    environment.globals.update({each.__name__: each for each in (*drawn, charts.concentration)})
    environment.globals |= {"mechanisms": words.MECHANISMS, "detectors": words.DETECTORS, "parts_drawn": PARTS}
    return environment
