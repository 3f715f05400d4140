"""From detector scores to noise probabilities, under a named noise mechanism: a mixture of two groups.

Nobody labels interactions as genuine; what can be had is the score under "this interaction is noise": a background item
put in the same place among the same neighbours. So each score becomes a right-tailed p-value against the background,
uniform for noise and small for what the history vouches for. Then

    rho_upper = #{p > .8} / (.2 E)          the share of noise, at most (Storey, 2002)
    g         = decreasing density of p     (Grenander, 1956), by amount of evidence
    n         = min(1, rho_upper / g(p))    the probability of noise

The mechanisms make any interaction noise with the same probability, in long histories as in short ones, so a bound from
those with much evidence holds for all: `rho_upper` is the smallest over least amounts of evidence and over p above .8, .9
and .95, by their upper ends and with a standard error added. MEASURED, microlens50k, co-occurrence scores, 0, 10 and 30 %
replaced: .37, .49 and .69 from all p > .8; .03, .14 and .41 so.

It stays an upper bound, and n with it: a *trusted* set holds at most the noise that n says, but a *flagged* set may hold
more genuine interactions than it says, where even the best judged of them often look like noise. Where noise gathers in
short histories, it is the bound of the others only; what short ones say by themselves is kept beside it (`Short`), for no
log tells noise that gathers there from genuine interactions that look like it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.detectors.bound import ENOUGH, upper_bound
from siftrec.detectors.density import KNOTS, LEAST, grenander, tail
from siftrec.errors import UsageError

if TYPE_CHECKING:
    from siftrec.detectors.blend import Detector

_POOLS = 32
_KEPT = 4096
_CLEAR = 4.0  # standard errors that p must lie below uniform before a pool may tell interactions apart


@dataclass(frozen=True)
class Short:
    """The bound that interactions with little evidence have by themselves, where that of the log comes from the others.

    Attributes:
        others: that fewer than so many others can vouch for.
        rho_upper: upper bound of the share of noise among them.
        rho_interval: its 95 % interval.
    """

    others: int
    rho_upper: float
    rho_interval: tuple[float, float]


@dataclass(frozen=True, eq=False)
class NoiseScores:
    """What is believed of each event of a `Sequences`.

    Attributes:
        noise: (E,) float32 in [0, 1], 1 = noise: the probability under the mechanism.
        flagged: (E,) bool: `at(q)`.
        evidence: (E,) int32 number of other interactions that could vouch; 0 = nothing can be said of this one.
        score: (E,) float32 detector score, higher = more genuine; comparable at equal evidence.
        rho_upper: upper bound of the share of noise, if that is no larger where there is little evidence (see `short`).
        rho_interval: its 95 % interval over resampled users and background draws.
        q: share of genuine interactions aimed at among `flagged`.
        mechanism: how the background was drawn.
        detector: settings of what gave the scores; None where that is no detector of this library.
        short: what is known of the share among interactions with little evidence; None where `rho_upper` comes from all.
    """

    noise: np.ndarray
    flagged: np.ndarray
    evidence: np.ndarray
    score: np.ndarray
    rho_upper: float
    rho_interval: tuple[float, float]
    q: float
    mechanism: str
    detector: Detector | None = None
    short: Short | None = None

    def __repr__(self) -> str:
        low, high = self.rho_interval
        share = f"at most {self.rho_upper:.1%} noise [{low:.1%}, {high:.1%}] by {self.mechanism}"
        share += f", {self.caveat}" if self.caveat else ""
        flagged = f"{int(self.flagged.sum()):,} flagged at q = {self.q:g}"
        return f"NoiseScores({len(self.noise):,} interactions, {share}, {flagged})"

    @property
    def caveat(self) -> str:
        """Where there may be more noise than `rho_upper`, in words; "" unless `short` is clearly above its interval."""
        if self.short is None or self.short.rho_interval[0] <= self.rho_interval[1]:
            return ""
        return f"up to {self.short.rho_upper:.1%} where fewer than {self.short.others} others can vouch"

    def to_frame(
        self, log: Sequences | None = None, users: pl.Series | None = None, items: Vocab | None = None
    ) -> pl.DataFrame:
        """One row per event, in the order of the judged log: `noise, flagged, evidence, weight`.

        Args:
            log: what was judged; adds `row` (in the source; -1 = planted), `user` and `item`.
            users: (U,) raw ids of its rows, e.g. `split.users`; None: `user` is the number of the row.
            items: raw ids of its codes, e.g. `catalog.vocab`; None: `item` is the code.

        Raises:
            UsageError: another log, or ids without one.
        """
        told: dict[str, Any] = {}
        if log is None and not (users is None and items is None):
            raise UsageError("log: give what was judged, whose users and items these are")
        if log is not None:
            if len(log.items) != len(self.noise):
                raise UsageError(f"log: has {len(log.items):,} events, and {len(self.noise):,} were judged")
            told["row"] = log.rows
            told["user"] = log.owners if users is None else users.gather(log.owners)
            told["item"] = log.items if items is None else items.decode(log.items)
        told |= {name: getattr(self, name) for name in ("noise", "flagged", "evidence", "weight")}
        return pl.DataFrame(told)

    def at(self, q: float) -> np.ndarray:
        """(E,) bool: the largest set that is genuine by at most `q`, empty where nothing can be flagged at this level.

        An interaction without evidence, or no likelier noise than the average one, is never in it: where the scores tell
        nothing apart and the bound is near 1, everything would be. Nothing is where the interval of the bound reaches 1.
        """
        able = (self.evidence > 0) & (self.noise > np.float32(self.rho_upper)) & (self.rho_interval[1] < 1)
        able[able] = flag(self.noise[able], q)
        return able

    def trusted(self, level: float) -> np.ndarray:
        """(E,) bool: the largest set of which at most `level` is noise; a bound, where `at` is an aim.

        Under the mechanism noise is not underestimated, up to sampling error (`rho_interval`), so this is the safer thing to
        say. Where `caveat` says that short histories may hold more noise, they are taken to. Interactions without evidence
        have the average probability and are among them where that is small enough.
        """
        if not 0 <= level <= 1:
            raise UsageError(f"level must be a share from 0 to 1, not {level:g}")
        noise = self.noise
        if self.short is not None and self.caveat:
            ratio = (
                noise / self.rho_upper if self.rho_upper else np.ones_like(noise)
            )  # what g makes of a share of noise
            worse = np.minimum(ratio * self.short.rho_upper, 1)
            noise = np.where(self.evidence < self.short.others, worse, noise)
        return trusted(noise, level)

    @property
    def weight(self) -> np.ndarray:
        """(E,) float32: 1 − noise; all 1 where the share of noise is not bounded below 1: nothing is known then."""
        return 1 - self.noise if self.rho_interval[1] < 1 else np.ones_like(self.noise)


@dataclass(frozen=True)
class Calibration:
    """The map from score and evidence to noise, fitted on one log, for histories of any other too.

    Attributes:
        levels: (P,) int64 least evidence of each pool, ascending, the first 1.
        background: (R,) background scores of all pools, ascending within a pool.
        offsets: (P+1,) int64; pool k's are `background[offsets[k]:offsets[k+1]]`.
        density: (P, K) density of p at the knots, decreasing; 1 everywhere in a pool that tells nothing apart.
        rho: upper bound of the share of noise.
    """

    levels: np.ndarray
    background: np.ndarray
    offsets: np.ndarray
    density: np.ndarray
    rho: float

    def noise(self, score: np.ndarray, evidence: np.ndarray) -> np.ndarray:
        """(n,) float32 noise probabilities of interactions with `score` (n,) and `evidence` (n,)."""
        noise = np.full(len(score), self.rho, np.float32)
        pool = np.searchsorted(self.levels, evidence, side="right") - 1
        for k in range(len(self.levels)):
            here = np.flatnonzero(pool == k)
            p = tail(score[here], self.background[self.offsets[k] : self.offsets[k + 1]])
            noise[here] = self._from_p(k, p)
        return noise

    def _from_p(self, pool: int, p: np.ndarray) -> np.ndarray:
        density = np.exp(np.interp(p, KNOTS, np.log(self.density[pool])))
        return np.asarray(self.rho / np.maximum(density, max(self.rho, LEAST)))


def calibrate(
    score: np.ndarray,
    evidence: np.ndarray,
    owners: np.ndarray,
    background: np.ndarray,
    background_evidence: np.ndarray,
    *,
    q: float = 0.2,
    mechanism: str = "replace",
    seed: int = 7,
) -> tuple[NoiseScores, Calibration]:
    """Fit the map on a log and apply it there.

    Args:
        score: (E,) detector scores, higher = more genuine; finite where there is evidence.
        evidence: (E,) number of other interactions that could vouch.
        owners: (E,) user of each event; intervals resample users.
        background: (R,) scores of background items, each put in the place of some event.
        background_evidence: (R,) evidence there; scores are compared at equal evidence.
        q: for `NoiseScores.flagged`.
        mechanism: how the background was drawn.
        seed: of the resampling.

    Raises:
        UsageError: lengths that differ, a score that is not finite, events with evidence but no background.
    """
    score, evidence = np.asarray(score), np.asarray(evidence)
    drawn = np.asarray(background)[np.asarray(background_evidence) > 0]
    drawn_evidence = np.asarray(background_evidence)[np.asarray(background_evidence) > 0]
    judged = np.flatnonzero(evidence > 0)
    _check(score[judged], drawn, len(score) == len(evidence) == len(owners))
    levels = _levels(evidence[judged], drawn_evidence)
    tables, draws = _tables(levels, drawn, drawn_evidence)
    pool = np.searchsorted(levels, evidence[judged], side="right") - 1
    p, density = np.empty(len(judged)), np.ones((len(levels), len(KNOTS)))
    for k, table in enumerate(tables):
        here = np.flatnonzero(pool == k)
        p[here] = tail(score[judged[here]], table)
        if _informative(p[here], owners[judged[here]], int(draws[k])):
            density[k] = grenander(p[here])
    user = np.unique(owners[judged], return_inverse=True)[1]
    rho, interval, least = upper_bound(p, user, pool, draws, seed)
    offsets = np.concatenate([[0], np.cumsum([len(table) for table in tables])]).astype(np.int64)
    found = Calibration(levels, np.concatenate([*tables, drawn[:0]]), offsets, density, rho)
    noise = np.full(len(score), rho, np.float32)
    for k in range(len(levels)):
        noise[judged[pool == k]] = found._from_p(k, p[pool == k])
    kept = np.where(evidence > 0, score, 0).astype(np.float32)
    nothing = np.zeros(len(noise), bool)
    scores = NoiseScores(noise, nothing, evidence.astype(np.int32), kept, rho, interval, q, mechanism)
    if least:
        few = np.flatnonzero(pool < least)
        own = upper_bound(p[few], user[few], np.zeros_like(few), draws[:least].sum(keepdims=True), seed)
        scores = replace(scores, short=Short(int(levels[least]), *own[:2]))
    return replace(scores, flagged=scores.at(q)), found


def flag(noise: np.ndarray, q: float) -> np.ndarray:
    """(n,) bool: the largest set whose mean of 1 − noise is at most q; equal probabilities are in or out together."""
    return _largest(1 - noise.astype(np.float64), q)


def trusted(noise: np.ndarray, level: float) -> np.ndarray:
    """(n,) bool: the largest set whose mean noise is at most `level`: a bound, up to sampling error."""
    return _largest(noise.astype(np.float64), level)


def _largest(cost: np.ndarray, level: float) -> np.ndarray:
    """(n,) bool: all events with a cost below some value, as many as keep the mean cost at `level` or less."""
    ordered = np.sort(cost)
    mean = np.cumsum(ordered) / np.arange(1, len(cost) + 1)
    last = np.append(ordered[1:] > ordered[:-1], True)  # the end of a run of equal costs
    fits = np.flatnonzero((mean <= level + 1e-12) & last[: len(mean)])
    return cost <= ordered[fits[-1]] if len(fits) else np.zeros(len(cost), bool)


def _check(score: np.ndarray, background: np.ndarray, aligned: bool) -> None:
    if not aligned:
        raise UsageError("score, evidence and owners must be of one length, one value per event")
    if len(score) and not len(background):
        raise UsageError("there are events with evidence, but no background score with evidence to compare them with")
    if not np.isfinite(score).all() or not np.isfinite(background).all():
        raise UsageError("scores must be finite wherever there is evidence")


def _levels(evidence: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(P,) least evidence of each pool: as few amounts together as give each enough events and background draws."""
    if not len(evidence):
        return np.empty(0, np.int64)
    size = int(max(evidence.max(), drawn.max())) + 1
    events, draws = np.bincount(evidence, minlength=size), np.bincount(drawn, minlength=size)
    fewest = max(ENOUGH, len(evidence) // _POOLS), max(ENOUGH, len(drawn) // _POOLS)
    levels, held = [1], np.zeros(2)
    left = np.array([len(evidence), len(drawn)])
    for level in np.flatnonzero(events + draws):
        if (held >= fewest).all() and (left >= fewest).all():
            levels.append(int(level))
            held = np.zeros(2)
        step = np.array([events[level], draws[level]])
        held, left = held + step, left - step
    return np.array(levels, np.int64)


def _tables(levels: np.ndarray, drawn: np.ndarray, evidence: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Ascending background scores of each pool, thinned evenly to at most 4,096, and (P,) how many there were."""
    pool = np.searchsorted(levels, evidence, side="right") - 1
    whole = [np.sort(drawn[pool == k]) for k in range(len(levels))]
    return [_thinned(each) for each in whole], np.array([len(each) for each in whole])


def _thinned(ordered: np.ndarray) -> np.ndarray:
    if len(ordered) <= _KEPT:
        return ordered
    return np.asarray(ordered[((np.arange(_KEPT) + 0.5) * len(ordered) / _KEPT).astype(np.int64)])


def _informative(p: np.ndarray, owners: np.ndarray, draws: int) -> bool:
    """Whether p is clearly smaller than uniform, users and background draws being the sources of chance."""
    if not len(p):
        return False
    gain = 0.5 - p
    by_user = np.bincount(np.unique(owners, return_inverse=True)[1], gain - gain.mean())
    variance = float((by_user**2).sum()) / len(p) ** 2 + 1 / (12 * draws)
    return bool(gain.mean() > _CLEAR * np.sqrt(variance))
