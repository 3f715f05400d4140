"""Run folders as commands take them: RUN, or RUN/artifact."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from siftrec.errors import SettingsError


def folder(run: Path) -> Path:
    """RUN, given RUN or RUN/artifact."""
    return run.parent if run.name == "artifact" else run


def plain_config(run: Path) -> dict[str, Any]:
    """The run's config.toml as it stands, so that nothing it names is imported; {} where there is none.

    Raises:
        SettingsError: it is not TOML.
    """
    path = folder(run) / "config.toml"
    try:
        return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise SettingsError(str(path), f"not TOML: {error}") from None


def use_threads(run: Path) -> None:
    """Compute with as many threads as the run was trained with, one where it does not say, on every machine alike."""
    import torch

    train = plain_config(run).get("train")
    threads = train.get("threads") if isinstance(train, dict) else None
    torch.set_num_threads(threads if isinstance(threads, int) and threads > 0 else 1)
