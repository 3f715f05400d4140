"""The two things that are believed of each modality of each interaction: how it was weighed, and that it is foreign."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.fitted import OnFold
from siftrec.methods.demure import Demure, SlotWeights, slot_weights
from siftrec.methods.trained import Trained
from siftrec.noise.content import MECHANISM, ModalityNoise, judge_content, showing, shown_content
from siftrec.noise.measure import auroc, detection


@dataclass(frozen=True)
class Modal:
    """What is believed of the modalities of each event of a `Sequences`.

    Attributes:
        weights: by the trained gate: which of the modalities present counted.
        noise: by the log alone: whether what was shown belongs to the history.
    """

    weights: SlotWeights
    noise: ModalityNoise


def preference(found: SlotWeights, log: Sequences) -> np.ndarray:
    """(U, M) float64 ω_um = Σ_t a_t γ_tm of each user, summing to 1; nan where nothing could vouch for anything.

    Args:
        found: of the events of `log`.
        log: U histories.
    """
    # An encoder that does not pool has no shares; there all interactions count alike.
    share_E1 = np.nan_to_num(found.share_E.astype(np.float64), nan=1.0)[:, None]
    attended_EM, users = found.weight_EM * share_E1, len(log)
    mass_UM = np.stack([np.bincount(log.owners, column, users) for column in attended_EM.T], axis=1)
    told_U = np.bincount(log.owners, (found.evidence_EM > 0).any(axis=1), users) > 0
    total_U = np.where(told_U, mass_UM.sum(axis=1), np.nan)
    return np.asarray(mass_UM / np.where(total_U > 0, total_U, np.nan)[:, None])


def judge_modalities(
    trained: Trained, log: Sequences, catalog: Catalog, seed: int, on_fold: OnFold = lambda done, of: None
) -> Modal | None:
    """Weights and noise of every modality of every interaction; None where the method weighs no modalities.

    Args:
        trained: any trained method.
        log: histories in the codes of `catalog`, which are those of `trained.items`.
        catalog: the items with the content that they really have: nobody was shown an imputed vector, and none is judged
            (`siftrec.modality.impute.without`).
        seed: of the scorers and the background.
        on_fold: progress.
    """
    if not isinstance(trained.method, Demure) or not tuple(catalog):
        return None
    return Modal(slot_weights(trained, log), judge_content(log, catalog, seed=seed, on_fold=on_fold))


def modal_detection(found: Modal, truth_EM: np.ndarray, genuine_E: np.ndarray, log: Sequences) -> dict[str, Any]:
    """Modality → how well planted foreign content is found (see `measure.detection`), and `auroc_weight`, by the gate.

    Args:
        found: what is believed.
        truth_EM: (E, M) bool, True = another item's content.
        genuine_E: (E,) bool; interactions that were planted themselves are neither foreign content nor genuine.
        log: the events.

    Returns:
        Without modalities in which nothing was planted.
    """
    shown_EM, told = shown_content(log, len(found.noise.names)), {}
    for m, name in enumerate(found.noise.names):
        present_E = found.noise.present_EM[:, m]
        kept_E = present_E & genuine_E
        truth = truth_EM[kept_E, m]
        if not truth.any():
            continue
        popularity = np.bincount(shown_EM[present_E, m], minlength=int(shown_EM.max(initial=0)) + 1)
        figures = detection(
            _part(found.noise.of(name), genuine_E[present_E]),
            truth,
            showing(log, shown_EM[:, m], kept_E),
            popularity[shown_EM[kept_E, m]],
            log.lengths[log.owners[kept_E]],
            planted=MECHANISM,
        )
        told[name] = figures | {"auroc_weight": auroc(truth, -found.weights.weight_EM[kept_E, m].astype(np.float64))}
    return told


def _part(scores: NoiseScores, kept: np.ndarray) -> NoiseScores:
    noise, flagged, evidence, score = (e[kept] for e in (scores.noise, scores.flagged, scores.evidence, scores.score))
    return replace(scores, noise=noise, flagged=flagged, evidence=evidence, score=score)
