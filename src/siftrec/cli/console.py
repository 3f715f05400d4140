"""How the command line talks: messages on stderr, results on stdout, a progress bar only on a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from siftrec.train.events import Event, Started, Stepped

_PLAIN_SECONDS = 10.0


def say(text: str) -> None:
    """A message for the person: one line on stderr."""
    print(text, file=sys.stderr, flush=True)


def complain(problem: str) -> None:
    """`error: …`, always a single line."""
    say(f"error: {' '.join(problem.split())}")


def note_leak(split: object) -> None:
    """Say it where a split lets training see what is later than a question."""
    if getattr(split, "leaks_time", False):
        say("note: this split leaks time: one user's test part may be older than another's training data")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Aligned columns: the first to the left, numbers to the right, floats with four digits.

    metric   filtered  unfiltered
    ndcg@10    0.0411      0.0301
    """
    values = [list(row) for row in rows]
    cells = [list(header), *([_cell(value) for value in row] for row in values)]
    columns = range(len(header))
    widths = [max(len(row[column]) for row in cells) for column in columns]
    right = [any(isinstance(row[column], int | float) for row in values) for column in columns]
    return "\n".join(
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)


def metrics_table(title: str, metrics: Mapping[str, Mapping[str, float | None]]) -> str:
    """The metrics people quote, from the means that `metrics.json` and `Evaluation.to_json` hold."""
    quoted = ("ndcg@", "recall@", "auc", "gauc")
    names = [name for name in next(iter(metrics.values())) if name.startswith(quoted)]
    return table((title, *metrics), [(name, *(means[name] for means in metrics.values())) for name in names])


def write_result(value: Any, target: str) -> None:
    """A result as JSON: alone on stdout when `target` is `-`, else into that file."""
    if target == "-":
        print(json.dumps(value, ensure_ascii=False, allow_nan=False))
        return
    from siftrec.files import write_json

    write_json(Path(target), value)


class Reporter:
    """Shows training events on stderr: a bar on a terminal, a line now and then elsewhere. Use it in a `with`."""

    def __init__(self) -> None:
        self._bar = _bar() if sys.stderr.isatty() else None
        self._started: Started | None = None
        self._stepped: Stepped | None = None
        self._shown = time.monotonic()

    def __enter__(self) -> Reporter:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        from siftrec.train.events import EpochEnded, Read, Started, Stepped, Stopped, Warned

        match event:
            case Read():
                for name, count in event.notes.items():
                    self._say(f"note: {name}: {count:,}")
            case Started():
                self._start(event)
            case Stepped():
                self._step(event)
            case EpochEnded():
                value = "no validation question" if event.value is None else f"{event.metric} {event.value:.4f}"
                best = " (best)" if event.best and event.value is not None else ""
                self._say(f"{self._epoch(event.epoch)}  {self._losses()}{value}{best}")
            case Warned():
                self._say(f"warning: {event.message}")
            case Stopped() if event.epochs:
                self._say(f"stopped after epoch {event.epochs} ({event.reason}); epoch {event.best_epoch + 1} is kept")

    def _start(self, event: Started) -> None:
        self._started, cost = event, event.estimate
        where = f", going on in epoch {event.epoch + 1}" if event.epoch or event.step else ""
        self._say(
            f"{event.method}: {event.parameters:,} parameters, {event.epochs} epochs of {event.steps} steps{where}"
        )
        for name, value in event.notes.items():
            self._say(f"{name}: {value:,.3g}")
        if event.epochs:
            self._say(f"estimate: at most {duration(cost.seconds)}, {cost.memory / 1e9:.1f} GB of memory")
        if self._bar:
            done = event.epoch * event.steps + event.step
            self._bar.add_task("training", total=event.epochs * event.steps, completed=done)

    def _step(self, event: Stepped) -> None:
        self._stepped = event
        if self._bar and self._started:
            done = event.epoch * self._started.steps + event.step
            self._bar.update(self._bar.task_ids[-1], completed=done, description=self._epoch(event.epoch))
        elif self._started and time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._say(f"{self._epoch(event.epoch)}  step {event.step}/{self._started.steps}  {self._losses()}")

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self._started.epochs}" if self._started else f"epoch {epoch + 1}"

    def _losses(self) -> str:
        if self._stepped is None:
            return ""
        losses = self._stepped.losses
        parts = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        return f"loss {sum(losses.values()):.4f} ({parts})  {self._stepped.targets_per_second:,.0f} targets/s  "

    def _say(self, text: str) -> None:
        self._shown = time.monotonic()
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            say(text.rstrip())


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how many of some equal steps are done, and how long the rest will take: a bar, or a line now and again.

    Args:
        what: is counted.

    Yields:
        To be called with the number done and their total.
    """
    bar = _bar() if sys.stderr.isatty() else None
    began = shown = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if bar:
            bar.update(bar.task_ids[-1], completed=done, total=of)
        elif done < of and (done == 1 or now - shown > _PLAIN_SECONDS):
            shown = now
            say(f"{what}: {done} of {of}, about {duration((now - began) / done * (of - done))} more")

    with bar or nullcontext():
        if bar:
            bar.add_task(what, total=None)
        yield tell


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def duration(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `3 h 20 min`."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
