"""Rankers compared: test GAUC paired over users and seeds, and what each item's clicks alone are worth."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from comparisons import stored
from rankers import DATASETS, LENGTHS, METHODS, SEEDS, Cell, exposure, is_done

from siftrec.evaluate.compare import Comparison, compare, corrected
from siftrec.evaluate.evaluation import About, Evaluation
from siftrec.evaluate.impressions import judge_impressions
from siftrec.evaluate.significance import bootstrap_interval, linear

PRIOR = 3.0
"""Impressions at the overall rate of clicks that every item is given beside its own."""

PAIRS = (
    ("ccl4rec", "din"),
    ("ccl4rec", "self-attention"),
    ("ccl4rec", "two-tower"),
    ("ccl4rec", "ccl4rec-clicks"),
    ("din", "two-tower"),
)


class Alike:
    """Scores items alike for everybody.

    Args:
        scores_N: of each item code.
    """

    def __init__(self, scores_N: np.ndarray) -> None:
        self.scores_N = torch.from_numpy(scores_N.astype(np.float32))

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        return self.scores_N.expand(len(items_BL), -1)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}


def controls(data: str, folder: Path) -> dict[str, dict[str, float]]:
    """What is reached without looking at the user: by the number of clicks of an item, and by their rate."""
    split = exposure(data, folder, 1)
    train, size = split.train, len(split.items)
    shown = np.bincount(train.shown.items, minlength=size)
    clicked = np.bincount(train.shown.items, weights=train.labels, minlength=size)
    rate = (clicked + PRIOR * train.labels.mean()) / (shown + PRIOR)
    return {
        name: judge_impressions(Alike(each), 1, split.test).means()
        for name, each in (("clicks", clicked), ("rate", rate))
    }


def compared() -> list[dict[str, Any]]:
    """GAUC on the test of grouped training, paired; Holm corrects over all pairs of all data sets and lengths together."""
    found = [paired(data, length) for data, length in product(DATASETS, LENGTHS)]
    final = iter(corrected([pair for each in found for pair in each.pairs]))
    return [
        {
            "data": each.data,
            "length": each.length,
            "seeds": each.seeds,
            "pairs": [stored(next(final)) for _ in each.pairs],
            "share of the gap": each.share,
        }
        for each in found
        if each.pairs
    ]


class Paired(NamedTuple):
    """All pairs on one data set at one length.

    Attributes:
        data: its name.
        length: L.
        seeds: those that all methods have.
        pairs: empty where there is none.
        share: of the gap between two towers and DIN that CCL4Rec recovers, with its 95 % interval.
    """

    data: str
    length: int
    seeds: list[int]
    pairs: list[Comparison]
    share: dict[str, float]


def paired(data: str, length: int) -> Paired:
    """The pairs of `PAIRS`, over the seeds that are done of every method."""
    kept = [seed for seed in SEEDS if all(is_done(cell) for cell in _cells(data, length, seed).values())]
    if not kept:
        return Paired(data, length, [], [], {})
    runs = {name: [evaluation(_cells(data, length, seed)[name]) for seed in kept] for name in METHODS}
    pairs = [replace(compare(runs[a], runs[b], "gauc", "none"), a=a, b=b) for a, b in PAIRS]
    values = {name: np.stack([run.per_user("gauc", "none") for run in each]) for name, each in runs.items()}
    weight_Q = runs["din"][0].weight
    won_SQ, gap_SQ = (linear(values[name] - values["two-tower"], weight_Q) for name in ("ccl4rec", "din"))
    share = part_of_gap(won_SQ, gap_SQ)
    return Paired(data, length, kept, pairs, share)


def _cells(data: str, length: int, seed: int) -> dict[str, Cell]:
    return {name: Cell("train", name, length, data, "grouped", seed) for name in METHODS}


def evaluation(cell: Cell) -> Evaluation:
    """AUC of each test user who has both classes, times its impressions ÷ the mean of these: the mean is the GAUC."""
    file = np.load(cell.values)
    both = ~np.isnan(file["aucs"])
    weight = file["shown"][both] / file["shown"][both].mean()
    test = hashlib.sha256(file["shown"].tobytes()).hexdigest()
    about = About(
        method=cell.method,
        seed=cell.seed,
        split="test",
        protocol="impressions by user",
        items=0,
        fingerprint={"test": test},
        tied=0.0,
        coverage={},
        slices={},
    )
    values = {"none": (weight * file["aucs"][both])[None]}
    return Evaluation(pl.Series(np.flatnonzero(both)), ("gauc",), values, about, weight)


def part_of_gap(won_SQ: np.ndarray, gap_SQ: np.ndarray) -> dict[str, float]:
    """Ratio of two mean differences, and its 95 % interval from the values of its linear approximation."""
    share = float(won_SQ.mean() / gap_SQ.mean())
    low, high = bootstrap_interval((won_SQ - share * gap_SQ) / gap_SQ.mean())
    return {"value": share, "low": share + low, "high": share + high}
