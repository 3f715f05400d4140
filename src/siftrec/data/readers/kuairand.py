"""KuaiRand (Gao et al., CIKM 2022): everything that was shown to users of a short-video app, with their feedback.

`data/log_standard_*.csv` and `data/log_random_*.csv` of KuaiRand-Pure, -1K and -27K, with the columns `user_id`, `video_id`,
`time_ms`, `is_click`, `long_view`, `is_hate` and others, as its README describes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl

from siftrec.data.interactions import Interactions
from siftrec.data.readers.parts import read_parts
from siftrec.errors import DataError

Signal = Literal["is_click", "long_view"]
Policy = Literal["standard", "random"]


def read(path: Path, signal: Signal = "is_click", policy: Policy = "standard") -> Interactions:
    """The impressions; `label` is the signal, of which histories are made.

    Args:
        path: the folder, or its folder `data`.
        signal: what counts as 1: a click, or in the one-column feed a play of at least seven seconds; or a long play.
        policy: what the recommender chose to show, or what was shown at random.

    Raises:
        DataError: another signal, no such log in the folder, and all that other logs are refused for.
    """
    if signal not in get_args(Signal):
        named = " or ".join(get_args(Signal))
        raise DataError(f"label {signal!r} makes no histories; name {named}; `hated` gives is_hate", str(path))
    return _read(path, signal, policy)


def hated(path: Path, policy: Policy = "standard") -> np.ndarray:
    """Source rows of impressions that the user said to dislike (`is_hate`): numbers as in `row` of what `read` gives.

    Where such a video was clicked too, the click is the nearest to a known false-positive interaction: with
    `clicks = read(path).positives()` the truth about each is `np.isin(clicks.frame["row"], hated(path))`.

    Args:
        path: as for `read`.
        policy: as for `read`.

    Returns:
        (H,) int64, ascending.

    Raises:
        DataError: as `read`.
    """
    disliked = _read(path, "is_hate", policy).frame.filter(pl.col("label") == 1)
    return np.sort(disliked["row"].to_numpy())


def stands(path: Path) -> bool:
    """Whether a folder holds the log."""
    return bool(_logs(path, "standard"))


def _logs(path: Path, policy: Policy) -> list[Path]:
    folder = path / "data" if (path / "data").is_dir() else path
    return sorted([*folder.glob(f"log_{policy}_*.csv"), *folder.glob(f"log_{policy}_*.csv.gz")])


def _read(path: Path, label: str, policy: Policy) -> Interactions:
    logs = _logs(path, policy)
    if not logs:
        raise DataError(f"holds no log_{policy}_*.csv; name the folder of KuaiRand-Pure, -1K or -27K", str(path))
    columns = {"user": "user_id", "item": "video_id", "time": "time_ms", "label": label}
    return read_parts([(log, None) for log in logs], columns)
