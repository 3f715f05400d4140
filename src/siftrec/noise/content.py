"""Probabilities that what an interaction showed of a modality is foreign to its history.

Each modality is judged alone, from what it showed in the rest of the same history: by a cross-fitted leave-one-out model
of the shown vectors (`siftrec.detectors.likelihood`, without item ids) and by how alike they are (`.agreement`), weighed
by what each says on this log, against vectors of popularity-drawn items put in the same places. The first knows what goes
with what and wants many histories; the second wants none. Neither the item's own row in the catalog is looked at nor what
its other modalities say: comparing with either finds that something was exchanged, which no real log lets anybody do, and
not that it does not belong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.coded import check_coded
from siftrec.data.sequences import Sequences
from siftrec.detectors.agreement import Agreement, ContentAgreement
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.content import content_of, units
from siftrec.detectors.fitted import OnFold, calibrated
from siftrec.detectors.likelihood import CrossFitted, Likelihood
from siftrec.detectors.ratio import Blended
from siftrec.errors import UsageError
from siftrec.nn.threads import threads
from siftrec.noise.judge import DEFAULT, QUICK
from siftrec.settings import nearest

MECHANISM = "foreign"


@dataclass(frozen=True, eq=False)
class ModalityNoise:
    """What is believed of the content of each event of a `Sequences`, by modality; nan and False where there is none.

    Attributes:
        names: M modalities of the catalog.
        present_EM: (E, M) bool: the event showed content of this modality.
        noise_EM: (E, M) float32 in [0, 1], 1 = foreign: the probability that it is a random item's; nan where absent.
        flagged_EM: (E, M) bool: as many as keep the share of genuine content among them at `q`.
        evidence_EM: (E, M) int32 number of other vectors of the modality in the history; 0 = nothing can be said.
        score_EM: (E, M) float32 detector score, higher = more at home; nan where absent.
        rho_upper: upper bound of the share of foreign content, by modality.
        rho_interval: their 95 % intervals.
        q: share of genuine content aimed at among the flagged, by modality.
    """

    names: tuple[str, ...]
    present_EM: np.ndarray
    noise_EM: np.ndarray
    flagged_EM: np.ndarray
    evidence_EM: np.ndarray
    score_EM: np.ndarray
    rho_upper: tuple[float, ...]
    rho_interval: tuple[tuple[float, float], ...]
    q: float

    def __repr__(self) -> str:
        told = [f"; {name}: {self.of(name)!r}" for name in self.names]
        return f"ModalityNoise({len(self.noise_EM):,} interactions{''.join(told)})"

    def of(self, name: str) -> NoiseScores:
        """One modality's scores, over the events that showed it: `present_EM[:, m]`.

        Raises:
            UsageError: a modality that the catalog lacks.
        """
        if name not in self.names:
            raise UsageError(f"no modality {name!r} was judged{nearest(name, self.names)}")
        m = self.names.index(name)
        columns = (self.noise_EM, self.flagged_EM, self.evidence_EM, self.score_EM)
        noise, flagged, evidence, score = (table[self.present_EM[:, m], m] for table in columns)
        return NoiseScores(noise, flagged, evidence, score, self.rho_upper[m], self.rho_interval[m], self.q, MECHANISM)


@threads(1)
def judge_content(
    log: Sequences,
    catalog: Catalog,
    *,
    seed: int = 7,
    quick: bool = False,
    q: float = 0.2,
    likelihood: Likelihood | None = None,
    on_fold: OnFold = lambda done, of: None,
) -> ModalityNoise:
    """Probabilities that what each modality showed with each interaction is foreign, computed in one thread.

    Args:
        log: histories in the codes of `catalog`; `shown` says whose content stood there, None = each item's own.
        catalog: the items and the content that was shown with them; vectors that were imputed are judged as if shown, so
            give the catalog from before (`siftrec.modality.impute.without`).
        seed: of the scorers and the background.
        quick: fewer folds and epochs; ignored where `likelihood` is given.
        q: share of genuine content aimed at among the flagged.
        likelihood: how the leave-one-out models are fitted; None = the defaults.
        on_fold: progress, over the folds of all modalities.

    Raises:
        UsageError: a log that is not histories in codes, or a catalog that lacks its items or has no modality.
    """
    check_coded(log, len(catalog))
    names, how = tuple(catalog), likelihood or (QUICK if quick else DEFAULT)
    if not names:
        raise UsageError("the catalog has no modality, so no content can be judged")
    shown_EM = shown_content(log, len(names))
    present_EM = np.stack([catalog.modalities[name].present[shown_EM[:, m]] for m, name in enumerate(names)], axis=1)
    found = []
    for m, name in enumerate(names):
        vectors = showing(log, shown_EM[:, m], present_EM[:, m])
        own = seeds.derive(seed, MECHANISM, name)
        tell = _after(on_fold, m * how.fits, len(names) * how.fits)
        found.append(_judge_alone(vectors, _alone(catalog, name), how, own, q, tell))

    def table(part: str, absent: float, kind: type[np.generic]) -> np.ndarray:
        filled = np.full(present_EM.shape, absent, kind)
        for m, scores in enumerate(found):
            filled[present_EM[:, m], m] = getattr(scores, part)
        return filled

    return ModalityNoise(
        names,
        present_EM,
        table("noise", np.nan, np.float32),
        table("flagged", False, np.bool_),
        table("evidence", 0, np.int32),
        table("score", np.nan, np.float32),
        tuple(scores.rho_upper for scores in found),
        tuple(scores.rho_interval for scores in found),
        q,
    )


def _judge_alone(
    vectors: Sequences, catalog: Catalog, how: Likelihood, seed: int, q: float, on_fold: OnFold
) -> NoiseScores:
    """What one modality showed, judged by both detectors against popularity-drawn content."""
    counts_N = torch.from_numpy(vectors.counts(len(catalog)).astype(np.float32))
    content_NG = units(content_of(catalog, counts_N))
    fitted = Blended(
        {
            "likelihood": CrossFitted(how, len(catalog), content_NG.shape[1], ids=False),
            "agreement": ContentAgreement(Agreement(), len(catalog)),
        }
    ).fit(vectors, content_NG, seed, on_fold)
    return calibrated(fitted, vectors, content_NG, np.arange(len(vectors)), q=q, seed=seed)


def shown_content(log: Sequences, modalities: int) -> np.ndarray:
    """(E, M) int32 item whose content stood with each event."""
    if log.shown is None:
        return np.repeat(log.items[:, None], modalities, axis=1)
    if log.shown.shape[1] != modalities:
        raise UsageError(f"the log shows content of {log.shown.shape[1]} modalities, but the catalog has {modalities}")
    return log.shown


def showing(log: Sequences, shown_E: np.ndarray, present_E: np.ndarray) -> Sequences:
    """The histories as one modality showed them: events without it are gone, items are those whose vector was there."""
    return replace(log, items=np.ascontiguousarray(shown_E, dtype=np.int32), shown=None).where(present_E)


def _alone(catalog: Catalog, name: str) -> Catalog:
    """The catalog with one modality."""
    alone = Catalog(catalog.vocab.ids)
    alone.modalities[name] = catalog.modalities[name]
    return alone


def _after(on_fold: OnFold, before: int, total: int) -> OnFold:
    return lambda done, of: on_fold(before + done, total)
