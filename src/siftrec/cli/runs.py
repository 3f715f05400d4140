"""Run folders as commands take them: RUN, or RUN/artifact; and whose code they may name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siftrec.errors import DataError, SettingsError

if TYPE_CHECKING:
    from siftrec.config import Experiment
    from siftrec.methods.trained import Trained

CONFIG = "config.toml"

Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="PACKAGE",
        help="Run code of this package where RUN names it: a method or split of one's own; repeatable.",
    ),
]


def folder(run: Path) -> Path:
    """RUN, given RUN or RUN/artifact; a run may be called `artifact` itself."""
    from siftrec.files import MANIFEST, standing

    named = run.resolve() if run.name in ("", "..") else run
    return named.parent if named.name == "artifact" and (standing(named) / MANIFEST).is_file() else run


def plain_config(run: Path) -> dict[str, Any]:
    """The run's config.toml as it stands, so that nothing it names is imported; {} where there is none.

    Raises:
        SettingsError: it is not TOML.
    """
    from siftrec.config import parse

    path = folder(run) / CONFIG
    return parse(path) if path.is_file() else {}


def use_threads(run: Path) -> None:
    """Compute with as many threads as the run was trained with, one where it does not say, on every machine alike."""
    import torch

    from siftrec.train.settings import MOST_THREADS

    train = plain_config(run).get("train")
    threads = train.get("threads") if isinstance(train, dict) else None
    torch.set_num_threads(threads if isinstance(threads, int) and 0 < threads <= MOST_THREADS else 1)


def look_here() -> None:
    """Have modules of the current folder found, behind all others: a file that lies here takes no other's place.

    It holds for the whole process, so only commands do it, and only where the user has named a module.
    """
    if not sys.flags.safe_path and not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))


def trusted(packages: list[str] | None) -> tuple[str, ...]:
    """What `--trust` names, to be found in the current folder too."""
    if packages:
        look_here()
    return tuple(packages or ())


def load_run(run: Path, trust: list[str] | None) -> Trained:
    """The model of a run, to be asked with as many threads as it was trained with.

    Raises:
        ArtifactError: there is none, it is damaged, or of a package that is not trusted.
        UsageError: `trust` names no package.
    """
    from siftrec.artifact import load

    use_threads(run)
    return load(run, trusted(trust))


def experiment_of(run: Path, trust: list[str] | None, overrides: Iterable[str] = ()) -> Experiment:
    """The experiment of a run, which may name code of trusted packages only.

    Args:
        run: its folder, or the artifact in it.
        trust: these packages.
        overrides: as of `config.load`.

    Raises:
        DataError: there is a model and no experiment.
        SettingsError: what is wrong in config.toml, or of a package that is not trusted.
    """
    from siftrec import config

    path = folder(run) / CONFIG
    if not folder(run).is_dir():
        raise DataError("no such run folder; `siftrec train` makes one", str(run))
    if not path.is_file():
        problem = f"is a model alone, without the {CONFIG} that says what it was trained on"
        raise DataError(f"{problem}; give a run of `siftrec train`, or go on in Python: siftrec.load", str(folder(run)))
    try:
        return config.load(path, overrides, trust=trusted(trust))
    except SettingsError as error:
        if overrides or error.path.startswith(str(path)):
            raise
        raise SettingsError(f"{path}: {error.path}", error.problem) from error
