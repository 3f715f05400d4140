"""A small catalog with content, logs over it, and a fresh model of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

import siftrec as sr
from siftrec import seeds
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.loader import Batch
from siftrec.data.sequences import Sequences
from siftrec.methods.model import SequenceModel, Sequential
from siftrec.train.loop import loader_of
from siftrec.train.settings import Training


def small(extra: bool = False) -> Catalog:
    """Sixty items with two modalities, item 59 with none; `extra`: a third one that only item 60 has."""
    rng = seeds.rng(5, "catalog")
    ids = pl.Series([f"i{n:02d}" for n in range(1, 61)])
    present = rng.random((60, 2)) < 0.8
    present[58] = False
    names = ("text", "image")
    content = {n: Modality(rng.normal(size=(60, 6)).astype(np.float32), present[:, m]) for m, n in enumerate(names)}
    if extra:
        content["audio"] = Modality(rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) == 59)
    return Catalog(ids, **content)


def fresh(method: Sequential, catalog: Catalog, seed: int = 3) -> SequenceModel:
    with seeds.initialised(seed, "fresh"):
        model = method.build(catalog)
    assert isinstance(model, SequenceModel)
    return model


def log(rows: int = 40, seed: int = 2, shown: bool = False) -> Sequences:
    rng = seeds.rng(seed, "log")
    items = rng.integers(1, 60, rows * 7)
    found = Sequences.from_items(items, np.full(rows, 7))
    if not shown:
        return found
    other = np.where(rng.random((len(items), 2)) < 0.3, rng.integers(1, 60, (len(items), 2)), items[:, None])
    return replace(found, shown=other.astype(np.int32))


def batch_of(method: Sequential, sequences: Sequences, size: int = 32) -> Batch:
    fitting = sr.leave_one_out(events(sequences)).fitting
    fitting = replace(fitting, train=sequences)
    return next(loader_of(method, fitting, Training(batch_size=size), 1).epoch(0))


def events(sequences: Sequences) -> sr.Interactions:
    ids = pl.Series([f"i{n:02d}" for n in range(61)]).gather(sequences.items)
    table = {"user": sequences.owners, "item": ids, "time": sequences.times, "row": sequences.rows}
    return sr.Interactions(pl.DataFrame(table), "order")
