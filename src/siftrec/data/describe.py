"""What a log is like, in numbers that are ready for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from siftrec.data.interactions import Interactions
from siftrec.data.readers.times import iso

_QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}


def describe(events: Interactions) -> dict[str, Any]:
    """Sizes, history lengths, density, repeats and time span.

    Returns:
        `interactions` counts what was only shown (`label` 0) too, which `shown_only` says where there are labels;
        `density` is distinct (user, item) pairs over all possible ones; `repeats` the interactions with an item the
        user has met before; `history` quantiles of interactions per user.
    """
    frame = events.frame
    users, items = frame["user"].n_unique(), frame["item"].n_unique()
    pairs = frame.select("user", "item").n_unique()
    lengths = frame.group_by("user").len()["len"].to_numpy()
    history = {name: int(np.quantile(lengths, q, method="lower")) for name, q in _QUANTILES.items()}
    time: dict[str, Any] = {"kind": events.time_kind}
    if events.time_kind == "clock":
        time |= {"first": iso(int(frame["time"].min())), "last": iso(int(frame["time"].max()))}  # type: ignore[arg-type]
    shown = {"shown_only": int((frame["label"] == 0).sum())} if "label" in frame.columns else {}
    return {
        "source": events.source,
        "users": users,
        "items": items,
        "interactions": frame.height,
        **shown,
        "density": pairs / (users * items),
        "repeats": frame.height - pairs,
        "history": history | {"mean": float(lengths.mean())},
        "time": time,
        "columns": [name for name in frame.columns if name not in ("user", "item", "time", "row")],
        "notes": events.notes,
    }
