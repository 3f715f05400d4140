"""`--set KEY=VALUE`: single keys of a file's tables, said on the command line."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from typing import Any

from siftrec.errors import SettingsError, UsageError


def override(table: dict[str, Any], overrides: Iterable[str], file: str) -> list[str]:
    """Set keys of a table in place.

    What is used decides whose the other settings are, so every `use` comes first, whatever its place, outer tables before
    those within. Another one than the file's starts its table anew: what stands beside it there is of something else.

    Args:
        table: what the file holds.
        overrides: `"method.dim=32"`: a dotted key and a TOML value, or plain text.
        file: its name, for notes.

    Returns:
        A line for every table that lost settings of the file.

    Raises:
        SettingsError: a table where the file has a value.
        UsageError: an override that is not `key=value`.
    """
    assignments = [single for each in overrides for single in _single(*_assignment(each))]
    set_anew = {tuple(path) for path, _ in assignments}
    notes = []
    for path, value in sorted(assignments, key=lambda each: len(each[0]) if each[0][-1] == "use" else sys.maxsize):
        *above, last = path
        at = table
        for part in above:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise SettingsError(".".join(path), f"{part!r} is a value, not a table")
        if last == "use" and at.get("use", value) != value:
            here = len(path)
            lost = ", ".join(key for key in at if (*above, key) not in {each[:here] for each in set_anew})
            if lost:
                notes.append(f"[{'.'.join(above)}] of {file}: {lost} belong to {at['use']} and are dropped")
            at.clear()
        at[last] = value
    return notes


def _single(path: list[str], value: Any) -> list[tuple[list[str], Any]]:
    """An assignment of a table as those of its keys."""
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    return [single for key, each in value.items() for single in _single([*path, key], each)]


def _assignment(text: str) -> tuple[list[str], Any]:
    """The parts of the key, and the value, of `key=value`."""
    key, sign, value = text.partition("=")
    path = key.strip().split(".")
    if not sign or not all(path):
        raise UsageError(f"--set {text!r} is not of the form key=value, e.g. method.dim=32")
    return path, _literal(value.strip())


def _literal(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        # A number to everybody but TOML, which wants digits on both sides of the point.
        return float(text) if re.fullmatch(r"[+-]?(\.\d+|\d+\.)([eE][+-]?\d+)?", text) else text
    return parsed["value"] if len(parsed) == 1 else text
