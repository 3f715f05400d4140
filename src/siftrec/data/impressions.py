"""The type `Impressions`: what users were shown, clicked or not, in groups that are judged from one history.

`siftrec.impressions` makes them of a log (`siftrec.data.exposure`); `siftrec.evaluate.impressions` measures on them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from siftrec.data.sequences import Sequences
from siftrec.data.split import Role, recoding
from siftrec.data.vocab import Vocab


@dataclass(frozen=True, eq=False)
class Impressions:
    """G groups of impressions; a group is shown to one user, who had clicked the same items before all of it.

    Attributes:
        clicks: U rows of clicked items, oldest first, none later than these impressions.
        users: (G,) row of each group's user in `clicks`.
        ends: (G,) how many of the user's clicks came before the group: its history.
        shown: G rows of items, oldest first.
        labels: (E,) float32 of each shown item: 1 = clicked.
        user_ids: (U,) raw user ids.
        items: whose codes these are.
        role: which part of its split it is; None = the training part, or made by hand.
        of: the whole part where these are some of its groups, or cut otherwise; None = these are all.
        protocol: name of the split, e.g. `impressions by user`; None as for `role`.
    """

    clicks: Sequences
    users: np.ndarray
    ends: np.ndarray
    shown: Sequences
    labels: np.ndarray
    user_ids: pl.Series
    items: Vocab
    role: Role | None = None
    of: Impressions | None = None
    protocol: str | None = None

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        told = f"{len(self.labels):,} impressions in {len(self):,} groups, {int(self.labels.sum()):,} clicked"
        return f"Impressions({self.role or 'training or made by hand'}: {told})"

    @property
    def whole(self) -> Impressions:
        """The part of the split that these impressions are of."""
        return self.of or self

    @property
    def odds(self) -> float:
        """Log odds that an impression is a click, as if one more of each kind had been seen."""
        clicked = float(self.labels.sum())
        return float(np.log((clicked + 1) / (len(self.labels) - clicked + 1)))

    def take(self, groups: np.ndarray) -> Impressions:
        """The named groups."""
        kept = self.shown.take(groups)
        at = np.arange(len(kept.items)) + np.repeat(self.shown.offsets[groups] - kept.offsets[:-1], kept.lengths)
        chosen = replace(self, users=self.users[groups], ends=self.ends[groups], shown=kept, labels=self.labels[at])
        return replace(chosen, of=self.whole)

    def ungrouped(self) -> Impressions:
        """Every impression a group of its own, with the same history: the same questions, each asked alone."""
        owners = self.shown.owners
        alone = Sequences.from_items(self.shown.items, np.ones(len(owners), np.int64))
        return replace(self, users=self.users[owners], ends=self.ends[owners], shown=alone, of=self.whole)

    def recode(self, items: Vocab) -> Impressions:
        """The same impressions in a catalog's codes.

        Raises:
            DataError: the catalog lacks an item.
        """
        if items == self.items:
            return self
        table = recoding(self.items, items)
        return replace(self, clicks=self.clicks.recode(table), shown=self.shown.recode(table), items=items)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of users, histories, shown items and labels."""
        digest = hashlib.sha256(self.user_ids.cast(pl.String).str.join("\x1f").item().encode())
        for rows in (self.clicks, self.shown):
            digest.update(rows.fingerprint.encode())
        for column in (self.users, self.ends, self.labels):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()
