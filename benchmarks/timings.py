"""What rows of speed.py are told, and what they give."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """What all rows are told.

    Attributes:
        data: the folder with all data sets.
        seconds: CPU seconds per timing.
        repeats: timings per row.
    """

    data: Path
    seconds: float
    repeats: int


@dataclass
class Figures:
    """What a row measured.

    Attributes:
        values: one per repeat, ours.
        settings: what ran.
        peers: name → {"values": [...], "settings": ...}.
        beside: further figures of the same runs.
    """

    values: list[float]
    settings: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)
