"""The log to be audited and the content of its items, read and validated once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from siftrec.data.catalog import Catalog, Modality
from siftrec.data.interactions import Interactions
from siftrec.data.layout import Layout, Vectors, sniff
from siftrec.data.read import read
from siftrec.data.readers.columns import Columns
from siftrec.data.sequences import Sequences
from siftrec.data.titles import titles
from siftrec.errors import DataError
from siftrec.modality.precomputed import features


class Named(NamedTuple):
    """A log whose columns are named, where their names are not recognised."""

    path: str | os.PathLike[str]
    columns: Columns


@dataclass(frozen=True)
class Source:
    """What is audited.

    Attributes:
        path: the log file.
        events: its positive interactions.
        users: (U,) raw user ids.
        log: U rows, aligned with `events`.
        catalog: every item of the log, with content.
        titles: raw item id as text → title; empty where the layout has none.
    """

    path: Path
    events: Interactions
    users: pl.Series
    log: Sequences
    catalog: Catalog
    titles: Mapping[str, str]


Given = Mapping[str, str | os.PathLike[str] | Vectors]


def open_source(path: Path, content: Given, columns: Columns | None = None) -> Source:
    """Read a log and its content vectors.

    Args:
        path: a log file, or a folder in a known layout.
        content: modality name → file of vectors, or files: vectors, ids, mask. Empty: what the layout has beside the log.
        columns: what its columns are called; None: recognised by name.

    Raises:
        DataError: anything that is not what it claims to be.
    """
    layout = sniff(path)
    whole = read(path, **asdict(columns or Columns()))
    events = whole.positives()
    if not len(events):
        raise DataError("holds no interaction to audit", str(layout.log))
    catalog = Catalog(events.items, **_modalities(layout, content))
    names = {} if layout.titles is None else {str(item): title for item, title in titles(layout.titles).iter_rows()}
    return Source(layout.log, events, events.users, events.sequences(events.users, catalog.vocab), catalog, names)


def _modalities(layout: Layout, content: Given) -> dict[str, Modality]:
    beside = {found.path.resolve(): found for found in layout.modalities}
    named = {found.name: found for found in layout.modalities}
    if content:
        given = {
            name: each if isinstance(each, Vectors) else Vectors(name, Path(each), None, None)
            for name, each in content.items()
        }
        named = {
            name: each if each.ids or each.mask else beside.get(Path(each.path).resolve(), each)
            for name, each in given.items()
        }
    return {name: features(each.path, ids=each.ids, mask=each.mask) for name, each in named.items()}
