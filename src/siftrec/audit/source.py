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
from siftrec.errors import DataError, UsageError
from siftrec.modality.precomputed import features


class Named(NamedTuple):
    """A log whose columns are named, where their names are not recognised."""

    path: str | os.PathLike[str]
    columns: Columns


@dataclass(frozen=True)
class Source:
    """What is audited.

    Attributes:
        path: the log file; of a log from memory `memory`.
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


Log = str | os.PathLike[str] | Named | Interactions
Given = Mapping[str, str | os.PathLike[str] | Vectors] | Catalog


def open_source(log: Log, content: Given) -> Source:
    """A log and its content vectors, read where they are files.

    Args:
        log: a log file, a folder in a known layout, or a log that was read.
        content: modality name → file of vectors, or files: vectors, ids, mask. Empty: what the layout has beside the log.
            Of a log that was read its catalog; empty: no content.

    Raises:
        DataError: anything that is not what it claims to be.
        UsageError: a catalog beside a file, or files beside a log that was read.
    """
    if isinstance(log, Interactions) != isinstance(content, Catalog) and content:
        problem = "a log that was read goes with a siftrec.Catalog, a log file with files of vectors"
        raise UsageError(f"features: {problem}")
    if isinstance(log, Interactions):
        events = _some(log, log.source)
        catalog = content.of(events.items) if isinstance(content, Catalog) else Catalog(events.items)
        return _source(Path(log.source), events, catalog, {})
    path, columns = log if isinstance(log, Named) else (log, Columns())
    layout = sniff(Path(path))
    events = _some(read(Path(path), **asdict(columns)), str(layout.log))
    assert not isinstance(content, Catalog)
    catalog = Catalog(events.items, **_modalities(layout, content))
    names = {} if layout.titles is None else {str(item): title for item, title in titles(layout.titles).iter_rows()}
    return _source(layout.log, events, catalog, names)


def _some(log: Interactions, source: str) -> Interactions:
    events = log.positives()
    if not len(events):
        raise DataError("holds no interaction to audit", source)
    return events


def _source(path: Path, events: Interactions, catalog: Catalog, names: Mapping[str, str]) -> Source:
    return Source(path, events, events.users, events.sequences(events.users, catalog.vocab), catalog, names)


def _modalities(layout: Layout, content: Mapping[str, str | os.PathLike[str] | Vectors]) -> dict[str, Modality]:
    if content:
        beside = {found.path.resolve(): found for found in layout.modalities}
        given = {
            name: each if isinstance(each, Vectors) else Vectors(name, Path(each), None, None)
            for name, each in content.items()
        }
        named = {
            name: each if each.ids or each.mask else beside.get(Path(each.path).resolve(), each)
            for name, each in given.items()
        }
    else:
        named = layout.named()
    return {name: features(each.path, ids=each.ids, mask=each.mask) for name, each in named.items()}
