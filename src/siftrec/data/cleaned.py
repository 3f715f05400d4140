"""A log that was cleaned, asked the questions of the log it was before."""

from __future__ import annotations

import numpy as np
import polars as pl

from siftrec.data.interactions import Interactions
from siftrec.data.sequences import Sequences
from siftrec.data.split import TRAIN, Split, checked
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, UsageError


def cleaned(split: Split, events: Interactions) -> Split:
    """The split of a whole log, with what cleaning has left of that log to train on.

    Users, items, targets and filtered items are those of the whole log; training interactions, the histories of the
    questions, weights and source rows are those of what is left. So models of both logs rank the same candidates for the
    same users and targets, and can be compared. Whoever has nothing left before a target is asked with an empty history.

    Args:
        split: of the whole log, before anything was dropped.
        events: what is left of it. Interactions are matched by user, item and, where `events` has a clock, time; of
            several that are equal in these the latest count as left.

    Raises:
        DataError: an interaction that the whole log lacks, or none of its validation or test part that is missing here;
            or no training interaction is left.
        UsageError: what is no split, or no log.
    """
    if not isinstance(split, Split):
        raise UsageError(f"split: {type(split).__name__} is no Split; cut the whole log, e.g. sr.leave_one_out(raw)")
    if not isinstance(events, Interactions):
        raise UsageError(f"events: {type(events).__name__} is no log; give what siftrec.read returns")
    log = _left(split, events.positives())
    same = ["user", "item", "nth"] + ["time"] * (events.time_kind == "clock")
    left, whole = _numbered(log, same), _numbered(split.log, same).with_columns(role=split.role)
    role = left.join(whole, on=same, how="left", maintain_order="left")["role"]
    if role.null_count():
        event = int(role.is_null().arg_max() or 0)
        raise _foreign(split.users[int(log.owners[event])], split.items.raw(log.items[[event]])[0], events)
    held_out = whole.filter(pl.col("role") != TRAIN)
    lost = held_out.join(left, on=same, how="anti", maintain_order="left")
    if len(lost):
        user, item = split.users[lost["user"][0]], split.items.raw(lost["item"].head(1).to_numpy())[0]
        raise DataError(
            f"lacks {len(lost):,} of {len(held_out):,} interactions that the {split.protocol} split of the original log "
            f"holds out, first that of user {user!r} with item {item!r}; `siftrec sift --drop --part train` keeps them",
            events.source,
        )
    order = np.lexsort((role, log.times, log.owners))  # of equal times, as `Predefined` has them
    return checked(
        split.with_noise(log.ordered(order), role.to_numpy()[order]), events, (TRAIN,), "cleaning has dropped them all"
    )


def _left(split: Split, events: Interactions) -> Sequences:
    """What is left, a row for each user of the whole split and in its codes."""
    frame = events.frame
    owners = Vocab(split.users).encode(frame["user"], unknown=0) - 1
    items = split.items.encode(frame["item"], unknown=0)
    unknown = (owners < 0) | (items == 0)
    if unknown.any():
        row = frame.row(int(unknown.argmax()), named=True)
        raise _foreign(row["user"], row["item"], events)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(split.users)))]).astype(np.int64)
    weights = frame["weight"].to_numpy().astype(np.float32) if "weight" in frame.columns else None
    log = Sequences(items, offsets, frame["time"].to_numpy(), frame["row"].to_numpy(), weights)
    return log.ordered(np.argsort(owners, kind="stable"))  # ids of another type may sort otherwise


def _numbered(log: Sequences, same: list[str]) -> pl.DataFrame:
    """One row per event: what it is matched by. `nth` counts equal events of a user, 0 being the last."""
    frame = pl.DataFrame({"user": log.owners, "item": log.items, "time": log.times})
    equal = [name for name in same if name != "nth"]
    return frame.with_columns(nth=pl.int_range(pl.len()).reverse().over(equal)).select(same)


def _foreign(user: object, item: object, events: Interactions) -> DataError:
    problem = f"has an interaction of user {user!r} with item {item!r}, which the original log lacks; drop rows only"
    return DataError(problem, events.source)
