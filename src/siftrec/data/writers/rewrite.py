"""A log written as it was read: the source's own layout, order and bytes, with a weight per row or with rows left out.

| source                      | with weights                                     | with rows left out       |
|-----------------------------|--------------------------------------------------|--------------------------|
| CSV, TSV, `.inter`          | one more column, the header included             | lines gone               |
| `ratings.dat`, `u.data`     | one more field                                   | lines gone               |
| JSON lines                  | one more key                                     | lines gone               |
| Parquet, Arrow              | one more column                                  | rows gone                |
| one list of items per user  | TSV `user, item, weight`, a row per interaction  | items gone from the lists |

A list per user has no place for a weight per interaction, and two files kept in step by hand invite mistakes. The table
holds the same users, items and order; any tool reads it, and `siftrec.read` makes the same log of it. It has no time, for
the source has only an order. Every log can become Parquet instead: then the new file's name ends in `.parquet`.
"""

from __future__ import annotations

import gzip
import io
import shlex
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from siftrec.data.layout import LISTS, Layout, sniff, suffix
from siftrec.data.readers.text import scan
from siftrec.data.writers import tables, text
from siftrec.data.writers.marks import Marks, refuse_weight
from siftrec.errors import UsageError
from siftrec.files import write_file

_ARROW = {".arrow", ".ipc", ".feather"}
_ALIKE = ({".jsonl", ".ndjson"}, _ARROW)


def rewrite(source: str | Path, out: Path, marks: Marks) -> None:
    """Write the log in `source` again, marked.

    Args:
        source: what `siftrec.read` reads.
        out: the new file; it ends as the log does, or in `.parquet`; `.gz` may be added to text.
        marks: by row of the source.

    Raises:
        UsageError: `out` is the log itself, or ends as another kind of file.
        DataError: the source has weights already, or fewer rows than were marked.
        EnvironmentProblem: see `siftrec.files.write_file`; an older file there is untouched.
    """
    check_target(source, out, marks.weight is None)
    layout = sniff(source)
    log, ending = layout.log, suffix(out)
    if ending == ".parquet" or layout.kind == "arrow":
        table = tables.marked(tables.whole(log, layout.kind), str(log), marks)
        write_file(out, lambda work: tables.write(table, work, ending))
        return
    if layout.kind == "pairs" and marks.weight is not None:
        frame = pl.DataFrame(tables.marked(tables.whole(log, "pairs"), str(log), marks))
        lines: Iterable[str] = [frame.write_csv(separator="\t")]
    else:
        lines = text.lines(log, layout.kind, marks)
    mark = "\ufeff" if scan(log).bom else ""
    write_file(out, lambda work: _write_text(mark, lines, work, out.suffix == ".gz"))


def check_target(source: str | Path, out: Path, drop: bool) -> None:
    """Refuse a target early, before anything is computed for it: see `rewrite`.

    Args:
        source: what `siftrec.read` reads.
        out: the new file.
        drop: whether rows are left out and no weights are written.

    Raises:
        UsageError: `out` is the log itself, or ends as another kind of file.
    """
    layout = sniff(source)
    log, kind = layout.log, layout.kind
    if log.is_dir():
        stands = "is published in" if layout.published else "holds the log in"
        command = f"siftrec data {shlex.quote(str(log))} --write log.parquet"
        raise UsageError(f"{log} {stands} several files; make one of them: {command}")
    refuse_log(layout, out)
    ending, own = suffix(out), suffix(log)
    alike = ending == own or any({ending, own} <= endings for endings in _ALIKE)
    if ending != ".parquet" and not alike:
        raise UsageError(f"{out} must end in {own}, as the log does, or in .parquet")
    if out.suffix == ".gz" and ending in {".parquet", *_ARROW}:
        raise UsageError(f"{out}: Parquet and Arrow files are not packed once more; leave .gz away")
    listed = kind == "pairs" and drop and ending != ".parquet"
    if listed and not any(out.match(pattern) for pattern in LISTS):
        raise UsageError(f"{out} would hold one list per user; such files are called *_pairs.tsv")


def refuse_log(layout: Layout, out: Path) -> None:
    """Refuse to write where the log stands.

    Args:
        layout: of the log.
        out: the new file, by whatever way it is named.

    Raises:
        UsageError: `out` is the log itself, or would be read as a part of it.
    """
    log = layout.log
    if layout.kind == "joined" and out.suffix == ".parquet" and out.resolve().is_relative_to(log.resolve()):
        raise UsageError(f"{out} would stand among the files of the log {log}; name another folder")
    if out.exists() and out.samefile(log):
        raise UsageError(f"{out} is the log itself, which is never overwritten; name another file")


def check_unweighted(source: str | Path) -> None:
    """Refuse a log that has a column of weights early, be it one that is not read: `rewrite` has no place for others.

    Args:
        source: one file, see `check_target`.

    Raises:
        DataError: it has weights already.
    """
    layout = sniff(source)
    refuse_weight(tables.names(layout.log, layout.kind), str(layout.log))


def _write_text(mark: str, lines: Iterable[str], work: Path, packed: bool) -> None:
    with work.open("wb") as raw:
        # Neither name nor clock in the gzip header: equal logs give equal files.
        stream = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if packed else raw
        file = io.TextIOWrapper(stream, "utf-8", newline="")
        file.write(mark)
        file.writelines(lines)
        file.detach()
        if packed:
            stream.close()
