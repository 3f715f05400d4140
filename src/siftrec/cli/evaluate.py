"""`siftrec evaluate` and `siftrec compare`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siftrec.cli.console import check_writable, note_leak, say, table, write_result
from siftrec.cli.runs import Trust, experiment_of, folder, load_run

if TYPE_CHECKING:
    from siftrec.evaluate.evaluation import Evaluation
    from siftrec.evaluate.rank import Filter, Progress


class SplitName(StrEnum):
    """Parts that can be evaluated."""

    test = "test"
    valid = "valid"


class FilterName(StrEnum):
    """What cannot be recommended: items the user has seen, or nothing."""

    seen = "seen"
    none = "none"


class Format(StrEnum):
    """How a comparison is printed."""

    text = "text"
    json = "json"
    latex = "latex"


def evaluate_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)],
    split: Annotated[SplitName, typer.Option(help="Which questions to ask.")] = SplitName.test,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="F", help="Also write JSON to F; `-` prints JSON alone.")
    ] = None,
    cutoffs: Annotated[
        str | None,
        typer.Option(
            metavar="K,K",
            help="The k of every metric, instead of the experiment's, also in what is kept; name those you still want.",
            show_default=False,
        ),
    ] = None,
    trust: Trust = None,
) -> None:
    """Rank the whole catalog, filtered and unfiltered, or the impressions of every user; keep the values per user."""
    from siftrec.evaluate.kept import kept_at

    check_writable(json_file)
    wanted = [] if cutoffs is None else [f"evaluate.cutoffs={_numbers(cutoffs)}"]
    evaluations = {}
    for run in runs:
        evaluations[str(run)] = evaluation = _evaluated(folder(run), split.value, wanted, trust)
        evaluation.write(kept_at(folder(run), split.value))
        if json_file != "-":
            print(_report(str(run), evaluation), end="\n\n")
    if json_file is not None:
        write_result({"schema": 1, "runs": [value.to_json(run) for run, value in evaluations.items()]}, json_file)


def compare_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...", help="Evaluated runs; `RUN,RUN,RUN` = seeds of one model.", show_default=False
        ),
    ],
    metric: Annotated[list[str], typer.Option(help="Repeat for several.")] = ["ndcg@10"],  # noqa: B006
    filter: Annotated[
        FilterName | None, typer.Option(help="Which ranking; without: seen, or none where only that was evaluated.")
    ] = None,
    split: Annotated[SplitName, typer.Option(help="Which questions.")] = SplitName.test,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.text,
) -> None:
    """Test every pair of runs on every metric: paired t, bootstrap interval, equivalence; Holm over all lines."""
    from siftrec.evaluate.compare import compare_family
    from siftrec.evaluate.kept import kept
    from siftrec.evaluate.tables import as_json, as_latex, as_text

    _check_apart(runs)
    each = {run: kept(folder(Path(run)), split.value) for name in runs for run in name.split(",")}
    _check_cutoffs(each, metric, split)
    models = {name: [each[run] for run in name.split(",")] for name in runs}
    chosen: Filter = "none" if filter is FilterName.none else "seen"
    if filter is None:
        chosen = next(iter(next(iter(models.values()))[0].values))
    family = compare_family(models, metric, chosen)
    if format is Format.json:
        write_result(as_json(family), "-")
    else:
        print(as_latex(family) if format is Format.latex else as_text(family))


def _numbers(text: str) -> list[int]:
    from siftrec.errors import UsageError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--cutoffs {text!r} must be whole numbers with commas between them, e.g. 15,100") from None


def _check_apart(names: Iterable[str]) -> None:
    """Whether no two names are of the same runs, by whatever way these are named."""
    from siftrec.errors import UsageError

    known: dict[tuple[Path, ...], str] = {}
    for name in names:
        places = tuple(sorted(folder(Path(run)).resolve() for run in name.split(",")))
        if places in known:
            what = "one run" if len(places) == 1 else "the same runs"
            raise UsageError(f"{known[places]} and {name} are {what}; a comparison needs two models")
        known[places] = name


def _check_cutoffs(runs: Mapping[str, Evaluation], metrics: Iterable[str], split: SplitName) -> None:
    """Whether what every run kept has the cut-offs asked for; says how to get them if not."""
    from siftrec.errors import UsageError

    missing = {run: {kept.missing_cutoff(metric) for metric in metrics} - {None} for run, kept in runs.items()}
    lacking = [run for run, cutoffs in missing.items() if cutoffs]
    if lacking:
        new = sorted({k for cutoffs in missing.values() for k in cutoffs if k is not None})
        every = sorted({*new, *(k for run in lacking for k in runs[run].cutoffs)})
        raise UsageError(
            f"{' and '.join(lacking)}: not evaluated at {', '.join(f'@{k}' for k in new)}; run `siftrec evaluate "
            f"{shlex.join(lacking)} --split {split.value} --cutoffs {','.join(map(str, every))}`"
        )


def _evaluated(run: Path, split: str, overrides: Iterable[str], trust: Trust) -> Evaluation:
    from siftrec.data.split import Part
    from siftrec.data.weighed import knows_answers
    from siftrec.errors import DataError
    from siftrec.evaluate.asked import check_asks
    from siftrec.evaluate.evaluation import evaluate

    trained = load_run(run, trust)
    experiment = experiment_of(run, trust, overrides)
    note_leak(experiment.split)
    parts, _ = experiment.load_data()
    if parts.train.fingerprint != trained.facts.train:
        raise DataError(f"the data have changed since {run} was trained; train again", experiment.data.path)
    part = parts.test if split == "test" else parts.valid
    check_asks(part, split)
    if isinstance(part, Part) and part.unasked:
        say(f"note: {split} {part.asks}")
    if known := knows_answers(parts):
        say(f"warning: {known}")
    with _progress(f"evaluate {run}", len(part)) as progress:
        return evaluate(trained, part, experiment.evaluate.cutoffs, progress=progress)


@contextmanager
def _progress(title: str, total: int) -> Iterator[Progress]:
    """A bar on a terminal, one plain line elsewhere; both on stderr."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        say(f"{title}: {total:,} questions")
        yield lambda done, of: None
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)
        update: Callable[[int, int], None] = lambda done, of: bar.update(task, completed=done)  # noqa: E731
        yield update


def _report(run: str, evaluation: Evaluation) -> str:
    from siftrec.evaluate.rank import FILTERS

    about = evaluation.about
    lines = [
        f"{run}  {about.method}, seed {about.seed}, {about.split}, {about.protocol}",
        f"{len(evaluation.users):,} users, {about.items:,} items, {about.tied:.1%} of targets tied",
    ]
    if "gauc" in evaluation.metrics:
        return "\n".join([*lines, "", table((about.protocol, "mean"), evaluation.means("none").items())])
    if about.repeated:
        lines.append(
            f"{about.repeated:.1%} of targets stand in their user's history: filtered ranking lets these be recommended, "
            "`siftrec recommend` only with --seen"
        )
    for filter, spelling in FILTERS.items():
        means = evaluation.means(filter)
        kinds = list(dict.fromkeys(name.partition("@")[0] for name in means))
        cutoffs = list(dict.fromkeys(name.partition("@")[2] for name in means))
        rows = [[kind, *(_figure(kind, means[f"{kind}@{k}"]) for k in cutoffs)] for kind in kinds]
        lines += ["", table([spelling, *(f"@{k}" for k in cutoffs)], rows)]
    usual = [name for name in evaluation.metrics if name in {"ndcg@10", "recall@10", "recall@20"}]
    shown = usual or list(evaluation.metrics[:3])
    slices = [
        [name, f"{block['users']:,}", *(block["filtered"].get(metric, "-") for metric in shown)]
        for name, block in about.slices.items()
    ]
    return "\n".join([*lines, "", table(["slice, filtered", "users", *shown], slices)])


def _figure(kind: str, value: float) -> float | str:
    return f"{value:,.1f}" if kind == "arp" else value
