"""The evaluations that a run folder keeps."""

from __future__ import annotations

import shlex
from pathlib import Path

from siftrec.errors import ArtifactError, DataError
from siftrec.evaluate.evaluation import Evaluation
from siftrec.files import read_json


def kept_at(run: Path, split: str) -> Path:
    """Where a run folder keeps the evaluation of a part."""
    return run / "evaluations" / f"{split}.parquet"


def kept(run: Path, split: str) -> Evaluation:
    """The evaluation of a part that a run folder keeps, of the model that is there now.

    A folder without `run.json` does not say which model that is, so its evaluation is taken as it is. So is one that is
    newer than the artifact: another artifact may have been put in the place of the one that `run.json` tells of.

    Args:
        run: the run folder.
        split: `test` or `valid`.

    Raises:
        DataError: none is kept, it is damaged, or the run was trained on since.
    """
    path, record = kept_at(run, split), run / "run.json"
    command = f"siftrec evaluate {shlex.quote(str(run))} --split {split}"
    if not path.exists():
        here = f"run `{command}` first"
        if run.is_dir() and not (run / "config.toml").exists():  # no command knows its data
            here = f"trained in Python, evaluated there: siftrec.evaluate(model, split.{split}).write({str(path)!r})"
        raise DataError(f"no such file; {here}", str(path))
    found = Evaluation.read(path)
    try:
        now = read_json(record)["fingerprints"]["model"] if record.exists() else found.about.model
    except (ArtifactError, KeyError, TypeError):
        raise DataError("does not say which model the run holds; train it again", str(record)) from None
    if found.about.model != now and not _newer(path, run / "artifact" / "manifest.json"):
        raise DataError(f"was evaluated before it was trained on; run `{command}`", str(run))
    return found


def _newer(path: Path, other: Path) -> bool:
    return other.exists() and path.stat().st_mtime_ns > other.stat().st_mtime_ns
