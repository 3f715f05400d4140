"""Which real histories a page shows: one for each reason to look, chosen by rule so that nobody picks the pretty ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from siftrec.data.sequences import Sequences
from siftrec.report.company import Companies
from siftrec.report.data import History, Mark
from siftrec.report.marks import Company

SHOWN = 10
LONG_ENOUGH = 5


class Naming(Protocol):
    """What examples need to know about names."""

    def user(self, row: int) -> str: ...
    def item(self, code: int) -> str: ...
    def title(self, code: int) -> str | None: ...


@dataclass(frozen=True)
class Scored:
    """A log with the scores of its events; every array is (E,). `planted` may be None."""

    log: Sequences
    catalog_size: int
    noise: np.ndarray
    flagged: np.ndarray
    evidence: np.ndarray
    position: np.ndarray
    planted: np.ndarray | None

    @cached_property
    def companies(self) -> Companies:
        """What is had together."""
        return Companies(self.log, self.catalog_size)

    @cached_property
    def shown(self) -> np.ndarray:
        """(E,) bool: the last interactions of each history, all that an example shows."""
        shown: np.ndarray = self.log.lengths[self.log.owners] - self.position < SHOWN
        return shown

    @cached_property
    def mean(self) -> np.ndarray:
        """(U,) mean noise of what is shown; 0 for an empty history."""
        owners, users = self.log.owners[self.shown], len(self.log)
        total = np.bincount(owners, self.noise[self.shown], users)
        mean: np.ndarray = total / np.maximum(np.bincount(owners, minlength=users), 1)
        return mean

    @cached_property
    def candidates(self) -> np.ndarray:
        """(U,) bool: histories long enough to be read as a story; all judged ones where none is."""
        judged = np.bincount(self.log.owners, self.evidence > 0, len(self.log)) > 0
        long = judged & (self.log.lengths >= LONG_ENOUGH)
        return long if long.any() else judged

    def most(self, values: np.ndarray, events: np.ndarray) -> np.ndarray:
        """(U,) the largest of the values of each history's named events that are shown; -inf without one."""
        best = np.full(len(self.log), -np.inf)
        events = events & self.shown
        np.maximum.at(best, self.log.owners[events], values[events])
        return best


def examples(scored: Scored, names: Naming) -> tuple[History, ...]:
    """At most seven histories of different users, in the order of the rules; fewer where a rule finds none."""
    chosen: list[History] = []
    taken = np.zeros(len(scored.log), bool)
    for why, rule in _RULES.items():
        worth = np.where(taken, -np.inf, rule(scored))
        if not len(worth) or not np.isfinite(worth.max()):
            continue
        row = int(worth.argmax())
        taken[row] = True
        chosen.append(History(names.user(row), why, _marks(scored, row, names), int(scored.log.lengths[row])))
    return tuple(chosen)


def _stands_out(scored: Scored) -> np.ndarray:
    worth = scored.most(scored.noise, scored.evidence > 0) - scored.mean
    return np.where(scored.candidates & (worth > 0), worth, -np.inf)


def _typical(scored: Scored) -> np.ndarray:
    here = scored.candidates
    median = np.median(scored.mean[here]) if here.any() else 0.0
    return np.where(here, -np.abs(scored.mean - median), -np.inf)


def _noisiest(scored: Scored) -> np.ndarray:
    return np.where(scored.candidates, scored.mean, -np.inf)


def _cleanest(scored: Scored) -> np.ndarray:
    return np.where(scored.candidates, -scored.mean, -np.inf)


def _shortest(scored: Scored) -> np.ndarray:
    lengths = scored.log.lengths
    return np.where((lengths > 1) & (lengths < LONG_ENOUGH), -lengths.astype(np.float64), -np.inf)


def _missed(scored: Scored) -> np.ndarray:
    if scored.planted is None:
        return np.full(len(scored.log), -np.inf)
    events = scored.planted & ~scored.flagged & (scored.evidence > 0)
    return np.where(scored.candidates, scored.most(-scored.noise, events), -np.inf)


def _wronged(scored: Scored) -> np.ndarray:
    if scored.planted is None:
        return np.full(len(scored.log), -np.inf)
    return np.where(scored.candidates, scored.most(scored.noise, ~scored.planted & scored.flagged), -np.inf)


_RULES: dict[str, Callable[[Scored], np.ndarray]] = {
    "Stands out: one interaction differs most from the rest of its history": _stands_out,
    "Typical: as noisy as the median history": _typical,
    "Noisiest: the highest mean noise probability": _noisiest,
    "Cleanest: the lowest mean noise probability": _cleanest,
    "Missed: planted noise that looks genuine": _missed,
    "Wronged: a genuine interaction that is flagged": _wronged,
    "Short: little there to judge by": _shortest,
}


def _marks(scored: Scored, row: int, names: Naming) -> tuple[Mark, ...]:
    end = int(scored.log.offsets[row + 1])
    events = range(max(int(scored.log.offsets[row]), end - SHOWN), end)
    return tuple(_mark(scored, row, event, names) for event in events)


def _mark(scored: Scored, row: int, event: int, names: Naming) -> Mark:
    code = int(scored.log.items[event])
    return Mark(
        position=int(scored.position[event]),
        id=names.item(code),
        title=names.title(code),
        noise=float(scored.noise[event]),
        flagged=bool(scored.flagged[event]),
        evidence=int(scored.evidence[event]),
        planted=None if scored.planted is None else bool(scored.planted[event]),
        company=_company(scored, row, code, names),
    )


def _company(scored: Scored, row: int, code: int, names: Naming) -> Company | None:
    found = scored.companies.best(row, code)
    return None if found is None else Company(names.title(found[0]) or names.item(found[0]), *found[1:])
