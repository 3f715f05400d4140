"""Foreign content: in some interactions a modality shows what belongs to another item, and the truth is kept.

A cover that is not the video's, a caption that was swapped: each modality of each train and validation interaction is
replaced with probability rho, independently, by that of a popularity-drawn item that has it and that the user does not
have. Items stay what they are. An item that lacks the modality shows nothing, before and after.

What is corrupted: the content of every history, those of the test questions included, for histories are made of train
and validation interactions. What is not: which items they are, test targets, candidates, and what ranking leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.draws import draw
from siftrec.data.split import TEST, TRAIN, Split, recoding
from siftrec.errors import SettingsError
from siftrec.noise.inject import Share, check_split
from siftrec.settings import Count, nearest, settings


@dataclass(frozen=True, eq=False)
class ForeignContent:
    """A split in which some content is foreign, and the truth about it.

    Attributes:
        split: the same questions; `split.log.shown` says whose content stood with each interaction.
        names: M modalities of the catalog, the columns of `shown`.
        foreign_EM: (E, M) bool over `split.log`'s events: True = another item's content.
    """

    split: Split
    names: tuple[str, ...]
    foreign_EM: np.ndarray

    def __repr__(self) -> str:
        told = [f", {name} in {int(count):,}" for name, count in zip(self.names, self.foreign_EM.sum(0), strict=True)]
        return f"ForeignContent({len(self.foreign_EM):,} interactions{''.join(told)}; {self.split!r})"

    def truth(self) -> pl.DataFrame:
        """One row per foreign content: `row` in the source, raw `user`, raw `item`, `modality`, raw `shown` item."""
        log, (event, column) = self.split.log, np.nonzero(self.foreign_EM)
        assert log.shown is not None
        return pl.DataFrame(
            {
                "row": log.rows[event],
                "user": self.split.users.gather(log.owners[event]),
                "item": self.split.items.decode(log.items[event]),
                "modality": pl.Series(self.names, dtype=pl.String).gather(column),
                "shown": self.split.items.decode(log.shown[event, column]),
            }
        )


@settings
class Foreign:
    """The `[data.foreign]` table.

    Attributes:
        rho: probability that a modality of a train or validation interaction is replaced, each independently.
        modalities: names; None = all of the catalog.
        seed: of the noise; None = the experiment's.
    """

    rho: Share = 0.2
    modalities: tuple[str, ...] | None = None
    seed: Count | None = None

    def __call__(self, split: Split, catalog: Catalog, seed: int) -> ForeignContent:
        """Corrupt the content of a split; what is foreign in it already is not touched again.

        Args:
            split: the log, which may hold planted interactions already.
            catalog: every item of the split, with its modalities.
            seed: the experiment's.

        Raises:
            SettingsError: a modality that the catalog lacks, or a catalog without any.
            UsageError: it is no split.
        """
        check_split(split)
        names = tuple(catalog)
        if self.modalities == ():
            raise SettingsError("data.foreign.modalities", "names none; leave it out for all of them")
        for name in self.modalities or ():
            if name not in names:
                raise SettingsError("data.foreign.modalities", f"the catalog has no {name!r}{nearest(name, names)}")
        if not names:
            raise SettingsError("data.foreign", "the catalog has no modality; add one, e.g. [modality.text]")
        log, code = split.log, recoding(split.items, catalog.vocab)
        own = np.repeat(log.items[:, None], len(names), axis=1)
        shown_EM = own.copy() if log.shown is None else log.shown.copy()
        able = (split.role < TEST)[:, None] & (shown_EM == own)
        foreign_EM = np.zeros(own.shape, bool)
        for column, name in enumerate(names):
            if self.modalities is not None and name not in self.modalities:
                continue
            rng = seeds.rng(seed if self.seed is None else self.seed, "foreign", name)
            present_N = catalog.modalities[name].present[code]
            chosen = np.flatnonzero(able[:, column] & present_N[log.items] & (rng.random(len(own)) < self.rho))
            drawn = _popular(split, chosen, present_N, rng)
            shown_EM[chosen[drawn > 0], column] = drawn[drawn > 0]
            foreign_EM[chosen[drawn > 0], column] = True
        return ForeignContent(split.with_noise(replace(log, shown=shown_EM), split.role), names, foreign_EM)


def _popular(split: Split, chosen: np.ndarray, present_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) int32 items of random training interactions that have the modality, none the user's own; 0 = none found."""
    log, known = split.log, split.role < TEST
    pool = log.items[(split.role == TRAIN) & present_N[log.items]]
    if not len(pool):
        return np.zeros(len(chosen), np.int32)
    own = log.owners[known] * np.int64(len(split.items)) + log.items[known]
    return draw(lambda slots: pool[rng.integers(0, len(pool), len(slots))], log.owners[chosen], own, len(split.items))
