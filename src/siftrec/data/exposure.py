"""Logs that say what was shown and not clicked: cut into parts, and grouped by what is judged from one history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from siftrec.data.impressions import Impressions
from siftrec.data.interactions import Interactions
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, VALID, Fitting, Part
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, SettingsError
from siftrec.settings import Fraction, Size, construct, settings

CANDIDATES = {"shown": "impressions", "sampled": "sampled candidates"}
"""What is judged, as the protocol names it, by what rows labelled 0 are."""

_LABELS = {"train": TRAIN, "valid": VALID, "test": TEST}


@dataclass(frozen=True)
class ImpressionSplit:
    """Impressions cut into parts. Clicks form histories; everything shown is judged.

    Attributes:
        train: impressions in groups; their histories are clicks of the training part.
        valid: one group per user, all judged from the clicks before the part.
        test: likewise.
        protocol: name.
    """

    train: Impressions
    valid: Impressions
    test: Impressions
    protocol: str

    @property
    def items(self) -> Vocab:
        """The items, shown or clicked."""
        return self.train.items

    @property
    def users(self) -> pl.Series:
        """(U,) raw user ids."""
        return self.train.user_ids

    @property
    def fitting(self) -> Fitting:
        """What `fit` receives: nothing of the test part."""
        nobody, none = np.empty(0, np.int64), Sequences.from_items(np.empty(0, np.int32), np.empty(0, np.int64))
        valid = Part(nobody, self.train.user_ids.head(0), none, none, none, self.items, role="valid")
        return Fitting(self.train.clicks, valid, self.items, (self.train, self.valid))


@settings
class ImpressionCut:
    """Cuts a log with `label` (1 = clicked, 0 = shown only); clicks form histories, and everything shown is judged.

    A history holds clicks strictly earlier than the first impression judged from it, so what was shown at one time tells
    nothing of the rest of it. In validation and test a user's whole part is judged from the clicks before the part.

    Attributes:
        by: `user`: the last shares of each user's impressions; `time`: the last shares of all, by the clock; `split`: the
            column `split`, where `valid` may be missing: it is then cut from each user's training impressions.
        valid: share of impressions for validation, as far as shares decide; by `split`, of each user's training ones.
        test: share for the test, as far as shares decide.
        group: so many consecutive training impressions of a user are judged from one history: the more, the fewer
            histories to encode, and the older they are.
        candidates: what rows labelled 0 are: `shown` to the user, or `sampled` from what the user never had. It changes
            no figure, but the name of the protocol: over sampled candidates a figure says less.
    """

    by: Literal["user", "time", "split"] = "user"
    valid: Fraction = 0.1
    test: Fraction = 0.2
    group: Size = 20
    candidates: Literal["shown", "sampled"] = "shown"

    @property
    def leaks_time(self) -> bool:
        """Where each user's last shares are cut, one user's test part may be older than another's training data."""
        return self.by == "user"

    def __call__(self, events: Interactions) -> ImpressionSplit:
        """Cut the log.

        Raises:
            DataError: no labels, weights (nothing here reads them), no clock where one is needed, or an empty part.
            SettingsError: shares that leave nothing to validate, to test or to train on.
        """
        if "label" not in events.frame.columns:
            raise DataError("has no column 'label' with 1 (clicked) and 0 (shown, not clicked)", events.source)
        if "weight" in events.frame.columns:
            raise DataError(
                "has a column 'weight', which training on impressions does not read; leave it out", events.source
            )
        shares = self.valid, self.test
        if self.by != "split" and (0 in shares or sum(shares) >= 1):
            problem = f"{self.test} and valid {self.valid} leave nothing to train on, to validate or to test"
            raise SettingsError("split.test", problem)
        users, items = events.users, Vocab.of(events.items)
        log = events.sequences(users, items)
        labels = events.frame["label"].to_numpy().astype(np.float32)
        role = _roles(events, log, self)
        for name, part in _LABELS.items():
            if not (role == part).any():
                raise DataError(f"the split leaves no {name} impression", events.source)
        cut = _Cut(log, labels, role, users, items)
        protocol = f"{CANDIDATES[self.candidates]} by {self.by}"
        valid = replace(cut.part(VALID), role="valid", protocol=protocol)
        test = replace(cut.part(TEST), role="test", protocol=protocol)
        return ImpressionSplit(cut.part(TRAIN, self.group), valid, test, protocol)


def impressions(events: Interactions, **cut: Any) -> ImpressionSplit:
    """`ImpressionCut(**cut)(events)`: a log of what was shown, cut into parts.

    Args:
        events: the log.
        cut: settings of `ImpressionCut`, e.g. `group=10`.
    """
    return construct(ImpressionCut, cut, "split")(events)


def rated(events: Interactions, liked: float = 4.0) -> Interactions:
    """Ratings as impressions: whatever was rated was shown, and is labelled 1 where the rating is at least `liked`.

    Raises:
        DataError: no ratings.
    """
    if "rating" not in events.frame.columns:
        raise DataError("has no column 'rating'", events.source)
    return replace(events, frame=events.frame.with_columns((pl.col("rating") >= liked).cast(pl.Int8).alias("label")))


@dataclass(frozen=True)
class _Cut:
    """A log with the part of each impression."""

    log: Sequences
    labels: np.ndarray
    role: np.ndarray
    users: pl.Series
    items: Vocab

    def part(self, role: int, group: int | None = None) -> Impressions:
        """The impressions of a part, `group` at a time; None: all of a user's together."""
        here = self.role == role
        shown, owners = self.log.where(here), self.log.owners[here]
        place = np.arange(len(owners)) - shown.offsets[owners]
        first = place == 0 if group is None else place % group == 0
        start = np.flatnonzero(first)
        grouped = replace(shown, offsets=np.append(start, len(owners)).astype(np.int64))
        clicks = self.log.where((self.labels > 0) & (self.role <= role))
        ends = _earlier(clicks, owners[start], shown.times[start])
        if role > TRAIN:
            before = self.log.where((self.labels > 0) & (self.role < role))
            ends = np.minimum(ends, before.lengths[owners[start]])
        return Impressions(clicks, owners[start], ends, grouped, self.labels[here], self.users, self.items)


def _earlier(clicks: Sequences, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How many clicks of each named row are strictly earlier than a time."""
    order = np.lexsort((times, rows))
    ends = np.empty(len(rows), np.int64)
    # Rows and times ascend together, so one merge of both sorted lists counts for all.
    key = np.concatenate([clicks.owners, rows[order]])
    when = np.concatenate([clicks.times, times[order]])
    asked = np.concatenate([np.zeros(len(clicks.items), np.int8), np.ones(len(rows), np.int8)])
    merged = np.lexsort((1 - asked, when, key))
    counted = np.cumsum(asked[merged] == 0)[asked[merged] == 1]
    ends[order] = counted - clicks.offsets[rows[order]]
    return ends


def _roles(events: Interactions, log: Sequences, how: ImpressionCut) -> np.ndarray:
    """(E,) part of each impression; impressions of one user at one time share it."""
    valid, test = how.valid, how.test
    if how.by == "time":
        if events.time_kind != "clock":
            raise DataError("has no clock, only an order within each user; cut it by = 'user'", events.source)
        cuts = np.quantile(log.times, [1 - test - valid, 1 - test], method="higher")
        return np.asarray(np.searchsorted(cuts, log.times, side="right"), np.int8)
    if how.by == "user":
        return np.asarray(_last(log, valid + test, VALID) + _last(log, test, TEST - VALID))
    if "split" not in events.frame.columns:
        raise DataError("has no column 'split' with train, valid or test in each row", events.source)
    split = events.frame["split"]
    role: np.ndarray = split.replace_strict(_LABELS, default=-1, return_dtype=pl.Int8).to_numpy()
    if (role < 0).any():
        wrong = split[int((role < 0).argmax())]
        raise DataError(f"split label {wrong!r} is none of train, valid, test", events.source)
    ordered = role[np.lexsort((role, log.times, log.owners))]  # of equal times, as `Predefined` has them
    if ((np.diff(ordered) < 0) & (np.diff(log.owners) == 0)).any():
        raise DataError(
            "a user's parts are out of order in time: train must come before valid before test", events.source
        )
    if (role == VALID).any():
        return role
    if not 0 < valid < 1:
        problem = f"{valid} leaves nothing to train on or to validate, and the log has no row with split 'valid'"
        raise SettingsError("split.valid", problem)
    training = log.where(role == TRAIN)
    filled = role.copy()
    filled[role == TRAIN] = _last(training, valid, VALID)
    return filled


def _last(log: Sequences, share: float, role: int) -> np.ndarray:
    """(E,) int8 `role` at the last share of each row's events, at least one; events at the time of the cut are after it."""
    lengths = log.lengths
    cut = lengths - np.maximum(np.rint(lengths * share).astype(np.int64), 1)
    some = np.flatnonzero(lengths)
    when = np.full(len(log), np.iinfo(np.int64).max)
    when[some] = log.times[log.offsets[some] + cut[some]]
    return np.where(log.times >= when[log.owners], role, 0).astype(np.int8)
