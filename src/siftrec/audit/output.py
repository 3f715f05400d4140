"""What an audit leaves: a folder that appears whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from siftrec.audit.judging import weights_of
from siftrec.audit.result import Audit
from siftrec.data.readers.arrow import write_table
from siftrec.errors import DataError, UsageError
from siftrec.files import MANIFEST, Writer, check_replaceable, clear_errors, seal

KIND, VERSION = "audit", 1
JSON, TABLE, PAGE = "audit.json", "weighted.parquet", "audit.html"
Page = Callable[[Audit], str]


def check_free(folder: Path) -> None:
    """Refuse a path where something stands that is not an empty folder.

    Raises:
        UsageError: a folder that holds anything.
        EnvironmentProblem: a file, or a folder that cannot be read.
    """
    with clear_errors(folder):
        held = next(iter(sorted(folder.iterdir())), None) if folder.is_dir() else None
        if held is not None:
            raise UsageError(f"{folder} already holds {held.name!r}; choose another folder with -o")
        check_replaceable(folder, KIND)


def write(audit: Audit, folder: Path, page: Page | None) -> str:
    """Write audit.json, weighted.parquet, the weighted log in its own layout, and the page.

    A log that has weights already is not written in its layout, for there is one column for them, and it is taken; nor is
    one that was published in several files, or comes from memory.

    Returns:
        Why the log is not written in its layout; "" where it is.

    Raises:
        UsageError: `folder` is not empty.
        EnvironmentProblem: `folder` is a file, disk full, read-only folder; nothing half-written stays.
    """
    check_free(folder)
    text = json.dumps(audit.to_json(), indent=1, allow_nan=False) + "\n"
    writers: dict[str, Writer] = {
        JSON: lambda path: path.write_text(text, "utf-8"),
        TABLE: lambda path: write_table(table(audit), path, audit.source.events.time_kind),
    }
    if page is not None:
        html = page(audit)
        writers[PAGE] = lambda path: path.write_text(html, "utf-8")
    why, name = "", audit.source.path.name
    with clear_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".siftrec-", dir=folder.parent) as work:
            weighted = Path(work) / name
            try:
                _weighted_log(audit, weighted)
            except (UsageError, DataError) as error:
                why = str(error)
            else:
                writers[f"log_{name}" if name in (*writers, MANIFEST) else name] = weighted.replace
            seal(folder, writers, KIND, VERSION)
    return why


def table(audit: Audit) -> pl.DataFrame:
    """The log in source order: its columns, and `weight`, `noise`, `flagged`, `evidence` of each interaction."""
    scores = audit.scores
    columns = {
        "weight": weights_of(audit.source.log, scores),
        "noise": scores.noise,
        "flagged": scores.flagged,
        "evidence": scores.evidence,
    }
    frame = audit.source.events.frame.with_columns(**{name: pl.Series(each) for name, each in columns.items()})
    return frame.sort("row").select("row", pl.exclude("row"))


def _weighted_log(audit: Audit, path: Path) -> None:
    from siftrec.noise.sift import weighted

    if audit.source.log.weights is not None:
        raise UsageError("it has weights already")
    if not audit.source.path.exists():
        raise UsageError("the log came from memory")
    weighted(audit.source.path, audit.source.events, audit.scores, path)
