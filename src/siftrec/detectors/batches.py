"""Whole logs through a scorer of padded histories."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from siftrec.data.loader import pad
from siftrec.data.sequences import Sequences
from siftrec.detectors.slots import piece_rows, pieces

_BLOCK = 512

Score = Callable[[torch.Tensor, np.ndarray], torch.Tensor]
"""From items_BL, 0 = padding on the left, and the (B,) rows of the log they are of, scores_BL."""


def each_event(log: Sequences, length: int, score: Score) -> np.ndarray:
    """(E,) float32 scores of every event; long rows are scored in about equal pieces of at most `length`."""
    histories, row = pieces(log, length), piece_rows(log, length)
    found = np.zeros(len(log.items), np.float32)
    order = np.argsort(histories.lengths, kind="stable")
    for block in np.array_split(order, max(1, len(order) // _BLOCK)):
        items_BL = pad(histories, block, length)
        real = (items_BL > 0).numpy()
        at = histories.offsets[1:][block][:, None] + np.arange(-items_BL.shape[1], 0)
        found[at[real]] = score(items_BL, row[block]).numpy()[real]
    return found
