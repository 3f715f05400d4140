"""Whole numbers that stand for pairs."""

from __future__ import annotations

import numpy as np


def distinct_keys(keys: np.ndarray) -> np.ndarray:
    """(d,) the distinct values of (n,) whole numbers, ascending.

    Since NumPy 2.3 `np.unique` hashes whole numbers, which takes a hundred times as long as sorting a million of them.
    """
    ascending = np.sort(keys, axis=None)
    return ascending[np.append(True, ascending[1:] != ascending[:-1])] if len(ascending) else ascending
