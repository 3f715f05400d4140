"""What training events say, in lines; and `Progress`, which prints them."""

from __future__ import annotations

from siftrec.train.events import EpochEnded, Event, Read, Started, Stepped, Stopped, Validating, Warned


class Words:
    """The lines of one run's events. It remembers what an event is about: epochs from `Started`, losses from `Stepped`."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self._stepped: Stepped | None = None

    def __call__(self, event: Event) -> list[str]:
        """The lines of one event; steps have none, see `step`."""
        match event:
            case Read():
                return [f"note: {name}: {count:,}" for name, count in event.notes.items()]
            case Started():
                self.started, self._stepped = event, None
                return _start(event)
            case Stepped():
                self._stepped = event
            case EpochEnded():
                value = "no validation question" if event.value is None else f"{event.metric} {event.value:.4f}"
                best = " (best)" if event.best and event.value is not None else ""
                return [f"{self.epoch(event.epoch)}  {self._losses()}{value}{best}"]
            case Validating(done=0):
                return [validating(event)]
            case Warned():
                return [f"warning: {event.message}"]
            case Stopped() if event.epochs:
                kept = f"epoch {event.best_epoch + 1} is kept"
                return [f"stopped after epoch {event.epochs} ({event.reason}); {kept}"]
        return []

    def step(self, event: Stepped) -> str:
        """How far an epoch is, and its losses."""
        steps = f"/{self.started.steps}" if self.started else ""
        return f"{self.epoch(event.epoch)}  step {event.step}{steps}  {self._losses()}".rstrip()

    def epoch(self, epoch: int) -> str:
        """`epoch 3/10`."""
        return f"epoch {epoch + 1}/{self.started.epochs}" if self.started else f"epoch {epoch + 1}"

    def _losses(self) -> str:
        if self._stepped is None:
            return ""
        losses = self._stepped.losses
        parts = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        return f"loss {sum(losses.values()):.4f} ({parts})  {self._stepped.targets_per_second:,.0f} targets/s  "


def _start(event: Started) -> list[str]:
    where = f", going on in epoch {event.epoch + 1}" if event.epoch or event.step else ""
    head = f"{event.method}: {event.parameters:,} parameters, {event.epochs} epochs of {event.steps} steps{where}"
    notes = [f"{name}: {value:,.3g}" for name, value in event.notes.items()]
    cost = event.estimate
    estimate = f"training: at most {duration(cost.seconds)}, {cost.memory / 1e9:.1f} GB of memory"
    return [head, *notes, *([estimate] if event.epochs else [])]


def validating(event: Validating) -> str:
    """How far the last validation is."""
    return f"validation: {f'{event.done:,} of ' if event.done else ''}{event.of:,} questions"


class Progress:
    """Prints a line for every epoch, and what the rest will take before the first: `fit(..., on_event=Progress())`."""

    def __init__(self) -> None:
        self._words = Words()

    def __call__(self, event: Event) -> None:
        """Print one event."""
        for line in self._words(event):
            print(line, flush=True)


def duration(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `3 h 20 min`."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
