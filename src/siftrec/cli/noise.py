"""`siftrec noise` and `siftrec sift`: what is probably noise in a run's log, and the log with weights."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siftrec.cli.console import check_writable, counting, say, table
from siftrec.cli.detector import DetectorName, DetectorOption, settings_of
from siftrec.cli.runs import CONFIG, Trust, experiment_of, folder, load_run

if TYPE_CHECKING:
    from siftrec.config import Experiment, Prepared
    from siftrec.data.sequences import Sequences
    from siftrec.methods.trained import Trained
    from siftrec.report.noise import NoiseReport
    from siftrec.report.subject import Part

KIND, VERSION = "noise", 1
TABLE, MODALITIES, DETECTION, PAGE = "interactions.parquet", "modalities.parquet", "detection.json", "noise.html"
TRUST = 0.05
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


class PartName(StrEnum):
    """Which interactions are judged, and by which."""

    all = "all"
    train = "train"


PartOption = Annotated[PartName, typer.Option(help="`train`: training interactions, by training interactions only.")]


@dataclass(frozen=True)
class _Opened:
    """A run's model and data, and the part of its log that is judged."""

    trained: Trained
    experiment: Experiment
    prepared: Prepared
    log: Sequences


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
    from siftrec.report.noise import noise_report

    output = output.absolute()  # `.` has no name
    with files.clear_errors(output):
        files.check_replaceable(output, KIND)
    opened = _opened(run, part.value, trust)
    data, seed = opened.prepared, opened.experiment.seed
    judge = settings_of(detector)
    found = noise_report(opened.trained, data, part=part.value, detector=judge, seed=seed, counting=counting)
    report = replace(found, name=folder(run).name)
    writers: dict[str, files.Writer] = {TABLE: lambda path: write_table(report.to_frame(), path, data.time_kind)}
    modalities = report.modalities()
    if modalities is not None:
        writers[MODALITIES] = modalities.write_parquet
    text = json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"
    writers[DETECTION] = lambda path: path.write_text(text, "utf-8")
    html = report.page(shlex.join(["siftrec", *sys.argv[1:]]))
    writers[PAGE] = lambda path: path.write_text(html, "utf-8")
    files.seal(output, writers, KIND, VERSION)
    typer.echo(_told(report))
    say(f"wrote {output}: {', '.join(writers)}")


def sift_command(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="File to write, like the log.")],
    part: PartOption = PartName.all,
    detector: DetectorOption = DetectorName.likelihood,
    drop: Annotated[bool, typer.Option("--drop", help="Leave flagged rows out instead of writing weights.")] = False,
    trust: Trust = None,
) -> None:
    """Write the run's log again, in its own layout, with a weight per interaction: 1 minus its noise probability.

    A log with one list of items per user has no place for weights: it becomes a TSV of user, item and weight.
    """
    from siftrec.data.layout import sniff
    from siftrec.data.split import TEST
    from siftrec.data.writers.marks import Marks
    from siftrec.data.writers.rewrite import check_target, check_unweighted, refuse_log, rewrite
    from siftrec.errors import UsageError
    from siftrec.noise.sift import FINAL, FITTED, scores_for

    experiment = experiment_of(run, trust)
    if experiment.data.inject is not None:
        raise UsageError(f"{run} planted noise into its log; the file {experiment.data.path} does not hold it")
    original = experiment.data.original or experiment.data.path
    check_target(experiment.data.path, output, drop)
    refuse_log(sniff(original), output)
    check_writable(output)
    if not drop:
        check_unweighted(experiment.data.path)
    opened = _opened(run, part.value, trust, unweighted=not drop)
    with counting(FITTED) as tell:
        scores = scores_for(
            opened.log, opened.prepared.catalog, experiment.seed, on_fold=tell, detector=settings_of(detector)
        )
    rows = opened.log.rows
    marks = Marks.without(rows, scores.flagged) if drop else Marks.weights(rows, scores.weight)
    rewrite(experiment.data.path, output, marks)
    if drop and not scores.flagged.any():
        say(f"nothing can be flagged at q = {scores.q:g}; all rows are kept")
    if not drop and (scores.weight == 1).all():
        why = "no interaction looks like noise" if scores.rho_upper == 0 else "nothing tells noise from the rest"
        say(f"{why}: all weights are 1")
    told = f"{int(scores.flagged.sum()):,} rows left out" if drop else f"mean weight {scores.weight.mean():.3f}"
    say(f"wrote {output}: {len(rows):,} interactions judged, {told}")
    changed = scores.flagged.any() if drop else (scores.weight != 1).any()
    if changed and part is PartName.all and (opened.prepared.split.role == TEST).any():
        say(f"note: {FINAL}: --part train")
    if experiment.data.core > 1 or part is not PartName.all:
        say("rows that were not judged (left out by data.core, of another part or no click) stay, as fully trusted")
    if drop:
        sets = ["--set", f"data.path={output.absolute()}", "--set", f"data.original={original}"]
        kept = "" if part is PartName.train else " (if nothing is gone that the split holds out: --part train)"
        command = shlex.join(["siftrec", "train", str(folder(run) / CONFIG), *sets])
        say(f"to compare with the whole log{kept}: {command} -o …")


def _opened(run: Path, part: Part, trust: Trust, unweighted: bool = False) -> _Opened:
    """Read a run's model and data, and say how much is to be judged.

    Args:
        run: its folder.
        part: which interactions are judged.
        trust: packages whose code the run may name.
        unweighted: refuse a log that has weights already.

    Raises:
        DataError: the data have changed since the run was trained, or have weights.
    """
    from siftrec.data.writers.marks import WEIGHT, refuse_weighted
    from siftrec.errors import DataError
    from siftrec.report.subject import subject_of

    trained = load_run(run, trust)
    experiment = experiment_of(run, trust)
    prepared = experiment.prepare()
    split = prepared.split
    if split.train.fingerprint != trained.facts.train:
        raise DataError(f"the data have changed since {run} was trained; train again", experiment.data.path)
    if unweighted and split.log.weights is not None:
        refuse_weighted(experiment.data.path, experiment.data.weight or WEIGHT)
    log = split.log.where(subject_of(trained, prepared).chosen(part))
    say(f"judging {len(log.items):,} interactions of {int((log.lengths > 0).sum()):,} users")
    return _Opened(trained, experiment, prepared, log)


def _told(found: NoiseReport) -> str:
    from siftrec.noise.measure import CONTROLS

    scores, report = found.scores, found.to_json()
    low, high = scores.rho_interval
    flagged, trusted = int(scores.flagged.sum()), int(scores.trusted(TRUST).sum())
    rows: list[tuple[str, Any]] = [
        ("interactions judged", f"{len(scores.noise):,}"),
        ("without evidence", f"{int((scores.evidence == 0).sum()):,}"),
        ("share of noise, at most", f"{scores.rho_upper:.3f} [{low:.3f}, {high:.3f}]"),
        *([("  but in short histories", scores.caveat)] if scores.caveat else []),
        (f"trusted, at most {TRUST:.0%} noise", f"{trusted:,}" if trusted else "none"),
        (f"flagged at q = {scores.q:g}", f"{flagged:,}" if flagged else "none: nothing can be flagged at this level"),
    ]
    if report["mechanism"] is not None:
        rows += [(f"planted ({report['mechanism']})", report["rho"])]
        rows += [(name, report[name]) for name in ("auroc", *CONTROLS, "auprc", "brier") if report[name]]
    if found.modal is not None:
        content = found.modal.noise
        bounds = zip(content.names, content.rho_upper, content.rho_interval, strict=True)
        rows += [(f"foreign {name}, at most", f"{upper:.3f} [{a:.3f}, {b:.3f}]") for name, upper, (a, b) in bounds]
        planted = report.get("modalities", {})
        rows += [(f"foreign {name}: auroc", each["auroc"]) for name, each in planted.items() if each["auroc"]]
    return table(("noise", scores.mechanism), rows)
