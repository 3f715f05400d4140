"""Lists of recommendations that somebody else made, judged on the questions of a split like a model of one's own."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from siftrec.data.catalog import Catalog
from siftrec.data.keys import distinct_keys
from siftrec.data.layout import sniff
from siftrec.data.readers.arrow import framed, in_memory
from siftrec.data.readers.columns import recognised
from siftrec.data.sequences import Sequences
from siftrec.data.split import Part, Split
from siftrec.data.vocab import Vocab, listed_ids
from siftrec.data.writers import tables
from siftrec.errors import DataError, UsageError
from siftrec.evaluate.asked import check_asks
from siftrec.evaluate.evaluation import About, Evaluation, chosen_cutoffs, measured
from siftrec.evaluate.rank import FILTERS, Filter, Ranking, distinct

SOURCE = "lists"
ORDERS = {"rank": False, "score": True}
"""Columns that say how a list is ordered, and whether the largest value is the best."""


def evaluate_lists(
    lists: Any,
    split: Split,
    part: Literal["test", "valid"] = "test",
    *,
    method: str = SOURCE,
    seed: int = 0,
    catalog: Catalog | None = None,
    cutoffs: int | Iterable[int] | None = None,
) -> Evaluation:
    """Judge lists of recommendations by the metrics of `evaluate`, so that `compare` takes them beside a model's.

    An item that the catalog lacks keeps its place and is never right. What a list is too short for counts as not found,
    and a warning says how many users that concerns: unfiltered lists need as many items more as a user has seen.

    Args:
        lists: a table of polars, pandas or pyarrow, or a CSV, TSV, JSON lines, Parquet or Arrow file of one, with columns
            `user` and `item`, recognised by name as `read` does, a row per recommendation, ordered by a column `rank`
            (1 = best) or `score` (more is better), else as the rows are; or user → item ids, best first. Of equal scores
            the lower catalog code stands first, as where a model is ranked, and what the catalog lacks before it. Users
            that the part does not ask are left out.
        split: whose questions.
        part: which of its parts.
        method: how reports are to call whoever made the lists.
        seed: theirs, where `compare` is to take several evaluations for seeds of one model.
        catalog: what could have been recommended, as `fit` was given it; None: the items of the split.
        cutoffs: as of `evaluate`.

    Raises:
        DataError: no lists, columns that are missing, an item or a rank twice in one list, or a part that asks nothing.
        SettingsError: see `evaluate`.
        UsageError: not a split with such a part.
    """
    if not isinstance(split, Split) or part not in ("test", "valid"):
        raise UsageError("split: give the split and the name of its part, e.g. evaluate_lists(lists, split, 'test')")
    vocab = split.items if catalog is None else catalog.vocab
    asked: Part = getattr(split, part).recode(vocab)
    check_asks(asked, part)
    cutoffs = chosen_cutoffs(cutoffs, len(vocab) - 1)
    fitting = split.fitting.recode(vocab)
    row_n, code_n, tied_n = _given(lists, asked, vocab)
    ranking, short = _ranking(row_n, code_n, tied_n, asked, len(vocab), cutoffs[-1])
    if short:
        warnings.warn(
            f"{short:,} of {len(asked):,} users have fewer than {cutoffs[-1]} items in their list once seen ones are left "
            "out; what is missing counts as not found",
            stacklevel=2,
        )
    found = measured(ranking, asked, fitting.popularity, cutoffs)
    made_of = hashlib.sha256(row_n.tobytes() + code_n.tobytes()).hexdigest()
    about = About(
        method=method,
        seed=seed,
        split=part,
        protocol=split.protocol,
        items=len(vocab) - 1,
        fingerprint={"train": "", "test": asked.fingerprint},
        tied=float(ranking.tied.mean()),
        coverage=found.coverage,
        slices=found.slices,
        model=made_of,
        repeated=asked.repeated,
        unasked=asked.unasked,
    )
    return Evaluation(asked.user_ids, found.metrics, found.values, about)


def _given(lists: Any, asked: Part, vocab: Vocab) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Question, item code, and whether another item of the list has the score, of every recommendation to who is asked.

    Question by question, best first.
    """
    frame = _table(lists)
    worse_n, by = np.arange(len(frame), dtype=np.float64), "row"
    for name, descending in ORDERS.items():
        if name in frame.columns:
            value = frame[name].cast(pl.Float64, strict=False).to_numpy()
            if np.isnan(value).any():
                raise DataError(f"column {name!r} is not a number in every row", SOURCE)
            worse_n, by = -value if descending else value, name
            break
    row_n = Vocab(asked.user_ids).encode(frame["user"], unknown=0).astype(np.int64) - 1
    code_n = vocab.encode(frame["item"], unknown=0).astype(np.int64)
    if not (row_n >= 0).any():
        raise DataError(f"no list is of a user that is asked, of whom the first is {asked.user_ids[0]!r}", SOURCE)
    if not code_n.any():
        raise DataError(f"no item is in the catalog, whose first is {vocab.ids[0]!r}", SOURCE)
    order = np.lexsort((code_n, worse_n, row_n))[np.count_nonzero(row_n < 0) :]
    row_n, code_n, worse_n = row_n[order], code_n[order], worse_n[order]
    key_n = (row_n * len(vocab) + code_n)[code_n > 0]
    if len(key_n) > len(distinct_keys(key_n)):
        again = np.sort(key_n)
        row, code = divmod(int(again[:-1][again[1:] == again[:-1]][0]), len(vocab))
        raise DataError(f"user {asked.user_ids[row]!r} has item {vocab.ids[code - 1]!r} twice", SOURCE)
    same = (row_n[1:] == row_n[:-1]) & (worse_n[1:] == worse_n[:-1])
    if by == "rank" and same.any():
        at = int(same.argmax())
        raise DataError(
            f"user {asked.user_ids[int(row_n[at])]!r} has rank {worse_n[at]:g} twice; "
            "each rank may stand once in a list, and equal scores belong into a column 'score'",
            SOURCE,
        )
    return row_n, code_n, np.append(same, False) | np.append(False, same)


def _table(lists: Any) -> pl.DataFrame:
    """Columns user, item, and what they are ordered by."""
    if isinstance(lists, Mapping):
        each = {user: listed_ids(items) for user, items in lists.items() if len(items)}
        if not each:
            raise DataError("hold no recommendation", SOURCE)
        if len({items.dtype for items in each.values()}) > 1:
            raise DataError("item ids are numbers in some lists and text in others", SOURCE)
        spread = np.repeat(np.arange(len(each)), [len(items) for items in each.values()])
        return pl.DataFrame({"user": listed_ids(list(each)).gather(spread), "item": pl.concat(each.values())})
    frame = framed(_columns(lists))
    for role in ("user", "item"):
        name = role if role in frame.columns else recognised(role, frame.columns, SOURCE)
        if name is None:
            raise DataError(f"has no column {role!r}, only {', '.join(frame.columns)}", SOURCE)
        frame = frame.rename({name: role})
    if frame.is_empty():
        raise DataError("hold no recommendation", SOURCE)
    return frame


def _columns(lists: Any) -> pa.Table:
    """A table in memory or of a file, as it is."""
    if isinstance(lists, str | Path):
        layout = sniff(lists)
        return tables.whole(layout.log, layout.kind)
    if not (hasattr(lists, "__arrow_c_stream__") or isinstance(lists, pl.LazyFrame)):
        ways = "a table with columns user and item, the path of one, or a dict of user → item ids, best first"
        raise DataError(f"{type(lists).__name__} is none of what can be judged: {ways}", SOURCE)
    return in_memory(lists, SOURCE)


def _ranking(
    row_n: np.ndarray, code_n: np.ndarray, tied_n: np.ndarray, asked: Part, size: int, k: int
) -> tuple[Ranking, int]:
    """Where the targets stand in the lists, and how many filtered lists hold fewer than k items though more were left."""
    targets, seen = distinct(asked.targets), distinct(asked.seen)
    key_n = row_n * size + code_n
    open_n = (code_n == 0) | ~np.isin(key_n, seen.owners * size + seen.items)
    ranks: dict[Filter, np.ndarray] = {}
    top: dict[Filter, np.ndarray] = {}
    short = 0
    for filter in FILTERS:
        kept = np.ones(len(key_n), bool) if filter == "none" else open_n
        row, code, key = row_n[kept], code_n[kept], key_n[kept]
        counts = np.bincount(row, minlength=len(asked))
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        ranks[filter] = _of_targets(key, place, targets, size)
        top[filter] = np.zeros((len(asked), k), np.int32)
        within = place <= k
        top[filter][row[within], place[within] - 1] = code[within]
        if filter == "seen":
            left = np.minimum(k, size - 1 - seen.lengths)
            short = int(np.count_nonzero(counts < left))
    return Ranking(targets, ranks, _of_targets(key_n, tied_n, targets, size) == 1, top), short


def _of_targets(key_n: np.ndarray, value_n: np.ndarray, targets: Sequences, size: int) -> np.ndarray:
    """(T,) value of each target in its list, e.g. its place; `size`, which is beyond the catalog, where it is not in it."""
    order, wanted = np.argsort(key_n), targets.owners * size + targets.items
    keys, values = np.append(key_n[order], np.iinfo(np.int64).max), np.append(value_n[order], size)
    at = np.searchsorted(keys, wanted)
    return np.where(keys[at] == wanted, values[at], size)
