"""Stored comparisons as other sections than their own read them."""

from __future__ import annotations

from pathlib import Path

from accuracy import Setting
from comparisons import read
from comparisons_tables import stored_places

from siftrec.evaluate.compare import Comparison


def stored_pairs(path: Path) -> dict[Setting, list[Comparison]]:
    """Setting → every comparison that `accuracy.py compare` wrote, as its first family has it; {} where it has not run."""
    return {
        setting: [read(each, min(each["families"], key=_rank)) for each in told["comparisons"] if each["families"]]
        for setting, told in stored_places(path).items()
    }


def _rank(family: str) -> int:
    """Which family a test that has several is told by."""
    return ("primary", "secondary").index(family) if family in ("primary", "secondary") else 2
