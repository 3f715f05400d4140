"""What was found of each aim, from the stored figures that the tables read."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import modality_tables
import noise_tables
import planted_tables
import verdict_tables
from accuracy import Setting, curve_cells
from accuracy_tables import Cells
from curves import CURVES
from page import Figures, counted, number, stored
from paired import stored_pairs
from speed_tables import reached as speed_reached
from speed_tables import times as speed_times
from tuning import trials

from siftrec.audit.verdict import LEAVE, SHORT, WEIGHT
from siftrec.evaluate.compare import MARGIN, Comparison, p_text


class Found(NamedTuple):
    """What was found.

    Attributes:
        words: the figures.
        reached: whether they are as asked; None where nothing was asked but that they be shown.
        seeds: how many they are of.
    """

    words: str
    reached: bool | None
    seeds: str = "–"


Seek = Callable[["Stored"], Found | None]
PROXIES = ("ItemKNN", "EASE", "SASRec")
"""The audit's own models; all other models of an audited log are other libraries'."""
Ask = Callable[[float, float, float], bool]
"""Whether a mean difference, with the ends of its interval, is as asked."""


def at_most(most: float) -> Ask:
    """Asked of the mean."""
    return lambda middle, low, high: middle <= most


def at_least(least: float) -> Ask:
    """Asked of the mean."""
    return lambda middle, low, high: middle >= least


def above_zero(middle: float, low: float, high: float) -> bool:
    """Asked of the whole interval."""
    return low > 0


def below_zero(middle: float, low: float, high: float) -> bool:
    """Asked of the whole interval."""
    return high < 0


class Stored:
    """Everything that is stored, read when it is asked for.

    Args:
        results: the folder.
        cells: of accuracy, by setting, then by method, one per seed.
    """

    def __init__(self, results: Path, cells: Cells) -> None:
        self.results, self.cells = results, cells

        self._planted: dict[str, planted_tables.Runs] = {}

    def planted(self, command: str) -> planted_tables.Runs:
        """The units of one command of planted.py."""
        if command not in self._planted:
            self._planted[command] = planted_tables.stored(self.results / "planted", command)
        return self._planted[command]

    @cached_property
    def noise(self) -> Mapping[str, Sequence[Figures]]:
        """Scorer → its figures, of popularity-drawn replacement in microlens50k at ρ = .3."""
        return noise_tables.cases(self.results / "noise").get(("microlens50k", "replace", 0.3), {})

    @cached_property
    def modality(self) -> modality_tables.Worlds:
        """The units of modality.py."""
        return modality_tables.stored(self.results / "modality")

    @cached_property
    def audits(self) -> list[Figures]:
        """Audited logs."""
        return verdict_tables.cells(self.results / "audit")[0]

    @cached_property
    def speed(self) -> dict[str, Figures]:
        """Rows of the speed table."""
        return dict((stored(self.results / "speed.json") or {"rows": {}})["rows"])

    @cached_property
    def rankers(self) -> Figures:
        """What rankers.py stored."""
        return stored(self.results / "rankers.json") or {"cells": {}, "comparisons": []}

    @cached_property
    def pairs(self) -> dict[Setting, list[Comparison]]:
        """Stored comparisons by setting."""
        return stored_pairs(self.results / "accuracy" / "comparisons.json")

    def compared(self, setting: Setting, a: str, b: str, metric: str = "ndcg@20") -> Comparison | None:
        """A stored comparison."""
        here = self.pairs.get(setting, [])
        return next((each for each in here if (each.a, each.b, each.metric) == (a, b, metric)), None)

    def means(self, setting: Setting, method: str, metric: str = "ndcg@20") -> dict[int, float]:
        """Seed → a metric, filtered."""
        runs = self.cells.get(setting, {}).get(method, ())
        return {run["cell"]["seed"]: run["evaluation"]["metrics"]["filtered"][metric] for run in runs}


def _over(runs: Mapping[int, Mapping[str, float]], measure: str) -> float:
    return statistics.mean(each[measure] for each in runs.values())


def untrained(**least: float) -> Seek:
    """AUROC of importance before training, by level."""
    return _detect(least, lambda runs: _over(runs, "agreement"))


def single_target(below: float) -> Seek:
    """How far importance by the target alone is below."""
    levels = dict.fromkeys(("easy", "mid", "hard"), below)
    return _detect(levels, lambda runs: _over(runs, "agreement") - _over(runs, "single target"))


def _detect(least: Mapping[str, float], measure: Callable[[Mapping[int, Mapping[str, float]]], float]) -> Seek:
    def seek(of: Stored) -> Found | None:
        runs = of.planted("detect")
        if not least.keys() <= runs.keys():
            return None
        found = {level: measure(runs[level]) for level in least}
        words = " / ".join(f"{value:.3f}" for value in found.values())
        return Found(
            words, all(found[each] >= least[each] for each in least), counted(len(runs[each]) for each in least)
        )

    return seek


def planted(measure: str, against: str, ask: Ask, command: str = "train", of_method: str = "full") -> Seek:
    """A difference of the full method, or another, from a third on hard, over the seeds of both."""

    def seek(of: Stored) -> Found | None:
        gains = planted_tables.gains(of.planted(command), measure, of_method, against)
        if len(gains) < 2:
            return None
        middle, low, high = planted_tables.interval(gains)
        return Found(f"{middle:+.3f} [{low:+.3f}, {high:+.3f}]", ask(middle, low, high), str(len(gains)))

    return seek


def concordance(least: float) -> Seek:
    """How often the less damaged of two views is the closer one, of the full method."""

    def seek(of: Stored) -> Found | None:
        runs = of.planted("train").get("full")
        return Found(f"{(value := _over(runs, 'concordance')):.3f}", value >= least, str(len(runs))) if runs else None

    return seek


def collapse(cosine: float, rank: float) -> Seek:
    """Whether user vectors of the full method collapse."""

    def seek(of: Stored) -> Found | None:
        runs = of.planted("train").get("full")
        if not runs:
            return None
        found = _over(runs, "mean cosine"), _over(runs, "effective rank")
        return Found(f"{found[0]:.3f} / {found[1]:.1f}", found[0] < cosine and found[1] > rank, str(len(runs)))

    return seek


def hardness(of: Stored) -> Found | None:
    """P@10 at the least and the most hardness, on shared seeds; it is asked to be shown."""
    runs = of.planted("hardness")
    shared = set.intersection(*map(set, runs.values())) if len(runs) > 2 else set()
    if not shared:
        return None
    ends = [statistics.mean(runs[name][seed]["p@10"] for seed in shared) for name in (min(runs), max(runs))]
    return Found(f"{ends[0]:.3f} → {ends[1]:.3f}", None, str(len(shared)))


def detection(least: tuple[float, float], gap: float) -> Seek:
    """AUROC of the blend, and how far it is from the best that is not trained to the ceiling, seed 1 of all."""
    keys = ("auroc", "auroc_6")

    def seek(of: Stored) -> Found | None:
        if "blend" not in of.noise:
            return None
        found = [statistics.mean(run[key] for run in of.noise["blend"]) for key in keys]
        words, far = " / ".join(f"{value:.3f}" for value in found), False
        shares = [_of_the_gap(of, key) for key in keys]
        closed = [share for share in shares if share is not None]
        if len(closed) == len(keys):
            words += f"; {closed[0]:.0%} / {closed[1]:.0%} of the gap"
            far = min(closed) >= gap
        high = all(value >= asked for value, asked in zip(found, least, strict=True))
        return Found(words, high or far, str(len(of.noise["blend"])))

    return seek


def _of_the_gap(of: Stored, key: str) -> float | None:
    """The blend's way from the best that is not trained to the ceiling, seed 1; None where one is not stored, or no gap."""
    names = ("blend", "ceiling", "cooccurrence", "agreement")
    first = [next((run[key] for run in of.noise.get(name, ()) if run["seed"] == 1), None) for name in names]
    if None in first or first[1] <= max(first[2:]):
        return None
    blend, ceiling, floor = *first[:2], max(first[2:])
    return float((blend - floor) / (ceiling - floor))


def half_way(setting: Setting, share: float) -> Seek:
    """Of the way from next-item only to the model that is told which interactions are noise, over shared seeds."""

    def seek(of: Stored) -> Found | None:
        low, mine, high = (of.means(setting, name) for name in ("ccl4rec-next", "ccl4rec-denoise", "oracle-all"))
        seeds = sorted(low.keys() & mine.keys() & high.keys())
        if not seeds:
            return None
        ends = [statistics.mean(each[seed] for seed in seeds) for each in (low, mine, high)]
        gone = (ends[1] - ends[0]) / (ends[2] - ends[0])
        words = f"{gone:.0%} ({ends[0]:.4f} → {ends[1]:.4f}, oracle {ends[2]:.4f})"
        return Found(words, gone >= share, str(len(seeds)))

    return seek


def equivalent(setting: Setting, a: str, b: str) -> Seek:
    """NDCG@20 of two methods: equivalent within 2 %, by two one-sided tests, corrected by Holm."""
    return _beside(setting, a, b, lambda found: found.equivalent)


def as_good(setting: Setting, a: str, b: str) -> Seek:
    """NDCG@20 of a method beside another's: not 2 % below, by the 95 % interval."""
    return _beside(setting, a, b, lambda found: not_below(found.low, found.mean_b))


def _beside(setting: Setting, a: str, b: str, holds: Callable[[Comparison], bool]) -> Seek:
    def seek(of: Stored) -> Found | None:
        found = of.compared(setting, a, b)
        if found is None:
            return None
        told = difference(found.relative, found.difference, found.low, found.high)
        return Found(told, holds(found), str(found.seeds))

    return seek


def not_below(low: float, other: float) -> bool:
    """Whether the lower end of the interval of a difference is above −2 % of what it is held against."""
    return low > -MARGIN * other


def above(setting: Setting, a: str, b: str, alpha: float = 0.01) -> Seek:
    """NDCG@20 of a method above another's, paired, p corrected by Holm."""

    def seek(of: Stored) -> Found | None:
        found = of.compared(setting, a, b)
        if found is None:
            return None
        words = f"{difference(found.relative, found.difference, found.low, found.high)}, p {p_text(found.p_holm)}"
        return Found(words, found.difference > 0 and found.p_holm < alpha, str(found.seeds))

    return seek


def difference(relative: float | None, found: float, low: float, high: float) -> str:
    """A paired difference, relative to the second, and the 95 % interval."""
    return f"{'' if relative is None else f'{relative:+.1%}: '}{found:+.4f} [{low:+.4f}, {high:+.4f}]"


def prototype(setting: Setting, **least: float) -> Seek:
    """Metrics of CCL4Rec without content or contrast; `at` stands for @ in their names."""

    def seek(of: Stored) -> Found | None:
        asked = {name.replace("_at_", "@"): value for name, value in least.items()}
        found = {metric: of.means(setting, "ccl4rec-ids-next", metric) for metric in asked}
        if not all(found.values()):
            return None
        means = {metric: statistics.mean(values.values()) for metric, values in found.items()}
        words = " / ".join(f"{value:.4f}" for value in means.values())
        seeds = str(len(next(iter(found.values()))))
        return Found(words, all(means[metric] >= value for metric, value in asked.items()), seeds)

    return seek


def best_of(setting: Setting, method: str) -> Seek:
    """Whether a method is the best of all that ran under a setting, over the seeds it shares with each."""

    def seek(of: Stored) -> Found | None:
        mine, rest = of.means(setting, method), {}
        for other in of.cells.get(setting, {}):
            theirs = of.means(setting, other)
            if other != method and (seeds := mine.keys() & theirs.keys()):
                rest[other] = statistics.mean(mine[seed] - theirs[seed] for seed in seeds)
        if not rest:
            return None
        words = (
            f"{statistics.mean(mine.values()):.4f}; {min(rest.values()):+.4f} to the next best of {len(rest)} others"
        )
        return Found(words.replace("1 others", "1 other"), min(rest.values()) > 0, str(len(mine)))

    return seek


def others_models(harm: float) -> Seek:
    """What the weights do to other libraries' models, by what the verdict says."""

    def seek(of: Stored) -> Found | None:
        told: dict[str, list[float]] = {WEIGHT: [], LEAVE: [], SHORT: []}
        for cell in of.audits:
            theirs = (each for each in verdict_tables.of_arm(cell["truth"], "weighted") if each["model"] not in PROXIES)
            told[cell["audit"]["verdict"]["answer"]] += [each["relative"] for each in theirs]
        if not told[WEIGHT] or not told[LEAVE]:
            return None
        better = sum(gain > 0 for gain in told[WEIGHT])
        harmed = {answer: sum(gain < -harm for gain in told[answer]) for answer in (LEAVE, SHORT)}
        words = (
            f"weight it: better in {better} of {len(told[WEIGHT])}; leave alone: harmed in {harmed[LEAVE]} of "
            f"{len(told[LEAVE])}; too short to tell: harmed in {harmed[SHORT]} of {len(told[SHORT])}"
        )
        return Found(words, not harmed[LEAVE] and better == len(told[WEIGHT]))

    return seek


def audit_time(quick: bool, minutes: float) -> Seek:
    """The longest audit of microlens50k."""

    def seek(of: Stored) -> Found | None:
        here = [each for each in of.audits if each["cell"]["data"] == "microlens50k" and each["cell"]["quick"] == quick]
        if not here:
            return None
        longest = max(each["audit"]["seconds"] for each in here) / 60
        return Found(f"{longest:.1f} minutes", longest <= minutes)

    return seek


def tuned(of: Stored) -> Found | None:
    """Trials that are done."""
    every = trials()
    done = sum((of.results / "tuning" / trial.result.name).exists() for trial in every)
    return Found(f"{done} of {len(every)}", done == len(every), "1") if done else None


def curves(of: Stored) -> Found | None:
    """Cells of noise curves that are done."""
    every = curve_cells(list(CURVES))
    done = [cell for cell in every if cell.seed in of.means(cell.setting, cell.method)]
    seeds = Counter((cell.setting, cell.method) for cell in done).values()
    return Found(f"{len(done)} of {len(every)}", len(done) == len(every), counted(seeds)) if done else None


def speed(row: str) -> Seek:
    """A row of the speed table."""

    def seek(of: Stored) -> Found | None:
        told = of.speed.get(row)
        if told is None:
            return None
        times = "; ".join(f"{speed_times(told, peer):.1f} × {name}" for name, peer in list(told["peers"].items())[:1])
        return Found(f"{number(told['median'])}{f' ({times})' if times else ''}", speed_reached(told))

    return seek
