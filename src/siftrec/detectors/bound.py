"""How much noise there is at most: the smallest of many Storey bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siftrec import seeds

ABOVE = (0.8, 0.9, 0.95)
ENOUGH = 1000
"""Events and background draws that an estimate needs."""

_RESAMPLES = 1000
_CHANCE = 0.025


def upper_bound(
    p: np.ndarray, user: np.ndarray, pool: np.ndarray, draws: np.ndarray, seed: int
) -> tuple[float, tuple[float, float], int]:
    """The smallest upper bound of the share of noise, its 95 % interval, and the first pool of those it comes from.

    1, (0, 1) and 0 where too little has evidence.
    """
    if not len(p) or _by_chance(len(p), int(draws.sum()), 1 - ABOVE[0]) >= 1:
        return 1.0, (0.0, 1.0), 0
    events, drawn = np.bincount(pool, minlength=len(draws))[::-1].cumsum()[::-1], draws[::-1].cumsum()[::-1]
    large = [(k, above) for above in ABOVE for k in range(len(draws)) if _wide(events[k], drawn[k], 1 - above)]
    options = [(_Tail.of(p, user, pool, draws, k, above), k) for k, above in large or [(0, ABOVE[0])]]
    # Compared by their upper ends, and one standard error added: the smallest of many is small by chance too.
    chosen, least = min(options, key=lambda option: option[0].share + 3 * option[0].error)
    luck = chosen.error if len(options) > 1 else 0.0
    low, most = np.quantile(chosen.resampled(seeds.rng(seed, "noise share")) + luck, [0.025, 0.975])
    most = max(float(most), chosen.least)
    return min(chosen.share + luck, 1.0), (float(np.clip(low, 0, 1)), min(most, 1.0)), least


def _wide(events: int, draws: int, width: float) -> bool:
    """Whether a tail of this width would hold enough of uniform events and draws."""
    return events * width >= ENOUGH and draws * width >= ENOUGH / 4


def _by_chance(events: int, draws: int, width: float) -> float:
    """The least upper end that so few can have: up to this share, none of them in the tail may be chance (2.5 %)."""
    return float(1 - _CHANCE ** (1 / max(min(events, draws), 1))) / width


@dataclass(frozen=True)
class _Tail:
    """Events with more than a certain evidence, and those of them with a p above a certain value.

    Attributes:
        share: upper bound of the share of noise.
        error: its standard error, users and background draws being the sources of chance.
        moved: that part of the error which comes from the background.
        users: (2, U) of each user: events with such a p, events.
        width: 1 minus that value of p.
        least: lowest upper end of the interval; resamples of a tail without events would all say 0.
    """

    share: float
    error: float
    moved: float
    users: np.ndarray
    width: float
    least: float

    @classmethod
    def of(
        cls, p: np.ndarray, user: np.ndarray, pool: np.ndarray, draws: np.ndarray, least: int, above: float
    ) -> _Tail:
        here, width = pool >= least, 1 - above
        high, count = here & (p > above), int(here.sum())
        share = int(high.sum()) / count / width
        users = np.stack([np.bincount(user, high), np.bincount(user, here)])
        # With R draws the background's own quantile is off by √(above · width / R), and events move along.
        held = np.bincount(pool[high], minlength=len(draws)) / count / width
        moved = float(np.sqrt((above * width / draws * (held / width) ** 2).sum()))
        spread = float(np.sqrt(((users[0] / width - share * users[1]) ** 2).sum())) / count
        least_end = _by_chance(count, int(draws[least:].sum()), width)
        return cls(share, float(np.hypot(moved, spread)), moved, users, width, least_end)

    def resampled(self, rng: np.random.Generator) -> np.ndarray:
        """(S,) the bound for resampled users and a background drawn anew."""
        # A resample only needs to know how often each kind of user (so many events, so many of them high) occurs in it.
        kinds, times = np.unique(self.users[0] + 1j * self.users[1], return_counts=True)
        counts = rng.multinomial(int(times.sum()), times / times.sum(), _RESAMPLES)
        shares = counts @ kinds.real / np.maximum(counts @ kinds.imag, 1) / self.width
        return np.asarray(shares + self.moved * rng.standard_normal(_RESAMPLES))
