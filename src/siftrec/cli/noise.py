"""`siftrec noise` and `siftrec sift`: what is probably noise in a run's log, and the log with weights."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from siftrec.cli.console import say, table
from siftrec.cli.detector import DetectorName, DetectorOption, settings_of
from siftrec.cli.judged import Judged, judge_run
from siftrec.cli.runs import Trust, experiment_of

KIND, VERSION = "noise", 1
TABLE, MODALITIES, DETECTION, PAGE = "interactions.parquet", "modalities.parquet", "detection.json", "noise.html"
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
    detector: DetectorOption = DetectorName.likelihood,
    trust: Trust = None,
) -> None:
    """Judge every interaction of a run's log: a table, a page, and how well planted noise is found where there is some."""
    from siftrec import files
    from siftrec.data.readers.arrow import write_table

    output = output.absolute()  # `.` has no name
    with files.clear_errors(output):
        files.check_replaceable(output, KIND)
    judged = judge_run(run, part.value, trust, settings_of(detector))
    writers: dict[str, files.Writer] = {TABLE: lambda path: write_table(judged.table(), path, judged.time_kind)}
    modalities = judged.modalities()
    if modalities is not None:
        writers[MODALITIES] = modalities.write_parquet
    report = judged.detection()
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    writers[DETECTION] = lambda path: path.write_text(text, "utf-8")
    html = _page(judged, report)
    writers[PAGE] = lambda path: path.write_text(html, "utf-8")
    files.seal(output, writers, KIND, VERSION)
    typer.echo(_told(judged, report))
    say(f"wrote {output}: {', '.join(writers)}")


def sift_command(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="File to write, like the log.")],
    part: PartOption = PartName.all,
    detector: DetectorOption = DetectorName.likelihood,
    drop: Annotated[bool, typer.Option("--drop", help="Leave flagged rows out instead of writing weights.")] = False,
    trust: Trust = None,
) -> None:
    """Write the run's log again, in its own layout, with a weight per interaction: 1 minus its noise probability."""
    from siftrec.data.writers.marks import Marks
    from siftrec.data.writers.rewrite import check_target, check_unweighted, rewrite
    from siftrec.errors import UsageError

    experiment = experiment_of(run, trust)
    if experiment.data.inject is not None:
        raise UsageError(f"{run} planted noise into its log; the file {experiment.data.path} does not hold it")
    check_target(experiment.data.path, output, drop)
    if not drop:
        check_unweighted(experiment.data.path)
    judged = judge_run(run, part.value, trust, settings_of(detector), unweighted=not drop)
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
    if experiment.data.core > 1 or part is not PartName.all:
        say("rows that were not judged (left out by data.core, of another part or no click) stay, as fully trusted")


def _page(judged: Judged, report: dict[str, Any]) -> str:
    from siftrec import __version__
    from siftrec.cli.noise_view import modal_view, view
    from siftrec.report import noise_page
    from siftrec.report.data import Origin

    split = judged.prepared.split
    origin = Origin(shlex.join(["siftrec", *sys.argv[1:]]), __version__, judged.experiment.seed)
    names = (split.users, judged.prepared.catalog.vocab, judged.titles)
    modal = judged.modal
    weighed = None if modal is None else modal_view(judged.log, modal, names, judged.prepared, report, judged.foreign)
    return noise_page(view(judged.run.name, judged.log, judged.scores, names, origin, report, judged.truth, weighed))


def _told(judged: Judged, report: dict[str, Any]) -> str:
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
    if report["mechanism"] is not None:
        rows += [(f"planted ({report['mechanism']})", report["rho"])]
        rows += [(name, report[name]) for name in ("auroc", "auroc_popularity", "auprc", "brier") if report[name]]
    if judged.modal is not None:
        found = judged.modal.noise
        bounds = zip(found.names, found.rho_upper, found.rho_interval, strict=True)
        rows += [(f"foreign {name}, at most", f"{upper:.3f} [{a:.3f}, {b:.3f}]") for name, upper, (a, b) in bounds]
        planted = report.get("modalities", {})
        rows += [(f"foreign {name}: auroc", each["auroc"]) for name, each in planted.items() if each["auroc"]]
    return table(("noise", scores.mechanism), rows)
