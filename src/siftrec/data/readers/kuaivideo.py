"""KuaiVideo: the Kuaishou challenge of 2018 in the cut of ALPINE (Li et al., MM 2019), as BARS publishes it (KuaiVideo_x1).

`train.csv` and `test.csv` with the columns `timestamp, user_id, item_id, is_click, is_like, is_follow, pos_items,
neg_items`. Histories are made anew from the log's own clicks; the last two, each user's earliest hundred, are not read.
"""

from __future__ import annotations

from pathlib import Path

from siftrec.data.interactions import Interactions
from siftrec.data.readers.parts import found, header_in, read_parts

COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "is_click"}


def stands(path: Path) -> bool:
    """Whether a folder holds the log."""
    known = {*COLUMNS.values(), "is_like"}
    return all(known <= set(header_in(path, name)) for name in ("train.csv", "test.csv"))


def read(path: Path) -> Interactions:
    """The impressions of a folder; `label` is `is_click`, `split` the file.

    Raises:
        DataError: a file or column that is missing, and all that other logs are refused for.
    """
    return read_parts([(found(path, "train.csv"), "train"), (found(path, "test.csv"), "test")], COLUMNS)
