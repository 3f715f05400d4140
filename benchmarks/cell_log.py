"""The log a cell is trained on: with its planted noise, and with what its oracle tells of it, or a detector."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from accuracy import Cell
    from datasets import Data

    from siftrec.data.split import Split

DETECTED = ("log", "detector", "detector, histories")
"""Oracles of which a detector is part."""
FLAGGED = 0.5
"""Probability of noise above which an interaction leaves a history."""


def detector_of(method: str) -> dict[str, Any]:
    """The detector that judges a variant's log beforehand, as a table of settings; empty where none does."""
    from variants import VARIANTS

    from siftrec.methods.denoise import Denoise
    from siftrec.settings import describe

    return {"detector": describe(Denoise())} if VARIANTS[method].oracle in DETECTED else {}


def split_of(cell: Cell, data: Data) -> Split:
    """The split with the cell's noise, and with what its oracle tells; the test questions stay what they are."""
    from variants import VARIANTS

    from siftrec.data.split import TEST, TRAIN
    from siftrec.noise.inject import inject

    if not cell.rho:
        return data.split
    injected = inject(data.split, cell.mechanism, cell.rho, cell.seed)  # type: ignore[arg-type]
    oracle = VARIANTS[cell.method].oracle if cell.method in VARIANTS else "nothing"
    split, noisy = injected.split, injected.noisy
    if oracle == "targets":
        return weighed(split, np.where(noisy & (split.role == TRAIN), 0, 1))
    if oracle == "interactions":
        return without(split, noisy & (split.role < TEST))
    if oracle in DETECTED:
        import judges

        noise = judged(replace(data, split=split), data.split, oracle != "log", cell.seed)
        split = weighed(split, np.where(split.role == TRAIN, judges.left_of_target(noise), 1))
        return without(split, noise > FLAGGED) if oracle == "detector, histories" else split
    return split


def weighed(split: Split, weights: np.ndarray) -> Split:
    """The split with weights (E,) of its interactions."""
    return replace(split, log=replace(split.log, weights=weights.astype(np.float32)))


def without(split: Split, leaves: np.ndarray) -> Split:
    """The split without the interactions (E,) that leave; who would be left with no history keeps it, to be asked too."""
    from siftrec.data.split import TEST

    stays = np.bincount(split.log.owners, ~leaves & (split.role < TEST), minlength=len(split.log)) > 0
    kept = ~leaves | ~stays[split.log.owners]
    return replace(split, log=split.log.where(kept), role=split.role[kept])


def judged(data: Data, clean: Split, told: bool, seed: int) -> np.ndarray:
    """(E,) n = min(1, ρ e^−PMI) of each interaction before the test targets, by the rest of its history; 0 elsewhere.

    Args:
        data: the noisy log.
        clean: as it was before.
        told: whether the detector was fitted on that; else on the noisy log.
        seed: of the detector.
    """
    import judges

    from siftrec.data.split import TEST

    known = data.split.role < TEST
    log, before = data.split.log.where(known), clean.log.where(clean.role < TEST)
    case: Any = judges.Case(
        log, before, np.zeros(len(log.items), bool), data.catalog, "replace", judges.background(log, seed), data.split
    )
    found = (judges.ceiling if told else judges.likelihood)(case, seed)
    scores = judges.calibrated(case, found, seed)
    noise = np.zeros(len(known))
    noise[known] = judges.noise_of(found.score, scores.rho_upper)
    return noise
