"""Values per user, a few kilobytes for each cell: whoever has the repository can compare cells without training them again.

A row per test user in the order of the questions, a column per metric, filtered. Users have no names here: the fingerprint
of the questions, which covers their ids, says who they are.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from siftrec.evaluate.evaluation import About, Evaluation

_HEADER = b"siftrec.benchmark"


def write(evaluation: Evaluation, metrics: tuple[str, ...], path: Path) -> None:
    """Keep some metrics of an evaluation; what is not per user and in the cell's figures is left out."""
    table = pl.DataFrame({metric: evaluation.per_user(metric) for metric in metrics}).to_arrow()
    about = json.dumps(asdict(replace(evaluation.about, coverage={}, slices={}))).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_suffix(".writing")
    with pq.ParquetWriter(work, table.schema, compression="zstd", compression_level=19, store_schema=False) as writer:
        writer.add_key_value_metadata({_HEADER: about})
        writer.write_table(table)
    os.replace(work, path)


def read(path: Path) -> Evaluation:
    """What `write` kept: filtered values, positions for users."""
    table = pq.read_table(path)
    frame = pl.DataFrame(table)
    users = pl.int_range(len(frame), eager=True).cast(pl.String)
    about = About(**json.loads(table.schema.metadata[_HEADER]))
    return Evaluation(users, tuple(frame.columns), {"seen": frame.to_numpy().T}, about)
