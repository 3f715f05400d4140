"""`siftrec noise` and `siftrec sift`: what is probably noise in a run's log, and the log with weights."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siftrec.cli.console import say, table
from siftrec.cli.runs import folder, use_threads

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from siftrec.config import Experiment, Prepared
    from siftrec.data.sequences import Sequences
    from siftrec.detectors.calibrate import NoiseScores

TABLE, DETECTION, PAGE = "interactions.parquet", "detection.json", "noise.html"
TRUST = 0.05
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


class PartName(StrEnum):
    """Which interactions are judged, and by which."""

    all = "all"
    train = "train"


PartOption = Annotated[PartName, typer.Option(help="`train`: training interactions, by training interactions only.")]


def noise_command(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write.")],
    part: PartOption = PartName.all,
) -> None:
    """Judge every interaction of a run's log: a table, a page, and how well planted noise is found where there is some."""
    from siftrec import files

    output = output.absolute()  # `.` has no name
    with files.clear_errors(output):
        files.check_replaceable(output)
    judged = _judged(run, part)
    writers: dict[str, files.Writer] = {TABLE: lambda path: _write_table(judged.table(), path, judged.time_kind)}
    report = judged.detection()
    if report is not None:
        text = json.dumps(report, indent=1, allow_nan=False) + "\n"
        writers[DETECTION] = lambda path: path.write_text(text, "utf-8")
    html = _page(judged, report)
    writers[PAGE] = lambda path: path.write_text(html, "utf-8")
    files.seal(output, writers, "noise", 1)
    typer.echo(_told(judged, report))
    say(f"wrote {output}: {', '.join(writers)}")


def sift_command(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="File to write, like the log.")],
    part: PartOption = PartName.all,
    drop: Annotated[bool, typer.Option("--drop", help="Leave flagged rows out instead of writing weights.")] = False,
) -> None:
    """Write the run's log again, in its own layout, with a weight per interaction: 1 minus its noise probability."""
    from siftrec.data.writers.marks import Marks
    from siftrec.data.writers.rewrite import check_target, rewrite
    from siftrec.errors import UsageError

    experiment = _experiment(run)
    if experiment.data.inject is not None:
        raise UsageError(f"{run} planted noise into its log; the file {experiment.data.path} does not hold it")
    check_target(experiment.data.path, output, drop)
    judged = _judged(run, part, unweighted=not drop)
    rows, scores = judged.log.rows, judged.scores
    marks = Marks.without(rows, scores.flagged) if drop else Marks.weights(rows, scores.weight)
    rewrite(experiment.data.path, output, marks)
    if drop and not scores.flagged.any():
        say(f"nothing can be flagged at q = {scores.q:g}; all rows are kept")
    if not drop and (scores.weight == 1).all():
        why = "no interaction looks like noise" if scores.rho_upper == 0 else "nothing tells noise from the rest"
        say(f"{why}: all weights are 1")
    told = f"{int(scores.flagged.sum()):,} rows left out" if drop else f"mean weight {scores.weight.mean():.3f}"
    say(f"wrote {output}: {len(rows):,} interactions judged, {told}")


@dataclass(frozen=True)
class _Judged:
    """A run's log and what is believed of the part of it that was judged.

    Attributes:
        run: its folder.
        experiment: of the run.
        prepared: its data.
        chosen: (E,) bool, the events of `prepared.split.log` that were judged.
        log: these events.
        scores: of these events.
    """

    run: Path
    experiment: Experiment
    prepared: Prepared
    chosen: np.ndarray
    log: Sequences
    scores: NoiseScores

    @cached_property
    def titles(self) -> dict[str, str]:
        """By item id; empty where the experiment names no titles."""
        from siftrec.data.titles import titles

        path = self.experiment.data.titles
        return dict(titles(path).iter_rows()) if path and Path(path).is_file() else {}

    @property
    def time_kind(self) -> str:
        """What `time` means in the log."""
        return self.prepared.time_kind

    @property
    def truth(self) -> np.ndarray | None:
        """(E_judged,) bool, True = planted; None where nothing was."""
        injected = self.prepared.injected
        return None if injected is None else injected.noisy[self.chosen]

    def table(self) -> pl.DataFrame:
        """One row per positive interaction, in the source's order; `noise` and `evidence` are null where not judged."""
        import numpy as np
        import polars as pl

        split, log, scores = self.prepared.split, self.prepared.split.log, self.scores
        # What was planted has no row; it stands behind the interaction that it follows.
        place = np.maximum.accumulate(np.where(log.rows >= 0, np.arange(len(log.rows)), 0))
        place = np.where(log.rows[place] >= 0, log.rows[place], 0)
        order = np.argsort(place, kind="stable")
        at = np.where(self.chosen, np.cumsum(self.chosen) - 1, 0)[order]
        judged = pl.Series(self.chosen[order])
        frame = pl.DataFrame(
            {
                "row": log.rows[order],
                "user": split.users.gather(log.owners[order]),
                "item": split.items.decode(log.items[order]),
                "time": log.times[order],
                "noise": pl.Series(scores.noise[at], dtype=pl.Float32),
                "flagged": pl.Series(scores.flagged[at]) & judged,
                "evidence": pl.Series(scores.evidence[at], dtype=pl.Int32),
            }
        )
        known = [pl.when(judged).then(pl.col(name)).otherwise(None).alias(name) for name in ("noise", "evidence")]
        return frame.with_columns(known)

    def detection(self) -> dict[str, Any] | None:
        """The content of detection.json; None where no noise was planted."""
        from siftrec.noise.measure import detection

        injected, truth, log = self.prepared.injected, self.truth, self.log
        if injected is None or truth is None:
            return None
        popularity = log.counts(len(self.prepared.catalog))[log.items]
        return detection(
            self.scores, truth, log.owners, popularity, log.lengths[log.owners], planted=injected.mechanism
        )


def _experiment(run: Path) -> Experiment:
    from siftrec import config

    return config.load(folder(run) / "config.toml")


def _judged(run: Path, part: PartName, unweighted: bool = False) -> _Judged:
    import numpy as np

    from siftrec import artifact
    from siftrec.data.split import TEST, TRAIN
    from siftrec.data.writers.marks import WEIGHT, refuse_weighted
    from siftrec.errors import DataError
    from siftrec.noise.sift import scores_for

    use_threads(run)
    experiment = _experiment(run)
    prepared = experiment.prepare()
    split = prepared.split
    if split.train.fingerprint != artifact.load(run).facts.train:
        raise DataError(f"the data have changed since {run} was trained; train again", experiment.data.path)
    if unweighted and split.log.weights is not None:
        refuse_weighted(experiment.data.path, experiment.data.weight or WEIGHT)
    chosen = np.ones(len(split.log.items), bool)
    if part is PartName.train:
        chosen = split.role == TRAIN
    elif prepared.injected is not None:
        # Test targets are clean by design; in a history they would vouch for others as no real log does.
        chosen = split.role < TEST
    log = split.log.where(chosen)
    say(f"judging {len(log.items):,} interactions of {int((log.lengths > 0).sum()):,} users")
    scores = scores_for(log, prepared.catalog, experiment.seed)
    return _Judged(folder(run), experiment, prepared, chosen, log, scores)


def _write_table(frame: pl.DataFrame, path: Path, time_kind: str) -> None:
    import pyarrow.parquet

    from siftrec.data.readers.arrow import TIME_KIND

    marked = frame.to_arrow().replace_schema_metadata({TIME_KIND: time_kind})
    pyarrow.parquet.write_table(marked, path, compression="zstd")


def _page(judged: _Judged, report: dict[str, Any] | None) -> str:
    from siftrec import __version__
    from siftrec.cli.noise_view import view
    from siftrec.report import noise_page
    from siftrec.report.data import Origin

    split = judged.prepared.split
    origin = Origin(shlex.join(["siftrec", *sys.argv[1:]]), __version__, judged.experiment.seed)
    names = (split.users, judged.prepared.catalog.vocab, judged.titles)
    return noise_page(view(judged.run.name, judged.log, judged.scores, names, origin, report, judged.truth))


def _told(judged: _Judged, report: dict[str, Any] | None) -> str:
    scores = judged.scores
    low, high = scores.rho_interval
    flagged, trusted = int(scores.flagged.sum()), int(scores.trusted(TRUST).sum())
    rows: list[tuple[str, Any]] = [
        ("interactions judged", f"{len(scores.noise):,}"),
        ("without evidence", f"{int((scores.evidence == 0).sum()):,}"),
        ("share of noise, at most", f"{scores.rho_upper:.3f} [{low:.3f}, {high:.3f}]"),
        (f"trusted, at most {TRUST:.0%} noise", f"{trusted:,}" if trusted else "none"),
        (f"flagged at q = {scores.q:g}", f"{flagged:,}" if flagged else "none: nothing can be flagged at this level"),
    ]
    if report is not None:
        rows += [(f"planted ({report['mechanism']})", report["rho"])]
        rows += [(name, report[name]) for name in ("auroc", "auroc_popularity", "auprc", "brier") if report[name]]
    return table(("noise", scores.mechanism), rows)
