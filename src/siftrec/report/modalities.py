"""From the weights of modalities to what the noise page shows of them: by item, by user, and in real histories."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siftrec.data.sequences import Sequences
from siftrec.noise.modal import Modal, preference
from siftrec.report.data import Bin, Detection, Estimate, Modalities, Modality, Reader, Shares, Slot, Weighed
from siftrec.report.examples import LONG_ENOUGH, SHOWN
from siftrec.report.summary import Names, ranges

_BINS = 10
_LEAD = 0.1
_NAMED = 4


@dataclass(frozen=True)
class Covered:
    """How many items have a modality, and how it came."""

    present: int
    imputed: int
    absent: int


@dataclass(frozen=True)
class Weighing:
    """A log with what is believed of its modalities.

    Attributes:
        log: the judged events.
        found: of them.
        names: of users and items.
        foreign: (E, M) bool, the truth where it is known.
    """

    log: Sequences
    found: Modal
    names: Names
    foreign: np.ndarray | None = None

    @cached_property
    def preference(self) -> np.ndarray:
        """(U, M) ω; nan where nothing can be said."""
        return preference(self.found.weights, self.log)

    @cached_property
    def told(self) -> np.ndarray:
        """(U,) bool: users of whom something can be said."""
        return np.asarray(np.isfinite(self.preference[:, 0]))

    @cached_property
    def position(self) -> np.ndarray:
        """(E,) 1 = the user's first."""
        return np.asarray(np.arange(len(self.log.items)) - self.log.offsets[self.log.owners] + 1)


def modalities(
    weighing: Weighing, coverage: Mapping[str, Covered], planted: Mapping[str, Detection] | None = None
) -> Modalities:
    """Which modalities drive the catalog, and which users.

    Args:
        weighing: the log and what is believed of it.
        coverage: by modality.
        planted: how well planted foreign content is found, by modality, where the truth is known.
    """
    log, names = weighing.log, weighing.found.noise.names
    weights_EM = weighing.found.weights.weight_EM
    seen_E = weighing.found.weights.present_EM.any(axis=1)
    popularity_E = log.counts(len(weighing.names.items))[log.items]
    groups = [(label, here & seen_E) for label, here in ranges(popularity_E)]
    return Modalities(
        each=tuple(_modality(weighing, m, coverage[name], (planted or {}).get(name)) for m, name in enumerate(names)),
        overall=_shares("all items", weights_EM[seen_E]),
        by_popularity=tuple(_shares(label, weights_EM[here]) for label, here in groups if here.any()),
        clusters=tuple(_clusters(weighing)),
        untold=int(((log.lengths > 0) & ~weighing.told).sum()),
        histories=_readers(weighing),
    )


def _modality(weighing: Weighing, m: int, covered: Covered, planted: Detection | None) -> Modality:
    noise = weighing.found.noise
    place = np.minimum((weighing.preference[weighing.told, m] * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(place, minlength=_BINS).tolist()
    bins = (Bin(f"{k / _BINS:.1f} to {(k + 1) / _BINS:.1f}", count) for k, count in enumerate(counts))
    upper = Estimate(noise.rho_upper[m], *noise.rho_interval[m])
    flagged = int(noise.flagged_EM[:, m].sum())
    return Modality(
        noise.names[m], covered.present, covered.imputed, covered.absent, upper, flagged, tuple(bins), planted
    )


def _shares(label: str, weights: np.ndarray) -> Shares:
    mean = weights.mean(axis=0, dtype=np.float64) if len(weights) else np.zeros(weights.shape[1])
    return Shares(label, len(weights), tuple(mean.tolist()))


def _clusters(weighing: Weighing) -> list[Shares]:
    """Users by the modality that leads the second by a tenth; those without one last."""
    preference, names = weighing.preference[weighing.told], weighing.found.noise.names
    ordered = np.sort(preference, axis=1)
    leads = ordered[:, -1] - (ordered[:, -2] if len(names) > 1 else 0) >= _LEAD
    strongest = np.where(leads, preference.argmax(axis=1), -1) if len(preference) else np.empty(0, np.int64)
    labelled = [*((f"mostly {name}", m) for m, name in enumerate(names)), ("no clear preference", -1)]
    return [_shares(label, preference[strongest == m]) for label, m in labelled if (strongest == m).any()]


def _readers(weighing: Weighing) -> tuple[Reader, ...]:
    """One history for each reason to look, of different users; fewer where a rule finds none."""
    log, chosen = weighing.log, list[Reader]()
    taken = np.zeros(len(log), bool)
    for why, worth in _worth(weighing).items():
        left = np.where(taken, -np.inf, worth)
        if not len(left) or not np.isfinite(left.max()):
            continue
        row = int(left.argmax())
        taken[row] = True
        preference = tuple(weighing.preference[row].tolist())
        chosen.append(Reader(weighing.names.user(row), why, preference, _read(weighing, row), int(log.lengths[row])))
    return tuple(chosen)


def _worth(weighing: Weighing) -> dict[str, np.ndarray]:
    """How much each user is worth showing, by rule; -inf = not at all."""
    log, found = weighing.log, weighing.found
    able_U = weighing.told & (log.lengths >= LONG_ENOUGH)
    able_U = able_U if able_U.any() else weighing.told
    shown_E = log.lengths[log.owners] - weighing.position < SHOWN
    rules: dict[str, np.ndarray] = {}
    for m, name in enumerate(found.noise.names[:_NAMED]):
        rules[f"Most of {name}: no user gives it more weight"] = weighing.preference[:, m]
    if len(found.noise.names) > 1:
        first, weight_E = found.noise.names[0], found.weights.weight_EM[:, 0].astype(np.float64)
        both_E = shown_E & found.weights.present_EM.all(axis=1)
        spread = _most(log, both_E, weight_E) + _most(log, both_E, -weight_E)
        rules[f"Divided: the weight of {first} differs most from one interaction to another"] = spread
    doubt = np.where(found.noise.evidence_EM > 0, found.noise.noise_EM, 0.0).max(axis=1, initial=0.0)
    worst = _most(log, shown_E, np.asarray(doubt))
    rules["Foreign: the content that fits its history least"] = np.where(worst > 0, worst, -np.inf)
    return {why: np.where(able_U, worth, -np.inf) for why, worth in rules.items()}


def _most(log: Sequences, events: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(U,) the largest value of each user's named events; -inf without one."""
    best = np.full(len(log), -np.inf)
    np.maximum.at(best, log.owners[events], values[events])
    return best


def _read(weighing: Weighing, row: int) -> tuple[Weighed, ...]:
    end = int(weighing.log.offsets[row + 1])
    return tuple(_weighed(weighing, event) for event in range(max(int(weighing.log.offsets[row]), end - SHOWN), end))


def _weighed(weighing: Weighing, event: int) -> Weighed:
    code, names, found = int(weighing.log.items[event]), weighing.names, weighing.found
    slots = tuple(_slot(weighing, event, m) for m in range(len(found.noise.names)))
    share = float(found.weights.share_E[event])
    told = None if math.isnan(share) else share
    return Weighed(int(weighing.position[event]), names.item(code), names.title(code), told, slots)


def _slot(weighing: Weighing, event: int, m: int) -> Slot:
    weights, noise = weighing.found.weights, weighing.found.noise
    if not weights.present_EM[event, m]:
        return Slot(None, None, False)
    return Slot(
        weight=float(weights.weight_EM[event, m]),
        noise=float(noise.noise_EM[event, m]) if noise.evidence_EM[event, m] else None,
        flagged=bool(noise.flagged_EM[event, m]),
        foreign=None if weighing.foreign is None else bool(weighing.foreign[event, m]),
    )
