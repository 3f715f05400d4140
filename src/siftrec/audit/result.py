"""An audit's result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from siftrec.audit.cut import Cut
from siftrec.audit.describe import Description
from siftrec.audit.planting import Findable
from siftrec.audit.source import Source
from siftrec.audit.verdict import Verdict
from siftrec.audit.view import audit_view
from siftrec.detectors.calibrate import NoiseScores
from siftrec.noise.measure import LEVELS, settings_told, short_told
from siftrec.report.page import audit_page


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found.

    Attributes:
        source: what was audited.
        quick: whether with `--quick`.
        seed: of everything.
        version: of siftrec.
        seconds: it took.
        description: the log in numbers.
        scores: of every event of `source.log`.
        findable: what could be found here at all; empty where the log cannot be cut.
        cut: earlier part and holdout; None where the log is too short for both.
        verdict: what to do.
    """

    source: Source
    quick: bool
    seed: int
    version: str
    seconds: float
    description: Description
    scores: NoiseScores
    findable: tuple[Findable, ...]
    cut: Cut | None
    verdict: Verdict

    def __str__(self) -> str:
        return f"{self.source.path}: {self.verdict.sentences}"

    def __repr__(self) -> str:
        return f"Audit({self})"

    def page(self, command: str = "siftrec.audit(...)") -> str:
        """The page as one self-contained HTML file, see `siftrec.html`; `command` is what makes the same figures again."""
        return audit_page(audit_view(self, command))

    def to_json(self) -> dict[str, Any]:
        """audit.json.

        schema       1
        source, version, seed, quick, seconds
        log          description: see `siftrec.data.describe`; `popularity`, `repeats`, and `looks`, users worth a look
        modalities   name → `width`, `coverage`
        noise        `mechanism` of the calibration, `detector`: its settings, null of a judge of one's own,
                     `rho_upper` and its `rho_interval`, `rho_short`: `others, rho_upper, rho_interval` of interactions
                     with fewer others, null where `rho_upper` is of all, `q`, `flagged` interactions, `flagged_at` q →
                     interactions, `mean` noise probability
        findable     per mechanism: `mechanism, rho, users, interactions, planted, detection`
        holdout      `protocol`, `users` asked, `why`; null where the log is too short
        verdict      `answer`, `sentences`, `users`, `gains`: per proxy and for all together, relative to training
                     `against` `raw`, the log as it is, or `level`, all interactions at the mean weight, whichever
                     gains less (all together: `mixed` where proxies differ): `proxy, against, metric, users, seeds,
                     without, with_weights, relative, low, high, p, p_holm`
        """
        scores, content = self.scores, self.source.catalog.contents
        described = dataclasses.asdict(self.description)
        basic, cut = described.pop("basic"), self.cut
        return {
            "schema": 1,
            "source": str(self.source.path),
            **{name: getattr(self, name) for name in ("version", "seed", "quick")},
            "seconds": round(self.seconds, 3),
            "log": basic | described,
            "modalities": {each.name: {"width": each.width, "coverage": each.coverage} for each in content},
            "noise": {
                "mechanism": scores.mechanism,
                "detector": settings_told(scores),
                "rho_upper": scores.rho_upper,
                "rho_interval": list(scores.rho_interval),
                "rho_short": short_told(scores),
                "q": scores.q,
                "flagged": int(scores.flagged.sum()),
                "flagged_at": {str(q): int(scores.at(q).sum()) for q in LEVELS},
                "mean": float(scores.noise.mean()),
            },
            "findable": [dataclasses.asdict(each) for each in self.findable],
            "holdout": None if cut is None else {"protocol": cut.split.protocol, "users": cut.asked, "why": cut.why},
            "verdict": dataclasses.asdict(self.verdict),
        }
