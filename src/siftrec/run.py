"""One experiment end to end, and the folder it leaves.

RUN/config.toml        resolved, complete
RUN/log.jsonl          one line per event
RUN/checkpoints/       where --resume goes on
RUN/injected.parquet   planted noise, only with [data.inject]
RUN/foreign.parquet    planted foreign content, only with [data.foreign]
RUN/artifact/          what load and recommend take
RUN/metrics.json       validation only: a run never reads the test part
RUN/run.json           versions, seed, fingerprints; written last, so its presence means that the run is complete
"""

from __future__ import annotations

import os
import platform
import time
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siftrec import beside, config
from siftrec.artifact import parameters, save
from siftrec.config import Experiment, Prepared
from siftrec.data.titles import titles
from siftrec.errors import SettingsError, UsageError
from siftrec.evaluate.evaluation import evaluate
from siftrec.files import LOCK, clear_errors, locked, stands, write_file, write_json, write_text
from siftrec.methods.trained import Trained
from siftrec.nn.threads import threads
from siftrec.train.checkpoint import listed
from siftrec.train.events import Event, OnEvent, Read, Started, Validating, Warned
from siftrec.train.fit import fit
from siftrec.train.folder import CHECKPOINTS, LOG

CONFIG, RECORD, METRICS, ARTIFACT, INJECTED, FOREIGN = (
    "config.toml",
    "run.json",
    "metrics.json",
    "artifact",
    "injected.parquet",
    "foreign.parquet",
)
_PACKAGES = ("siftrec", "torch", "numpy", "polars", "scipy")


def run(
    experiment: Experiment,
    folder: str | os.PathLike[str],
    resume: bool = False,
    on_event: OnEvent | None = None,
    command: str = "",
) -> Trained:
    """Read, train, save, and measure on validation.

    Args:
        experiment: from `siftrec.config.load`.
        folder: the run folder; made when missing. One where a run ended before anything was trained starts anew.
        resume: go on with the run that is there; without one, start.
        on_event: called with every event, see `siftrec.train.events`; None: what the user should know is a Python warning.
        command: the command line, for the record.

    Raises:
        UsageError: the folder holds a run, or a file in its place that no run wrote, and `resume` is false.
        EnvironmentProblem: the folder cannot be written, before anything is read.
        SettingsError: the run to be resumed is of another experiment.
        SiftrecError: whatever reading, training and saving may raise.
    """
    started, folder = time.monotonic(), Path(folder)
    if not resume:
        _check_free(folder)
    with clear_errors(folder):
        beside.check(folder / LOCK)
    prepared = experiment.prepare()
    named = _titles(experiment, prepared)
    if on_event is not None:
        on_event(Read(prepared.notes))
    with locked(folder), threads(experiment.train.threads):  # validation too
        settings = _claimed(experiment, folder, resume)

        def told(event: Event) -> bool | None:
            if isinstance(event, Started):  # what there is to resume has been accepted
                write_text(folder / CONFIG, settings)
            if on_event is None and isinstance(event, Warned):
                warnings.warn(event.message, stacklevel=5)  # of who called `run`
            return None if on_event is None else on_event(event)

        for planted, name in ((prepared.injected, INJECTED), (prepared.foreign, FOREIGN)):
            if planted is not None:
                write_file(folder / name, planted.truth().write_parquet)
        trained = fit(
            experiment.method,
            prepared.parts,
            prepared.catalog,
            training=experiment.train,
            seed=experiment.seed,
            folder=folder,
            resume=resume,
            on_event=told,
        )
        trained = replace(trained, titles=named)
        (folder / LOG).touch()  # a counted method has nothing to log
        save(trained, folder / ARTIFACT)
        write_json(folder / METRICS, _validation(trained, prepared, experiment, folder, on_event))
        write_json(folder / RECORD, _record(trained, prepared, experiment, command, time.monotonic() - started))
    return trained


def _titles(experiment: Experiment, prepared: Prepared) -> dict[Any, str]:
    """Titles of the catalog's items, by raw id."""
    if experiment.data.titles is None:
        return {}
    table, items = titles(experiment.data.titles), prepared.catalog.vocab
    codes = items.encode(table["item"], unknown=0)
    return dict(zip(items.raw(codes[codes > 0]), table["title"].filter(codes > 0).to_list(), strict=True))


def _check_free(folder: Path) -> None:
    """Refuse a folder where something was trained, or where a new run would replace a file that none wrote."""
    held = next((name for name in (RECORD, METRICS, ARTIFACT) if stands(folder / name)), None)
    if held or listed(folder / CHECKPOINTS):
        what = held or CHECKPOINTS
        raise UsageError(f"{folder} already holds a run ({what}); choose another folder, or go on with --resume")
    left = _left(folder)
    other = next((name for name in (CONFIG, INJECTED, FOREIGN) if name not in left and (folder / name).exists()), None)
    if other:
        raise UsageError(f"{folder} holds {other!r}, which no run wrote there; choose another folder")


def _left(folder: Path) -> list[str]:
    """The files that a run may have left before anything was trained, its settings first; [] where no run was begun."""
    table = config.dumped(folder / CONFIG) if (folder / LOCK).exists() else None
    if table is None:
        return []
    planted = [name for key, name in (("inject", INJECTED), ("foreign", FOREIGN)) if key in table["data"]]
    return [CONFIG, LOG, *planted]


def _begin_anew(folder: Path) -> None:
    """Remove what a run has left that trained nothing: truth and log of other settings would pass for those of this run."""
    _check_free(folder)
    with clear_errors(folder):
        for name in _left(folder)[1:]:
            (folder / name).unlink(missing_ok=True)


def _claimed(experiment: Experiment, folder: Path, resume: bool) -> str:
    """The settings in full, written at once where the folder has none; a run that is there may still refuse others."""
    text, path = config.dump(experiment), folder / CONFIG
    if not resume:
        _begin_anew(folder)
    elif path.exists():
        now = tomllib.loads(text)
        # What it names is compared before any of it is imported: the run may be from elsewhere.
        named = {key: name for key, name in _flat(config.parse(path)).items() if key.endswith(".use")}
        _check_same(named, {key: name for key, name in _flat(now).items() if key in named}, folder)
        old = tomllib.loads(config.dump(config.load(path)))
        # The trainer says which training settings may change.
        _check_same(_flat({**old, "train": {}}), _flat({**now, "train": {}}), folder)
        return text
    write_text(path, text)
    return text


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise SettingsError(key, f"is {now.get(key)!r}, but the run in {folder} was {before.get(key)!r}")


def _flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return flat


def _validation(
    trained: Trained, prepared: Prepared, experiment: Experiment, folder: Path, on_event: OnEvent | None
) -> dict[str, Any]:
    valid = prepared.parts.valid
    if not len(valid):
        return {"schema": 1, "run": str(folder), "split": "valid", "users": 0, "metrics": {}}

    def progress(done: int, of: int) -> None:
        if on_event is not None:
            on_event(Validating(done, of))

    progress(0, len(valid))
    evaluation = evaluate(trained, valid, experiment.evaluate.cutoffs, progress=progress)
    return {"schema": 1, **evaluation.to_json(str(folder))}


def _record(
    trained: Trained, prepared: Prepared, experiment: Experiment, command: str, seconds: float
) -> dict[str, Any]:
    return {
        "schema": 1,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "seed": experiment.seed,
        "threads": experiment.train.threads,
        "protocol": prepared.parts.protocol,
        "fingerprints": {"train": trained.facts.train, "test": trained.facts.test, "model": trained.fingerprint},
        "users": len(prepared.parts.users),
        "items": len(prepared.catalog) - 1,
        "modalities": {name: round(share, 6) for name, share in prepared.catalog.coverage.items()},
        "epochs": trained.facts.epochs,
        "parameters": parameters(trained),
        "duration": round(seconds, 3),
        "command": command,
    }
