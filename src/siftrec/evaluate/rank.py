"""Full ranking: the exact rank of every target among all items, and the top of every list.

Rank 1 is best; equal scores go to the lower catalog code. A rank is counted, not sorted for; the filtered rank is the
unfiltered one minus the seen items that stand before the target. Scores are computed in pieces of one fixed shape, so
no number depends on the byte budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from siftrec.data.keys import distinct_keys
from siftrec.data.loader import pad, pad_shown
from siftrec.data.sequences import Sequences
from siftrec.data.split import Part
from siftrec.errors import NonFiniteLossError
from siftrec.evaluate.shortlist import shortlisted
from siftrec.methods.base import Scorer, VectorScorer, scores_of
from siftrec.nn.topk import top_k

Filter = Literal["seen", "none"]
AnyFilter = Literal["seen", "none", "filtered", "unfiltered"]
"""A filter by its name, or as reports spell it."""
FILTERS: dict[Filter, str] = {"seen": "filtered", "none": "unfiltered"}
"""Each filter as reports spell it. `seen`: items the user has seen cannot be recommended; `none`: all items can."""

BLOCK_BYTES = 128 * 2**20
ROWS = 64
TILE = 4096
_BYTES_PER_SCORE = 16  # the score itself, and what finding the best of them may take beside it

Progress = Callable[[int, int], None]
Blocks = Callable[[], Iterable[tuple[int, torch.Tensor]]]


@dataclass(frozen=True)
class Ranking:
    """Where the targets of Q questions stand. Targets that a question repeats count once.

    Attributes:
        targets: Q rows of distinct target codes, ascending.
        ranks: filter → (T,) int64 rank of each target; of a score of -inf, which no list holds, the catalog's items + 1.
        tied: (T,) bool: another item has the target's score.
        top: filter → (Q, k) int32 best codes; 0 = no more.
    """

    targets: Sequences
    ranks: Mapping[Filter, np.ndarray]
    tied: np.ndarray
    top: Mapping[Filter, np.ndarray]


def rank(
    scorer: Scorer,
    length: int,
    part: Part,
    k: int = 0,
    *,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Ranking:
    """Rank the whole catalog for every question.

    Args:
        scorer: gives scores for histories; a module is in evaluation mode meanwhile.
        length: L, the longest history it reads.
        part: the questions.
        k: how many of each list's best items to keep; 0 keeps none and is faster.
        progress: called with (questions done, questions).
        block_bytes: budget for scores; a plain `Scorer` is asked for 64 rows at once unless those exceed it.

    Raises:
        NonFiniteLossError: a score is NaN.
    """
    targets, seen = distinct(part.targets), distinct(part.seen)
    # Rows of a block are searched as deeply as the one with the most seen items.
    order = np.lexsort((seen.lengths, np.minimum(part.histories.lengths, length)))
    found = np.zeros((3, len(targets.items)), dtype=np.int64)
    tops = np.zeros((2, len(part), k), dtype=np.int32)
    done = 0
    with evaluating(scorer), torch.inference_mode():
        for rows, blocks in _questions(scorer, length, part, order, block_bytes):
            asked, known = targets.take(rows), seen.take(rows)
            found[:, _positions(targets, rows)] = _places(blocks, asked, known)
            if k:
                tops[:, rows] = _tops(blocks, known, k)
            done += len(rows)
            if progress is not None:
                progress(done, len(part))
    return Ranking(targets, {"none": found[0], "seen": found[1]}, found[2] > 0, {"none": tops[0], "seen": tops[1]})


def distinct(rows: Sequences) -> Sequences:
    """Each row's items once, ascending."""
    width = int(rows.items.max(initial=0)) + 1
    owners, items = np.divmod(distinct_keys(rows.owners * width + rows.items), width)
    return Sequences.from_items(items, np.bincount(owners, minlength=len(rows)))


@contextmanager
def evaluating(scorer: Scorer) -> Iterator[None]:
    """A module is in evaluation mode inside the block and as it was afterwards."""
    if not isinstance(scorer, torch.nn.Module) or not scorer.training:
        yield
        return
    scorer.eval()
    try:
        yield
    finally:
        scorer.train()


def _questions(
    scorer: Scorer, length: int, part: Part, order: np.ndarray, block_bytes: int
) -> Iterator[tuple[np.ndarray, Blocks]]:
    """Rows of questions with their scores: pairs of first column and scores_BC, where column c is item code c + 1."""
    if not isinstance(scorer, VectorScorer):
        # Only after the first answer is the width of the catalog known; it costs one row.
        width = scores_of(scorer, pad(part.histories, order[:1], length)).shape[1] if len(order) else 1
        rows = max(1, min(ROWS, block_bytes // (_BYTES_PER_SCORE * width)))
        for start in range(0, len(order), rows):
            here = order[start : start + rows]
            scores_BC = scores_of(scorer, pad(part.histories, here, length))[:, 1:]
            _check(not bool(scores_BC.isnan().any()))  # -inf is a score: never to be recommended
            yield here, lambda scores_BC=scores_BC: [(0, scores_BC)]  # type: ignore[misc]
        return
    items_CD = scorer.items()[1:]
    _check(bool(items_CD.isfinite().all()))
    width = min(len(items_CD), max(TILE, block_bytes // (_BYTES_PER_SCORE * ROWS) // TILE * TILE))
    space = items_CD.new_empty(ROWS * width)  # one buffer for all blocks: fresh pages cost as much as the product
    for start in range(0, len(order), ROWS):
        here = order[start : start + ROWS]
        items_BL, shown_BLM = pad(part.histories, here, length), pad_shown(part.histories, here, length)
        users_BD = scorer.users(items_BL) if shown_BLM is None else scorer.users(items_BL, shown_BLM)
        _check(bool(users_BD.isfinite().all()))
        yield here, _products(users_BD, items_CD, width, space)


def _check(comparable: bool) -> None:
    if not comparable:
        raise NonFiniteLossError("the model gives NaN as a score; its training diverged")


def _products(users_BD: torch.Tensor, items_CD: torch.Tensor, width: int, space: torch.Tensor) -> Blocks:
    def block(first: int) -> torch.Tensor:
        count = min(width, len(items_CD) - first)
        scores_BC = space[: len(users_BD) * count].view(len(users_BD), count)
        for start in range(0, count, TILE):
            tile_CD = items_CD[first + start : first + min(start + TILE, count)]
            torch.mm(users_BD, tile_CD.T, out=scores_BC[:, start : start + TILE])
        return scores_BC

    if len(items_CD) <= width:
        whole = [(0, block(0))]
        return lambda: whole
    return lambda: ((first, block(first)) for first in range(0, len(items_CD), width))


def _places(blocks: Blocks, asked: Sequences, seen: Sequences) -> np.ndarray:
    """Unfiltered rank, filtered rank and number of tied items of each target of a block, (3, T)."""
    scores_T, scores_S = _gather(blocks, asked), _gather(blocks, seen)
    place_T, tied_T = np.ones(len(scores_T), np.int64), np.full(len(scores_T), -1, np.int64)
    items = 0
    for first, scores_BC in blocks():
        rows = scores_BC.numpy()
        items = first + rows.shape[1]
        for t, (row, code) in enumerate(zip(asked.owners, asked.items, strict=True)):
            place_T[t] += np.count_nonzero(rows[row] > scores_T[t])
            tied = rows[row] == scores_T[t]
            count = np.count_nonzero(tied)
            tied_T[t] += count
            if count:
                place_T[t] += np.count_nonzero(tied[: max(code - 1 - first, 0)])
    before_T = [_before(seen, scores_S, *target) for target in zip(asked.owners, asked.items, scores_T, strict=True)]
    ranks_2T = np.stack([place_T, place_T - np.array(before_T, dtype=np.int64)])
    return np.vstack([np.where(np.isneginf(scores_T), items + 1, ranks_2T), tied_T])


def _before(seen: Sequences, scores_S: np.ndarray, row: int, code: int, score: np.floating) -> int:
    """How many seen items of a row stand before a target."""
    mine = slice(seen.offsets[row], seen.offsets[row + 1])
    scores, tied = scores_S[mine], scores_S[mine] == score
    return int(np.count_nonzero(scores > score) + np.count_nonzero(seen.items[mine][tied] < code))


def _gather(blocks: Blocks, cells: Sequences) -> np.ndarray:
    """The score of each item of ragged rows, (E,)."""
    owners, columns = cells.owners, cells.items.astype(np.int64) - 1
    values: np.ndarray | None = None
    for first, scores_BC in blocks():
        rows = scores_BC.numpy()
        inside = (columns >= first) & (columns < first + rows.shape[1])
        values = np.empty(len(columns), rows.dtype) if values is None else values
        values[inside] = rows[owners[inside], columns[inside] - first]
    return np.empty(0, np.float32) if values is None else values


def _tops(blocks: Blocks, seen: Sequences, k: int) -> np.ndarray:
    """The k best codes of each row of a block, unfiltered and filtered, (2, B, k)."""
    # The k best unseen items are among the k + |seen| best items, so one search serves both lists.
    wide = k + int(seen.lengths.max(initial=0))
    best: tuple[torch.Tensor, torch.Tensor] | None = None
    for first, scores_BC in blocks():
        values, columns = shortlisted(scores_BC, min(wide, scores_BC.shape[1]))
        codes = torch.where(values > -torch.inf, columns + (first + 1), 0)
        best = (values, codes) if best is None else _merged(best, (values, codes), wide)
    if best is None:
        return np.zeros((2, len(seen), k), np.int32)
    codes_BW = best[1].numpy()
    width = int(max(codes_BW.max(initial=0), seen.items.max(initial=0))) + 1
    known_BW = np.isin(codes_BW + np.arange(len(codes_BW))[:, None] * width, seen.owners * width + seen.items)
    unseen_BW = np.take_along_axis(np.where(known_BW, 0, codes_BW), np.argsort(known_BW, axis=1, kind="stable"), axis=1)
    out = np.zeros((2, len(codes_BW), k), np.int32)
    for list_BK, from_BW in zip(out, (codes_BW, unseen_BW), strict=True):
        list_BK[:, : from_BW.shape[1]] = from_BW[:, :k]
    return out


def _merged(
    left: tuple[torch.Tensor, torch.Tensor], right: tuple[torch.Tensor, torch.Tensor], k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best of two sorted lists; those on the left have the lower codes, so position decides ties."""
    values, codes = torch.cat([left[0], right[0]], dim=1), torch.cat([left[1], right[1]], dim=1)
    values, places = top_k(values, min(k, values.shape[1]))
    return values, torch.where(values > -torch.inf, codes.gather(1, places), 0)


def _positions(rows: Sequences, chosen: np.ndarray) -> np.ndarray:
    """Flat positions of the events of the chosen rows, in the order of `rows.take(chosen)`."""
    lengths = rows.lengths[chosen]
    ends = np.cumsum(lengths)
    starts: np.ndarray = np.repeat(rows.offsets[chosen] - ends + lengths, lengths)
    return starts + np.arange(len(starts))
