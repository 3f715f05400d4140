"""What happens while training, in order: `Read? Warned* Started (Warned | Stepped | EpochEnded)* Stopped Validating*`.

`Validating` in a run alone. Of a counted method there are `Read`, `Warned` and `Validating` at most, `Read` also from `fit`
where it does not weigh targets by the log.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """What a run will take, measured on a few steps of a copy before the first epoch.

    Attributes:
        seconds: until the last epoch allowed, validation included.
        memory: peak bytes of the process.
        weights: bytes of the model's state.
        training: bytes of gradients, both moments of AdamW, and the best weights so far.
        batch: bytes that one step or one block of ranking needs on top.
        features: bytes of content vectors held in memory, not memory-mapped.
    """

    seconds: float = 0.0
    memory: int = 0
    weights: int = 0
    training: int = 0
    batch: int = 0
    features: int = 0


@dataclass(frozen=True)
class Read:
    """The log of a run was read.

    Attributes:
        notes: what was accepted and counted, e.g. {"duplicate rows": 3}.
    """

    notes: Mapping[str, int]


@dataclass(frozen=True)
class Started:
    """Everything is ready, the first step follows.

    Attributes:
        method: spelled as in a configuration file.
        parameters: how many numbers are learned.
        epoch: first epoch to be trained, from 0; above 0, or with `step` above 0, the run was resumed.
        step: steps of that epoch already done.
        epochs: at most.
        steps: of each epoch.
        estimate: of what is still to do.
        notes: what the method has to say about the data (see `methods.base.Noted`).
    """

    method: str
    parameters: int
    epoch: int
    step: int
    epochs: int
    steps: int
    estimate: Estimate
    notes: Mapping[str, float]


@dataclass(frozen=True)
class Warned:
    """Something the user should know, e.g. that a damaged checkpoint was passed over."""

    message: str


@dataclass(frozen=True)
class Stepped:
    """Means over the `steps` steps up to and including step `step` (from 1) of an epoch.

    Attributes:
        epoch: from 0.
        step: from 1.
        steps: how many steps the means are over.
        losses: parts of the loss; the total is their sum.
        gradient: norm of the gradient before clipping.
        targets_per_second: speed since the previous line.
    """

    epoch: int
    step: int
    steps: int
    losses: Mapping[str, float]
    gradient: float
    targets_per_second: float


@dataclass(frozen=True)
class EpochEnded:
    """One pass over the data, and how well the model answers the validation questions.

    Attributes:
        epoch: from 0.
        metric: name.
        value: None where there is no validation question.
        best: whether its weights are the ones kept so far.
        seconds: spent on validation.
    """

    epoch: int
    metric: str
    value: float | None
    best: bool
    seconds: float


@dataclass(frozen=True)
class Stopped:
    """The weights of `best_epoch` are the result.

    Attributes:
        reason: `done`, `no better for P epochs`, or `asked to stop`: `on_event` gave True.
        epochs: trained.
        best_epoch: from 0.
        metric: name.
        value: of the metric in that epoch.
    """

    reason: str
    epochs: int
    best_epoch: int
    metric: str
    value: float | None


@dataclass(frozen=True)
class Validating:
    """The result of a run answers the validation questions: first with `done` 0.

    Attributes:
        done: questions answered so far.
        of: all of them.
    """

    done: int
    of: int


Event = Read | Started | Warned | Stepped | EpochEnded | Stopped | Validating
OnEvent = Callable[[Event], bool | None]
"""Is told every event; True ends training after the epoch at hand, with the best weights so far."""


def record(event: Event) -> dict[str, Any]:
    """The event as one line of `log.jsonl`; `event` is its name: `started`, `epoch_ended`, ..."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    return {"event": name, **dataclasses.asdict(event)}
