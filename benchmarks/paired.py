"""Stored comparisons as other sections than their own read them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from accuracy import Setting
from page import stored

from siftrec.evaluate.compare import Comparison


def stored_pairs(path: Path) -> dict[Setting, list[Comparison]]:
    """Setting → every comparison that `accuracy.py compare` wrote; {} where it has not run."""
    told = stored(path) or {"families": []}
    return {
        Setting(**{field: family[field] for field in Setting._fields if field in family}): [
            Comparison(**{field.name: each[field.name] for field in fields(Comparison)})
            for each in family["comparisons"]
        ]
        for family in told["families"]
    }


def is_equivalent(found: Comparison) -> bool:
    """Whether the verdict says so."""
    return "equivalent" in found.verdict


def is_better(found: Comparison) -> bool:
    """Whether the verdict says that the first is."""
    return found.verdict.startswith(f"{found.a} is better")
