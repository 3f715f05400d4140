"""Settings that are not the defaults: those that tuning chose, and any others by their key paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from variants import method_of, training_of

from siftrec.errors import SettingsError
from siftrec.methods.base import Method
from siftrec.settings import build, describe, nearest
from siftrec.train.settings import Training

CHOSEN = Path(__file__).resolve().parent / "results" / "tuning" / "chosen.json"


def chosen() -> dict[str, dict[str, dict[str, Any]]]:
    """What `tuning.py choose` chose: data set and share of noise → method → choice. Empty before."""
    return dict(json.loads(CHOSEN.read_text("utf-8"))["choices"]) if CHOSEN.exists() else {}


def moved(setting: str) -> set[str]:
    """The methods that tuning left with other settings than their defaults, at a data set and a share of noise."""
    return {name for name, choice in chosen().get(setting, {}).items() if choice["changes"]}


def tuned(setting: str, data: str, name: str) -> tuple[Method, Training]:
    """A variant as it was chosen for a data set and a share of noise, and how it is trained."""
    return changed(method_of(data, name), training_of(data, name), chosen()[setting][name]["changes"])


def changed(method: Method, training: Training, changes: Mapping[str, Any]) -> tuple[Method, Training]:
    """Both with other settings.

    Args:
        method: what is trained.
        training: how.
        changes: key path → value, e.g. `{"method.base.dropout": 0.5, "training.learning_rate": 0.001}`.

    Raises:
        SettingsError: a key path that the settings do not have, or a value out of range.
    """
    tables = {"method": describe(method), "training": describe(training)}
    for path, value in changes.items():
        *way, key = path.split(".")
        table: dict[str, Any] = tables
        for step in way:
            table = table.get(step, {})
        if key not in table:
            raise SettingsError(path, f"no such setting{nearest(key, table)}")
        table[key] = value
    return build(tables["method"], "method"), build(tables["training"], "training")


def described(method: Method, training: Training | None) -> dict[str, Any]:
    """Both as they are read back from JSON; what is counted has no training."""
    tables = {"method": describe(method)} | ({} if training is None else {"training": describe(training)})
    return dict(json.loads(json.dumps(tables)))
