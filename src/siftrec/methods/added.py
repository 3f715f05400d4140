"""Items that come after training, checked before a model reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch

from siftrec.data.catalog import Content
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, UsageError
from siftrec.methods.base import Scorer, VectorScorer
from siftrec.settings import nearest

_FARTHEST = 1000


class Newcomers(NamedTuple):
    """New items as `Extensible.extended` takes them.

    Attributes:
        ids: (n,) of the catalog's type.
        raw: modality → (n, F) float32, finite.
        present: modality → (n,) bool.
    """

    ids: pl.Series
    raw: dict[str, torch.Tensor]
    present: dict[str, torch.Tensor]


def newcomers(
    known: Vocab, contents: Iterable[Content], ids: Sequence[Any], content: Mapping[str, np.ndarray]
) -> Newcomers:
    """See `Trained.add_items`."""
    named, width = new_ids(known, ids), {each.name: each.width for each in contents}
    for name in content:
        if name not in width:
            raise DataError(f"the model has no modality {name!r}{nearest(name, width)}; it has {', '.join(width)}")
    raw = {name: torch.zeros(len(named), of) for name, of in width.items()}
    present = {name: torch.zeros(len(named), dtype=torch.bool) for name in width}
    for name, vectors in content.items():
        raw[name], present[name] = _read(name, vectors, named, width[name])
    without = ~torch.stack([*present.values()]).any(dim=0)
    if without.any():
        first = named[int(without.nonzero()[0])]
        raise DataError(f"item {first!r} has no content; it needs at least one of {', '.join(width)}")
    return Newcomers(named, raw, present)


def new_ids(known: Vocab, ids: Sequence[Any]) -> pl.Series:
    """Ids in the type of those that are known.

    Raises:
        DataError: an id of another type, or twice.
        UsageError: an id that is known.
    """
    kind = known.ids.dtype
    fitting = (str,) if kind == pl.String else (int, np.integer)
    odd = next((each for each in ids if not isinstance(each, fitting) or isinstance(each, bool) or _broken(each)), None)
    if odd is not None:
        raise DataError(f"id {odd!r} is not {'text' if kind == pl.String else 'a whole number'} as all others are")
    try:
        named = pl.Series("id", list(ids), dtype=kind)
    except (OverflowError, TypeError, pl.exceptions.PolarsError):
        raise DataError(f"an id is too large for {kind}, the type of this catalog's ids") from None
    codes = known.encode(named, unknown=0)
    if codes.any():
        raise UsageError(f"item {named[int(np.flatnonzero(codes)[0])]!r} is in the catalog already")
    if named.n_unique() < len(named):
        raise DataError(f"item {named.filter(named.is_duplicated())[0]!r} is there twice")
    return named


def _read(name: str, vectors: np.ndarray, ids: pl.Series, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors with zeros where a row is NaN, and which rows are not."""
    table = np.asarray(vectors)
    if table.dtype.kind not in "fiu" or table.shape != (len(ids), width):
        told = f"{table.dtype} {list(table.shape)}"
        raise DataError(f"modality {name!r} is {told}, and must be numbers {[len(ids), width]}: a row for each item")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as that
        table = np.array(table, np.float32)
    absent = np.isnan(table).all(axis=1)
    empty = np.flatnonzero(~table.any(axis=1))  # NaN is not zero
    if len(empty):
        raise DataError(
            f"item {ids[int(empty[0])]!r}: {name} is all zeros; give it a value, or leave it out where there is none"
        )
    table[absent] = 0
    odd = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(odd):
        raise DataError(f"item {ids[int(odd[0])]!r}: {name} holds NaN or infinity; NaN throughout means absent")
    return torch.from_numpy(table), torch.from_numpy(~absent)


def new_titles(ids: pl.Series, titles: Mapping[Any, str]) -> dict[Any, str]:
    """Titles of new items.

    Raises:
        DataError: a title that is not text, or of an item that is not among them.
    """
    known = set(ids.to_list())
    for raw, title in titles.items():
        if raw not in known:
            raise DataError(f"the title of {raw!r} is of none of the {len(ids)} items that are added")
        if not isinstance(title, str) or _broken(title):
            raise DataError(f"item {raw!r}: the title must be text, not {title!r}")
    return dict(titles)


def _broken(value: object) -> bool:
    """Whether it is text with half a character, which no file can hold."""
    return isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value)


def check_near(scorer: Scorer, ids: pl.Series, before: int) -> None:
    """Refuse new items, the last ones of a scorer, that are on another scale: one would spoil every answer.

    The scale is that of training alone, so that it does not matter in which order or portions items are added.

    Args:
        scorer: with the new items.
        ids: of the new items.
        before: how many items had been added earlier.

    Raises:
        DataError: naming the first.
    """
    if not isinstance(scorer, VectorScorer):
        return
    length_N = scorer.items().norm(dim=1)
    trained = len(length_N) - len(ids) - before
    odd = ~(length_N[-len(ids) :] <= _FARTHEST * length_N[:trained].max())
    if odd.any():
        problem = f"its content is over {_FARTHEST:,} times as far out as any of training"
        raise DataError(f"item {ids[int(odd.nonzero()[0])]!r}: {problem}; vectors must be on the scale of the others")


def covered(contents: Iterable[Content], before: int, present: Mapping[str, torch.Tensor]) -> tuple[Content, ...]:
    """The modalities with their coverage of the catalog and the new items together; `before` items were there."""
    return tuple(
        replace(each, coverage=(each.coverage * before + float(here.sum())) / (before + len(here)))
        for each, here in ((each, present[each.name]) for each in contents)
    )
