"""MicroVideo-1.7M (Chen et al., MM 2018): 12.7 million impressions of micro-videos, every test item new.

As its authors publish it, `train_data.csv` and `test_data.csv`, whose columns are user, item, category, click and time in
this order, under a header line or none (the first four are read so by the authors' code; the fifth is assumed); or as BARS
does (MicroVideo1.7M_x1), `train.csv` and `test.csv` with `user_id`, `item_id`, `is_click`, `timestamp` among others.
Histories are made anew from the log's own clicks.
"""

from __future__ import annotations

from pathlib import Path

from siftrec.data.interactions import Interactions
from siftrec.data.readers.columns import KNOWN, plain
from siftrec.data.readers.parts import found, header_in, read_parts

BY_NAME = {"user": "user_id", "item": "item_id", "time": "timestamp", "label": "is_click"}
BY_PLACE = {"user": 0, "item": 1, "time": 4, "label": 3}


def stands(path: Path) -> bool:
    """Whether a folder holds the log, as its authors or as BARS publish it."""
    if all(_in_place(header_in(path, name)) for name in ("train_data.csv", "test_data.csv")):
        return True
    known = {*BY_NAME.values(), "cate_id"}
    return all(known <= set(header_in(path, name)) for name in ("train.csv", "test.csv"))


def _in_place(header: list[str]) -> bool:
    """Whether a first line is one of these five columns: a row, or names of which none says that another has its place."""
    known = {role: KNOWN[role] | {plain(name)} for role, name in BY_NAME.items()}
    elsewhere = (
        plain(field) in known[role]
        for role, place in BY_PLACE.items()
        for at, field in enumerate(header)
        if at != place
    )
    return len(header) == len(BY_PLACE) + 1 and not any(elsewhere)


def read(path: Path) -> Interactions:
    """The impressions of a folder; `label` is the click, `split` the file.

    Raises:
        DataError: a file or column that is missing, and all that other logs are refused for.
    """
    train = found(path, "train_data.csv", "train.csv")
    test = found(path, "test_data.csv", "test.csv")
    raw = train.name.startswith("train_data")
    return read_parts([(train, "train"), (test, "test")], BY_PLACE if raw else BY_NAME)
