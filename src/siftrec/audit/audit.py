"""One command's worth of doubt: read a log, score it, learn what could be found, and say whether weighting it helps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from siftrec.audit.cut import Cut, cut, some_users
from siftrec.audit.describe import describe
from siftrec.audit.events import Advanced, Began, Ended, OnEvent, Planned
from siftrec.audit.gains import Gain, Pair, gains
from siftrec.audit.judging import weights_of
from siftrec.audit.output import Page, check_free, write
from siftrec.audit.plan import DESCRIBE, EARLIER, FULL, JUDGE, PLANT, TRAIN, WRITE, Plan
from siftrec.audit.planting import Findable, findable
from siftrec.audit.proxies import metric, pairs, proxies
from siftrec.audit.result import Audit
from siftrec.audit.source import Given, Log, Source, open_source
from siftrec.audit.verdict import FEWEST_USERS, Verdict, decide
from siftrec.data.split import TEST
from siftrec.detectors.blend import Detector
from siftrec.detectors.calibrate import NoiseScores
from siftrec.errors import UsageError
from siftrec.nn.threads import threads
from siftrec.noise.judge import Judge, judge_by

NEXT_TO_NOTHING = 0.55
"""AUROC below which planted noise is called next to not found."""


@threads(1)
def audit(
    source: Log,
    features: Given | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    plan: Plan = FULL,
    seed: int = 7,
    on_event: OnEvent | None = None,
    detector: Detector | Judge | None = None,
    page: Page | None = None,
) -> Audit:
    """Audit a log of interactions, in one thread.

    Args:
        source: a log file, or a folder in a known layout; `Named` where its columns are not recognised; or a log that was
            read, `siftrec.read(frame)`.
        features: modality name → file of item vectors, or `Vectors`: with the ids of their rows; None: what the layout has
            beside the log. Of a log that was read: its catalog, or None.
        out: folder to write; None writes nothing.
        plan: how much to do: `siftrec.audit.FULL`, or `siftrec.audit.QUICK`: the quick scorer, counted models only, fewer
            users where there are many.
        seed: of everything random.
        on_event: called with every event, see `siftrec.audit.events`.
        detector: what judges, see `siftrec.judge`.
        page: makes audit.html of the result, e.g. `siftrec.audit.Audit.page`; None writes no page.

    Raises:
        DataError: a log or a feature file that is not what it claims to be.
        SettingsError: `Agreement` without content.
        UsageError: `out` is not empty, `plan` is none, what is no detector, or one of your own that gives no probabilities.
        EnvironmentProblem: `out` is a file or cannot be written; nothing half-written stays.
    """
    if not isinstance(plan, Plan):
        raise UsageError(f"plan: {plan!r} is none; give siftrec.audit.FULL or siftrec.audit.QUICK")
    started, judge = time.monotonic(), judge_by(detector)
    folder = None if out is None else Path(out).absolute()  # `.` has no name
    if folder is not None:
        check_free(folder)
    opened = open_source(source, {} if features is None else features)
    parts = cut(opened.events)
    work = _Work(opened, parts, plan, judge, seed)
    steps = _Steps(_names(work, folder is not None), on_event)
    steps.announce(work)
    with steps(DESCRIBE) as step:
        description = describe(opened)
        step.found(f"{len(opened.log.items):,} interactions of {len(opened.users):,} users")
    with steps(JUDGE) as step:
        scores = judge(opened.log, opened.catalog, seed=seed, quick=plan.quick, on_fold=step.advanced)
        step.found(_noise(scores))
    found, verdict = work.tried(steps, scores)
    spent = time.monotonic() - started
    result = Audit(opened, plan.quick, seed, version("siftrec"), spent, description, scores, found, parts, verdict)
    if folder is not None:
        with steps(WRITE) as step:
            why = write(result, folder, page)
            step.found(f"{out}; weighted.parquet alone has the weights: {why}" if why else str(out))
    return result


def _names(work: _Work, writes: bool) -> tuple[str, ...]:
    done = {DESCRIBE: True, JUDGE: True, PLANT: work.plants, EARLIER: work.trains, TRAIN: work.trains, WRITE: writes}
    return tuple(name for name, is_done in done.items() if is_done)


class _Steps:
    """Tells when each step begins and ends, and what it found."""

    def __init__(self, names: tuple[str, ...], on_event: OnEvent | None) -> None:
        self._names, self._tell = names, on_event or (lambda event: None)

    def announce(self, work: _Work) -> None:
        """The plan and its cost."""
        source, plan = work.source, work.plan
        size = len(source.log.items), len(source.users), len(source.catalog) - 1
        seconds = plan.seconds(*size, proxies(size[2], plan.quick))
        self._tell(Planned(self._names, seconds, plan.memory(size[0], size[2]), source.events.notes))

    @contextmanager
    def __call__(self, name: str) -> Iterator[_Step]:
        """Around one step."""
        began, step = time.monotonic(), _Step(name, self._tell)
        self._tell(Began(name, self._names.index(name) + 1, len(self._names)))
        yield step
        self._tell(Ended(name, time.monotonic() - began, step.result))


class _Step:
    """What a step says of itself."""

    def __init__(self, name: str, tell: OnEvent) -> None:
        self._name, self._tell, self.result = name, tell, ""

    def advanced(self, done: int, of: int) -> None:
        """So many of its parts are done."""
        self._tell(Advanced(self._name, done, of))

    def found(self, result: str) -> None:
        """Its result in one line, told at its end."""
        self.result = result


@dataclass(frozen=True)
class _Work:
    """What every step needs."""

    source: Source
    parts: Cut | None
    plan: Plan
    judge: Judge
    seed: int

    @property
    def plants(self) -> bool:
        """Whether noise is planted."""
        return self.parts is not None and len(self.plan.mechanisms) > 0

    @property
    def trains(self) -> bool:
        """Whether models are trained: not where too few users are asked for any answer."""
        return self.parts is not None and self.parts.asked >= FEWEST_USERS

    def tried(self, steps: _Steps, scores: NoiseScores) -> tuple[tuple[Findable, ...], Verdict]:
        """Plant noise and look for it, then train with and without weights; `scores` are of the whole log."""
        if self.parts is None:
            return (), decide((), 0, _second(scores, ()))
        found: tuple[Findable, ...] = ()
        if self.plants:
            with steps(PLANT) as step:
                found = tuple(self._planted(self.parts, step))
                step.found(", ".join(map(str, found)))
        if not self.trains:
            return found, decide((), self.parts.asked, _second(scores, found))
        with steps(EARLIER) as step:
            weights = self._weights(self.parts, step)
        with steps(TRAIN) as step:
            family = self._gains(self.parts, weights, step)
        return found, decide(family, self.parts.asked, _second(scores, found))

    def _planted(self, parts: Cut, step: _Step) -> Iterator[Findable]:
        copy = some_users(parts.split, self.plan.planted_users, self.seed)
        catalog, mechanisms = self.source.catalog, self.plan.mechanisms
        return findable(copy, catalog, self.judge, mechanisms, seed=self.seed, on_part=step.advanced)

    def _weights(self, parts: Cut, step: _Step) -> np.ndarray:
        """(E,) float32 from the earlier part alone; 1 for the holdout, which nobody reads."""
        earlier = parts.earlier
        catalog, quick = self.source.catalog, self.plan.quick
        scores = self.judge(earlier, catalog, seed=self.seed, quick=quick, on_fold=step.advanced)
        step.found(_noise(scores))
        weights = np.ones(len(parts.split.role), np.float32)
        weights[parts.split.role < TEST] = weights_of(earlier, scores)
        return weights

    def _gains(self, parts: Cut, weights: np.ndarray, step: _Step) -> tuple[Gain, ...]:
        items, collected = len(self.source.catalog) - 1, list[Pair]()
        for done, proxy in enumerate(chosen := proxies(items, self.plan.quick), 1):
            collected.extend(pairs((proxy,), parts.split, weights, most=self.plan.asked_users, seed=self.seed))
            step.advanced(done, len(chosen))
        family = gains(collected, metric(items), self.seed)
        step.found(", ".join(f"{gain.proxy} {gain.relative:+.1%}" for gain in family))
        return family


def _noise(scores: NoiseScores) -> str:
    return f"at most {scores.rho_upper:.1%} noise, {int(scores.flagged.sum()):,} interactions flagged"


def _second(scores: NoiseScores, found: tuple[Findable, ...]) -> str:
    """The second sentence of the verdict."""
    low, high = scores.rho_interval
    share = f"At most {scores.rho_upper:.1%} of the interactions are popularity-drawn noise"
    share += f" (95 % interval {low:.1%} to {high:.1%})"
    share += f", if short histories hold no more of it than long ones: {scores.caveat}" if scores.caveat else ""
    told = ", ".join(map(str, found))
    if not told:
        return f"{share}."
    areas = [each.detection["auroc"] for each in found if each.detection["auroc"] is not None]
    blind = bool(areas) and max(areas) < NEXT_TO_NOTHING
    so = ", which is next to nothing: whatever weights change here, it is not by finding such noise" if blind else ""
    return f"{share}; noise planted here is found with {told} (AUROC: .5 is a coin, 1 is perfect){so}."
