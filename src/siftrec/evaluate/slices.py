"""The same metrics over some of the questions: by length of history, and for items that training never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from siftrec.evaluate.metrics import METRICS, Ranks, accuracy, names
from siftrec.evaluate.rank import FILTERS, Filter, Ranking

HISTORY = {
    "history_1": (1, 1),
    "history_2_3": (2, 3),
    "history_4_5": (4, 5),
    "history_6_10": (6, 10),
    "history_over_10": (11, None),
}
Slice = dict[str, Any]
"""`users`, and metric → mean for `filtered` and `unfiltered`; empty where there are no users."""


def by_history(lengths: np.ndarray, metrics: Sequence[str], values: Mapping[Filter, np.ndarray]) -> dict[str, Slice]:
    """One slice per length of the whole history, before it is cut to what the method reads.

    Args:
        lengths: (Q,) interactions before the first target.
        metrics: M names.
        values: filter → (M, Q).

    Returns:
        name → slice; `history_1` only where it occurs.
    """
    slices: dict[str, Slice] = {}
    for name, (low, high) in HISTORY.items():
        here = (lengths >= low) & (lengths <= (high or np.inf))
        if name != "history_1" or here.any():
            slices[name] = _slice({filter: values[filter][:, here] for filter in FILTERS}, metrics)
    return slices


def cold_items(ranking: Ranking, popularity: np.ndarray, cutoffs: Sequence[int]) -> Slice:
    """Questions with a target that training never saw, judged on such targets alone."""
    is_cold = popularity[ranking.targets.items] == 0
    cold = ranking.targets.where(is_cold)
    cold = cold.take(np.flatnonzero(cold.lengths))
    ranks = {filter: Ranks(ranking.ranks[filter][is_cold], cold.owners, cold.lengths) for filter in FILTERS}
    return _slice({filter: accuracy(ranks[filter], cutoffs) for filter in FILTERS}, names(METRICS, cutoffs))


def _slice(values: Mapping[Filter, np.ndarray], metrics: Sequence[str]) -> Slice:
    users = values["seen"].shape[1]
    means = {
        spelling: dict(zip(metrics, values[filter].mean(axis=1).tolist(), strict=True)) if users else {}
        for filter, spelling in FILTERS.items()
    }
    return {"users": users} | means
