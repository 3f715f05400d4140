"""What can be measured where it is known which modality caused an interaction, or which content is foreign."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from planted_measures import ranking

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST
from siftrec.detectors.agreement import Agreement, ContentAgreement
from siftrec.detectors.content import content_of, units
from siftrec.detectors.fitted import judge
from siftrec.methods.base import Method
from siftrec.methods.demure import slot_weights
from siftrec.methods.trained import Trained
from siftrec.noise.content import ModalityNoise, showing
from siftrec.noise.measure import auroc, auroc_interval, detection
from siftrec.synthetic import PlantedCauses
from siftrec.train.fit import fit

Figures = dict[str, Any]
TRAINING: Figures = {"epochs": 4, "patience": 0, "batch_size": 512, "learning_rate": 2e-3}
LEAST = (2, 6, 12)
"""Histories of at least so many interactions."""


def trained_on(planted: PlantedCauses, method: Method, seed: int) -> Trained:
    """Train on a planted log."""
    return fit(method, planted.split, planted.catalog, seed=seed, schedule="constant", **TRAINING)


def causes(trained: Trained, planted: PlantedCauses) -> Figures:
    """How well the weights tell what caused each train and validation interaction, and how much each user prefers what.

    `top1`: share of caused interactions whose cause has the largest weight (ties count by their share); `auroc`: of the
    weight, over all modalities present, for the cause against the others; `preference`: correlation with the planted
    preference over users and modalities that cause anything; `mass`: mean weight of each modality.
    """
    known = planted.split.role < TEST
    log, cause_E = planted.split.log.where(known), planted.cause_E[known]
    found = slot_weights(trained, log)
    told = cause_E >= 0
    weight_EM, present_EM = found.weight_EM[told], found.present_EM[told]
    is_cause_EM = cause_E[told, None] == np.arange(len(found.names))
    best_EM = (weight_EM == weight_EM.max(axis=1, keepdims=True)) & present_EM
    shared = found.weight_EM * np.nan_to_num(found.share_E, nan=1.0)[:, None]
    used_UM = np.stack([np.bincount(log.owners, shared[:, m], len(log)) for m in range(shared.shape[1])], axis=1)
    used_UM = used_UM / np.maximum(used_UM.sum(axis=1, keepdims=True), 1e-12)
    real = planted.preference_UM.any(axis=0)
    correlation = np.corrcoef(used_UM[:, real].ravel(), planted.preference_UM[:, real].ravel())[0, 1]
    return {
        "top1": float((best_EM & is_cause_EM).sum(axis=1).astype(float) @ (1 / best_EM.sum(axis=1)) / told.sum()),
        "auroc": auroc(is_cause_EM[present_EM], weight_EM[present_EM].astype(np.float64)),
        "preference": None if np.isnan(correlation) else float(correlation),
        "mass": dict(zip(found.names, found.weight_EM.mean(axis=0).astype(float).tolist(), strict=True)),
        "events": int(told.sum()),
    } | ranking(trained, planted)


def foreign(judged: ModalityNoise, log: Sequences, catalog: Catalog, truth_EM: np.ndarray, seed: int) -> Figures:
    """`detection` of each modality, with the AUROC of our scores and of untrained agreement by history length."""
    lengths = np.repeat(log.lengths, log.lengths)
    assert log.shown is not None
    found = {}
    for m, name in enumerate(judged.names):
        here = judged.present_EM[:, m]
        truth, owners, long = truth_EM[here, m], log.owners[here], lengths[here]
        vectors = showing(log, log.shown[:, m], here)
        scores = {"noise": -judged.noise_EM[here, m], "agreement": _agreement(vectors, catalog, name, seed)}
        told = detection(judged.of(name), truth, vectors, lengths=long, planted="foreign")
        found[name] = told | {
            f"{kind}_{least}": _area(truth, -score.astype(np.float64), owners, long >= least)
            for kind, score in scores.items()
            for least in LEAST
        }
    return found


def _area(truth: np.ndarray, noise: np.ndarray, owners: np.ndarray, here: np.ndarray) -> Figures:
    low, high = auroc_interval(truth[here], noise[here], owners[here])
    return {"auroc": auroc(truth[here], noise[here]), "interval": [low, high], "events": int(here.sum())}


def _agreement(vectors: Sequences, catalog: Catalog, name: str, seed: int) -> np.ndarray:
    """(n,) the control: how alike a vector is to the history's others, nothing trained."""
    counts_N = torch.from_numpy(vectors.counts(len(catalog)).astype(np.float32))
    alone = Catalog(catalog.vocab.ids)
    alone.modalities[name] = catalog.modalities[name]
    content_NG = units(content_of(alone, counts_N))
    return judge(ContentAgreement(Agreement(), len(catalog)).fit(vectors, content_NG, seed), vectors, content_NG)
