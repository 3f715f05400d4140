"""What could be found here at all: known noise is planted in a copy of the earlier part, and looked for.

What the log holds of noise already counts as clean here, so the figures are on the low side.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from siftrec.data.catalog import Catalog
from siftrec.data.split import TEST, Split
from siftrec.detectors.fitted import OnFold
from siftrec.noise.inject import Mechanism, inject
from siftrec.noise.judge import Judge
from siftrec.noise.measure import detection

RHO = 0.3
MECHANISMS: tuple[Mechanism, ...] = typing.get_args(Mechanism)


@dataclass(frozen=True)
class Findable:
    """How well planted noise of one mechanism was found.

    Attributes:
        mechanism: see `siftrec.noise.inject`.
        rho: share that was asked for.
        users: in the copy.
        interactions: in the copy's earlier part.
        planted: noise among them.
        detection: see `siftrec.noise.measure.detection`: `auroc` with its interval, `auroc_popularity`,
            `auroc_position` and `auroc_lifetime`, the AUROC of what is no detector, `recall_at_fdr`, and more.
    """

    mechanism: Mechanism
    rho: float
    users: int
    interactions: int
    planted: int
    detection: dict[str, Any]

    def __str__(self) -> str:
        auroc = self.detection["auroc"]
        return f"{self.mechanism} " + ("cannot be planted" if auroc is None else f"AUROC {auroc:.2f}")


def findable(
    split: Split, catalog: Catalog, judge: Judge, mechanisms: Sequence[Mechanism], *, seed: int, on_part: OnFold
) -> Iterator[Findable]:
    """Plant each mechanism in turn; `split`'s items are the catalog's.

    The quick scorer in every plan: four more full ones would take most of the time there is.
    """
    for index, mechanism in enumerate(mechanisms):

        def tell(done: int, of: int, before: int = index) -> None:
            on_part(before * of + done, len(mechanisms) * of)

        injected = inject(split, mechanism, RHO, seed)
        earlier = injected.split.role < TEST
        log, truth = injected.split.log.where(earlier), injected.noisy[earlier]
        scores = judge(log, catalog, seed=seed, quick=True, on_fold=tell)
        told = detection(scores, truth, log, planted=mechanism)
        yield Findable(mechanism, RHO, int((log.lengths > 0).sum()), len(truth), int(truth.sum()), told)
