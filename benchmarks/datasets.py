"""The real data sets the benchmarks run on, read with siftrec's own readers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from siftrec.data.catalog import Catalog
from siftrec.data.interactions import Interactions
from siftrec.data.read import read
from siftrec.data.split import Split, leave_one_out
from siftrec.modality.precomputed import features

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent.parent / "shared" / "data"

LOGS = {
    "microlens50k": "microlens50k/MicroLens-50k_pairs.tsv",
    "ml1m": "ml1m/sequences.tsv.gz",
    "ml1m-but-two": "ml1m/sequences.tsv.gz",
    "ml100k": "ml100k/ml-100k.inter",
    "ml_latest_small": "ml_latest_small/ratings.csv",
}
# MicroLens' text is its caption and its hashtags together, so the two halves are used and the whole is not.
MODALITIES: dict[str, tuple[str, ...]] = {
    "microlens50k": ("caption", "hashtags"),
    **dict.fromkeys(("ml1m", "ml1m-but-two"), ("image", "text")),
    "ml100k": (),
    "ml_latest_small": (),
}

CUT = {"ml1m-but-two": 2}
"""Data set → how many of the last interactions of each user it leaves out. Of 5,528 of ml1m's 6,040 users the source lacks
the interaction before the last, so leave-one-out asks them for the item after the next. With one left out it would ask
everybody for the next, but these are ml1m's validation questions, on which settings were chosen; with two, nothing was."""


@dataclass(frozen=True)
class Data:
    """A log, its leave-one-out split, and its catalog with content."""

    events: Interactions
    split: Split
    catalog: Catalog

    def ids_only(self) -> Data:
        """The same without content."""
        return replace(self, catalog=Catalog(self.catalog.vocab.ids))


def load(name: str, folder: Path, modalities: tuple[str, ...] | None = None) -> Data:
    """Read one data set, with the content named or else the usual, from the folder that holds them all."""
    events = read(folder / LOGS[name])
    if name in CUT:
        events = without_last(events, CUT[name])
    home = (folder / LOGS[name]).parent
    content = {}
    for each in MODALITIES[name] if modalities is None else modalities:
        mask = home / f"mask_{each}.npy"  # none where every item has the modality
        found = mask if mask.exists() else None
        content[each] = features(home / f"feat_{each}.npy", ids=home / "items.tsv", mask=found, id_column="item")
    return Data(events, leave_one_out(events), Catalog(events.items, **content))


def without_last(events: Interactions, count: int = 1) -> Interactions:
    """The log without the last interactions of each user."""
    place, length = pl.int_range(pl.len()).over("user"), pl.len().over("user")
    return replace(events, frame=events.frame.filter(place < length - count))
