"""A log in which each item decides the next, and the same with items at random: what reads order must learn, or not."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch

from siftrec.data.interactions import Interactions
from siftrec.data.split import leave_one_out
from siftrec.methods.base import Method
from siftrec.train.fit import fit

USERS, ITEMS, LENGTH = 300, 40, 8


def chains(planted: bool) -> Interactions:
    """Walks along one random ring of items, or items drawn at random."""
    rng = np.random.default_rng(3)
    ring, start = rng.permutation(ITEMS), rng.integers(0, ITEMS, (USERS, 1))
    items = ring[(start + np.arange(LENGTH)) % ITEMS] if planted else rng.integers(0, ITEMS, (USERS, LENGTH))
    users = np.repeat(np.arange(USERS), LENGTH)
    row = np.arange(USERS * LENGTH)
    columns = {"user": users, "item": items.ravel(), "time": row % LENGTH, "row": row}
    return Interactions(pl.DataFrame(columns), "order")


def found(method: Method, planted: bool, epochs: int) -> float:
    """Share of users whose last item gets the highest score; chance is about 1/40."""
    split = leave_one_out(chains(planted))
    trained = fit(
        method, split, epochs=epochs, batch_size=64, learning_rate=0.01, schedule="constant", patience=0, seed=1
    )
    histories, targets = split.test.histories, split.test.targets.items.astype(np.int64)
    items_BL = torch.from_numpy(histories.window(np.arange(USERS), histories.lengths, method.length).astype(np.int64))
    with torch.inference_mode():
        best_B = trained.scorer.scores(items_BL)[:, 1:].argmax(dim=1) + 1
    return float((best_B == torch.from_numpy(targets)).float().mean())
