"""What happens during an audit, in order: `Planned (Began Advanced* Ended)*`. The console reads these events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """The log was read; nothing slow has begun.

    Attributes:
        steps: names of the steps to come.
        seconds: what they will take, roughly, on one core.
        memory: peak bytes of the process, roughly.
        notes: what reading accepted and counted, e.g. {"duplicate rows": 3}.
    """

    steps: tuple[str, ...]
    seconds: float
    memory: int
    notes: dict[str, int]


@dataclass(frozen=True)
class Began:
    """A step begins.

    Attributes:
        step: its name.
        number: from 1.
        of: how many there are.
    """

    step: str
    number: int
    of: int


@dataclass(frozen=True)
class Advanced:
    """A part of a step is done.

    Attributes:
        step: its name.
        done: parts that are done.
        of: how many there are, about equally long.
    """

    step: str
    done: int
    of: int


@dataclass(frozen=True)
class Ended:
    """A step is over.

    Attributes:
        step: its name.
        seconds: it took.
        found: its result in one line.
    """

    step: str
    seconds: float
    found: str


Event = Planned | Began | Advanced | Ended
OnEvent = Callable[[Event], None]
