"""Settings in words."""

from __future__ import annotations

from typing import Any

from page import number

from siftrec.settings import describe, resolve


def flat(values: dict[str, Any]) -> str:
    """`key value, key value`; nested tables behind their name; of one of our settings classes, what is no default."""
    words = []
    if str(values.get("use", "")).startswith("siftrec:"):
        values = {"use": values["use"], **unlike(values, describe(resolve(values["use"], "use")()))}
    for key, value in values.items():
        if isinstance(value, dict):
            words.append(f"{key} ({flat(value)})")
        elif isinstance(value, list):
            words.append(f"{key} {' + '.join(map(str, value)) or 'none'}")
        else:
            words.append(f"{key} {number(value) if isinstance(value, float) else value}")
    return ", ".join(words)


def unlike(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults, nested tables likewise; one that is off by default is all there."""
    nested = {key: unlike(value, defaults.get(key, {})) for key, value in values.items() if isinstance(value, dict)}
    plain = {key: value for key, value in values.items() if key not in nested and value != defaults.get(key)}
    return plain | {key: value for key, value in nested.items() if value}
