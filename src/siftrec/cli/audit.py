"""`siftrec audit`: how noisy a log is, how sure that is, and whether weighting it would help."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from siftrec.cli.console import check_writable, say, table, write_result
from siftrec.cli.data import Column
from siftrec.cli.detector import DetectorName, DetectorOption, settings_of
from siftrec.errors import UsageError
from siftrec.train.progress import duration

if TYPE_CHECKING:
    from siftrec.audit import Audit
    from siftrec.audit.events import Event
    from siftrec.data.layout import Vectors

_QUIET_SECONDS = 5.0

Content = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="NAME=PATH[,IDS]",
        help="Item vectors, and the list of item ids of their rows; repeatable. Without: those beside the log.",
    ),
]


def audit_command(  # noqa: PLR0913
    source: Annotated[Path, typer.Argument(metavar="LOG", help="A log, or a folder in a known layout.")],
    features: Content = None,
    user: Column = None,
    item: Column = None,
    time: Column = None,
    label: Column = None,
    weight: Column = None,
    rating: Column = None,
    split: Column = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder to write; new or empty.")
    ] = None,
    detector: DetectorOption = DetectorName.likelihood,
    quick: Annotated[bool, typer.Option("--quick", help="A quick scorer and counted models only.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 7,
    json: Annotated[str | None, typer.Option(help="Write the result as JSON; - is stdout.")] = None,
) -> None:
    """Say how noisy a log is, what could be found in it, and whether to weight it or leave it alone."""
    named = _named(features or [])
    check_writable(json)
    from siftrec.audit import Columns, Named, audit
    from siftrec.audit.plan import FULL, QUICK
    from siftrec.noise.sift import FINAL

    def page(result: Audit) -> str:
        return result.page(shlex.join(["siftrec", *sys.argv[1:]]))

    log = Named(source, Columns(user, item, time, label, weight, rating, split))
    plan, how = QUICK if quick else FULL, settings_of(detector)
    result = audit(log, named, output, plan=plan, seed=seed, on_event=_Shown(), detector=how, page=page)
    if json is not None:
        write_result(result.to_json(), json)
    if json != "-":
        print(_summary(result))
    if output is not None and result.cut is not None:
        say(f"note: the weights in {output} are {FINAL}: siftrec sift RUN --part train")


def _named(features: list[str]) -> dict[str, Vectors]:
    from siftrec.data.catalog import names_modality
    from siftrec.data.layout import Vectors

    named: dict[str, Vectors] = {}
    for given in features:
        name, equals, path = given.partition("=")
        if not equals or not names_modality(name) or not path.partition(",")[0]:
            raise UsageError(
                f"--features {given!r} is not NAME=PATH or NAME=PATH,IDS, e.g. text=feat_text.npy,items.tsv"
            )
        if name in named:
            raise UsageError(f"--features names {name!r} twice")
        vectors, comma, ids = (path, "", "") if Path(path).exists() else path.rpartition(",")
        if not comma:
            vectors, ids = path, ""
        named[name] = Vectors(name, Path(vectors), Path(ids) if ids else None, None)
    return named


class _Shown:
    """Shows an audit's events on stderr; parts of a step only where the last line is a while ago."""

    def __init__(self) -> None:
        self._last = monotonic()

    def __call__(self, event: Event) -> None:
        from siftrec.audit.events import Advanced, Began, Ended, Planned

        match event:
            case Planned():
                for name, count in event.notes.items():
                    say(f"note: {name}: {count:,}")
                say(f"about {duration(event.seconds)} on one core and {event.memory / 1e9:.1f} GB of memory")
            case Began():
                self._say(f"[{event.number}/{event.of}] {event.step}")
            case Advanced() if event.done < event.of and monotonic() - self._last > _QUIET_SECONDS:
                self._say(f"      {event.done} of {event.of}")
            case Ended():
                self._say(f"      {duration(event.seconds)}: {event.found}")

    def _say(self, text: str) -> None:
        self._last = monotonic()
        say(text)


def _summary(result: Audit) -> str:
    looks = [
        (f"worth a look: {look.kind}", f"{look.users:,} users, {look.interactions:,} interactions")
        for look in result.description.looks
        if look.users
    ]
    scores = result.scores
    low, high = scores.rho_interval
    found = [
        (
            f"planted {each.mechanism}",
            f"AUROC {each.detection['auroc']:.3f}, alone {_alone(each.detection)}; {_recalled(each.detection)}",
        )
        for each in result.findable
        if each.detection["auroc"] is not None
    ]
    rows = [
        ("interactions", f"{len(scores.noise):,}"),
        *looks,
        ("noise, at most", f"{scores.rho_upper:.1%} ({low:.1%} to {high:.1%})"),
        *([("  but in short histories", scores.caveat)] if scores.caveat else []),
        (f"flagged at q = {scores.q:g}", f"{int(scores.flagged.sum()):,}"),
        *found,
    ]
    return f"{table(('', ''), rows).lstrip()}\n\n{result.verdict.sentences}"


def _alone(detection: dict[str, float | None]) -> str:
    """`popularity .587, position .500, lifetime .504`: what each finds without the detector."""
    from siftrec.noise.measure import CONTROLS

    known = ((name.removeprefix("auroc_"), detection[name]) for name in CONTROLS)
    return ", ".join(f"{name} " + ("unknown" if area is None else f"{area:.3f}") for name, area in known)


def _recalled(detection: dict[str, dict[str, float | None]]) -> str:
    recall, wrong = detection["recall_at_fdr"]["0.2"], detection["fdr_reached"]["0.2"]
    if not recall or wrong is None:
        return "nothing found at q = .2"
    return f"{recall:.1%} found at q = .2, where {wrong:.0%} of what is flagged was not planted"
