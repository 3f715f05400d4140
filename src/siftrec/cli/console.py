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

from siftrec.train.events import Event, Started, Stepped, Validating
from siftrec.train.progress import Words, duration, validating

if TYPE_CHECKING:
    from rich.progress import Progress

_PLAIN_SECONDS = 10.0


def say(text: str) -> None:
    """A message for the person: one line on stderr."""
    print(text, file=sys.stderr, flush=True)


def complain(problem: str) -> None:
    """`error: …`, always a single line."""
    say(f"error: {' '.join(problem.split())}")


def show_warning(message: Warning | str, *place: object, **more: object) -> None:
    """What Python warns of, as one line without its place: takes the place of `warnings.showwarning`."""
    say(f"warning: {' '.join(str(message).split())}")


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


def check_writable(target: Path | str | None) -> None:
    """Refuse, before anything is computed for it, a file that cannot be written; None and `-` are none."""
    if target is not None and str(target) != "-":
        from siftrec import beside
        from siftrec.files import clear_errors

        with clear_errors(Path(target)):
            beside.check(Path(target))


class Reporter:
    """Shows training events on stderr: a bar on a terminal, a line now and then elsewhere. Use it in a `with`."""

    def __init__(self) -> None:
        self._bar = _bar() if sys.stderr.isatty() else None
        self._words = Words()
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
        for line in self._words(event):
            self._say(line)
        if isinstance(event, Started) and self._bar:
            done = event.epoch * event.steps + event.step
            self._bar.add_task("training", total=event.epochs * event.steps, completed=done)
        elif isinstance(event, Stepped):
            self._step(event)
        elif isinstance(event, Validating):
            self._validating(event)

    def _step(self, event: Stepped) -> None:
        started = self._words.started
        if self._bar and started:
            done = event.epoch * started.steps + event.step
            self._bar.update(self._bar.task_ids[-1], completed=done, description=self._words.epoch(event.epoch))
        elif time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._say(self._words.step(event))

    def _validating(self, event: Validating) -> None:
        if self._bar and not event.done:
            self._bar.add_task("validation", total=event.of)
        elif self._bar:
            self._bar.update(self._bar.task_ids[-1], completed=event.done)
        elif time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._say(validating(event))

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
