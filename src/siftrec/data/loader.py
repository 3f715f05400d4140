"""The border: NumPy histories become torch batches. Windows are gathered by index, no per-user Python, no workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch

from siftrec import seeds
from siftrec.data.impressions import Impressions
from siftrec.data.sequences import Sequences

Rows = Literal["prefix", "sequence"]
_BUCKET = 32
AROUND = 20


class Around(NamedTuple):
    """Where the last target of each row stands among the user's training interactions, before and after it.

    Attributes:
        items_BW: int64 at most 20 interactions, 0 = padding on the left.
        place_B: int64 column of the target.
    """

    items_BW: torch.Tensor
    place_B: torch.Tensor


class Exposed(NamedTuple):
    """What was shown after each history.

    Attributes:
        codes_BC: int64 item codes, 0 = padding on the left.
        labels_BC: float32, 1 = clicked.
        odds: log odds of a click in all of training.
    """

    codes_BC: torch.Tensor
    labels_BC: torch.Tensor
    odds: float


@dataclass(frozen=True)
class Batch:
    """Training rows.

    Attributes:
        items_BL: int64 item codes, most recent in the last column, 0 = padding on the left.
        targets_BP: int64 item that came next, 0 = none. P = 1: after the whole history; P = L: after each position.
        weights_BP: float32 weight of each target in the next-item loss.
        user_B: int64 row of the user in the training sequences.
        trust_BL: float32 weight of each interaction of the history, 1 where the log has no weights.
        around: what the user did around the last target; None where the loader was not asked for it.
        shown_BLM: int64 item whose content of each modality stood with each interaction, 0 on padding; None = its own.
        exposed: what was shown after the history, with P = 1 and the last click among it as target; None = not known.
    """

    items_BL: torch.Tensor
    targets_BP: torch.Tensor
    weights_BP: torch.Tensor
    user_B: torch.Tensor
    trust_BL: torch.Tensor
    around: Around | None = None
    shown_BLM: torch.Tensor | None = None
    exposed: Exposed | None = None

    def __len__(self) -> int:
        return len(self.items_BL)

    @property
    def asked(self) -> int:
        """How many targets, or impressions, the loss is about."""
        return int((self.targets_BP if self.exposed is None else self.exposed.codes_BC).count_nonzero())


@dataclass(frozen=True)
class Loader:
    """Cuts training sequences into batches; the order of epoch e depends on (seed, e) alone.

    Attributes:
        train: training sequences.
        rows: `prefix`: one row per target, with everything before it as history; `sequence`: one row per window of
            `length` targets, a target after every position.
        length: L, the longest history.
        batch_size: rows per batch.
        seed: of the run.
        rows_per_user: at most so many `prefix` rows of each user per epoch, drawn anew each epoch; None = all.
        around: whether batches say what the user did around the last target.

    Rows of similar length share a batch, so padding is hardly computed: the shuffled rows are sorted by length within
    chunks of 32 batches, cut, and the batches shuffled.
    """

    train: Sequences
    rows: Rows
    length: int
    batch_size: int
    seed: int
    rows_per_user: int | None = None
    around: bool = False

    def plan(self, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The epoch's batches as (user rows, end positions); a row's history ends before `end`."""
        rng = seeds.rng(self.seed, "order", epoch)
        users, ends = self.drawn(rng)
        batches = bucketed(np.minimum(ends, self.length), self.batch_size, rng)
        return [(users[batch], ends[batch]) for batch in batches]

    def drawn(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """User row and end position of every training row of an epoch."""
        return self._prefixes(rng) if self.rows == "prefix" else self._windows()

    def _prefixes(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        users = self.train.owners
        ends = np.arange(len(users)) - self.train.offsets[users]
        kept = capped(users, np.flatnonzero(ends > 0), self.rows_per_user, rng)
        return users[kept], ends[kept]

    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        steps = np.maximum(self.train.lengths - 1, 0)
        count = -(-steps // self.length)
        users = np.repeat(np.arange(len(steps)), count)
        back = np.arange(len(users)) - np.repeat(np.cumsum(count) - count, count)
        return users, steps[users] - back * self.length

    def batch(self, users: np.ndarray, ends: np.ndarray) -> Batch:
        """Gather one planned batch, trimmed to its longest history."""
        length = int(min(ends.max(), self.length))
        items = self.train.window(users, ends, length)
        if self.rows == "prefix":
            at = (self.train.offsets[users] + ends)[:, None]
        else:
            at = np.where(items > 0, (self.train.offsets[users] + ends)[:, None] + np.arange(1 - length, 1), -1)
        targets = np.where(at >= 0, self.train.items[at], 0)
        if self.train.weights is None:
            weights, trust = np.ones(targets.shape, np.float32), np.ones(items.shape, np.float32)
        else:
            weights = self.train.weights[at]
            trust = self.train.window(users, ends, length, self.train.weights)
        return Batch(
            items_BL=torch.from_numpy(_long(items)),
            targets_BP=torch.from_numpy(_long(targets)),
            weights_BP=torch.from_numpy(weights),
            user_B=torch.from_numpy(_long(users)),
            trust_BL=torch.from_numpy(trust),
            around=self._around(users, ends) if self.around else None,
            shown_BLM=shown_content(self.train, users, ends, length),
        )

    def _around(self, users: np.ndarray, ends: np.ndarray) -> Around:
        lengths = self.train.lengths[users]
        until = np.minimum(np.maximum(ends + AROUND // 2, AROUND), lengths)
        width = int(np.minimum(until, AROUND).max(initial=1))
        items, place = self.train.window(users, until, width), width - (until - ends)
        return Around(torch.from_numpy(_long(items)), torch.from_numpy(_long(place)))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The epoch's batches, from the `skip`-th on."""
        for users, ends in self.plan(epoch)[skip:]:
            yield self.batch(users, ends)


@dataclass(frozen=True)
class ImpressionLoader:
    """Cuts groups of impressions into batches, as `Loader` cuts training sequences.

    Attributes:
        data: the impressions.
        length: L, the longest history.
        batch_size: groups per batch.
        seed: of the run.
        rows_per_user: at most so many groups of each user per epoch, drawn anew each epoch; None = all.
    """

    data: Impressions
    length: int
    batch_size: int
    seed: int
    rows_per_user: int | None = None

    def plan(self, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The epoch's batches as (groups, ends of their histories)."""
        rng, ends = seeds.rng(self.seed, "order", epoch), self.data.ends
        groups = capped(self.data.users, np.arange(len(ends)), self.rows_per_user, rng)
        batches = bucketed(np.minimum(ends[groups], self.length), self.batch_size, rng)
        return [(groups[batch], ends[groups[batch]]) for batch in batches]

    def batch(self, groups: np.ndarray, ends: np.ndarray) -> Batch:
        """Gather one planned batch, trimmed to its longest history and its largest group."""
        users, shown = self.data.users[groups], self.data.shown
        items = torch.from_numpy(_long(self.data.clicks.window(users, ends, max(1, int(min(ends.max(), self.length))))))
        sizes = shown.lengths[groups]
        codes = torch.from_numpy(_long(shown.window(groups, sizes, int(sizes.max()))))
        labels = torch.from_numpy(shown.window(groups, sizes, int(sizes.max()), self.data.labels))
        place = torch.arange(1, codes.shape[1] + 1)
        last = (labels * place).argmax(dim=1, keepdim=True)
        targets = codes.gather(1, last) * labels.gather(1, last).long()
        ones = torch.ones_like(targets, dtype=torch.float32)
        exposed = Exposed(codes, labels, self.data.odds)
        trust = torch.ones_like(items, dtype=torch.float32)
        return Batch(items, targets, ones, torch.from_numpy(_long(users)), trust, exposed=exposed)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The epoch's batches, from the `skip`-th on."""
        for groups, ends in self.plan(epoch)[skip:]:
            yield self.batch(groups, ends)


def capped(owners: np.ndarray, rows: np.ndarray, limit: int | None, rng: np.random.Generator) -> np.ndarray:
    """At most `limit` rows of each owner, drawn at random; None: all.

    Args:
        owners: (R,) of every row.
        rows: ascending row numbers to choose from.
        limit: of each owner.
        rng: draws.

    Returns:
        Row numbers, ascending.
    """
    if limit is None:
        return rows
    shuffled = rng.permutation(rows)
    shuffled = shuffled[np.argsort(owners[shuffled], kind="stable")]
    owner = owners[shuffled]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    return np.sort(shuffled[rank < limit])


def bucketed(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random batches of rows of similar length.

    Args:
        lengths: (R,) of each row.
        batch_size: rows per batch.
        rng: decides the order.

    Returns:
        Row numbers of each batch; together every row once.
    """
    order = rng.permutation(len(lengths))
    chunk = batch_size * _BUCKET
    batches: list[np.ndarray] = []
    for start in range(0, len(order), chunk):
        part = order[start : start + chunk]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _long(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.int64)


def shown_content(rows: Sequences, which: np.ndarray, ends: np.ndarray, length: int) -> torch.Tensor | None:
    """shown_BLM of windows of rows (see `Sequences.window` and `Batch`); None where all content is the items' own."""
    if rows.shown is None:
        return None
    return torch.from_numpy(_long(rows.window(which, ends, length, rows.shown)))


def pad(histories: Sequences, rows: np.ndarray, length: int) -> torch.Tensor:
    """items_BL of whole histories (their last `length` items), for scoring."""
    ends = histories.lengths[rows]
    longest = int(min(max(int(ends.max(initial=1)), 1), length))
    return torch.from_numpy(_long(histories.window(rows, ends, longest)))


_BLOCK = 512


class Block(NamedTuple):
    """Some histories of about one length, padded.

    Attributes:
        rows: (B,) which ones.
        items_BL: see `pad`.
        real: (B, L) bool, where there is an item.
        events: (n,) the events of the histories that stand at `real`, in that order.
    """

    rows: np.ndarray
    items_BL: torch.Tensor
    real: np.ndarray
    events: np.ndarray


def blocks(histories: Sequences, length: int) -> Iterator[Block]:
    """All histories, the shortest first, some hundreds at a time; the last `length` items of each."""
    order = np.argsort(histories.lengths, kind="stable")
    for rows in np.array_split(order, max(1, len(order) // _BLOCK)):
        items_BL = pad(histories, rows, length)
        real = (items_BL > 0).numpy()
        at = histories.offsets[1:][rows][:, None] + np.arange(-items_BL.shape[1], 0)
        yield Block(rows, items_BL, real, at[real])


def pad_shown(histories: Sequences, rows: np.ndarray, length: int) -> torch.Tensor | None:
    """shown_BLM beside `pad`'s items_BL; None where all content is the items' own."""
    ends = histories.lengths[rows]
    return shown_content(histories, rows, ends, int(min(max(int(ends.max(initial=1)), 1), length)))
