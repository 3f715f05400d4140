"""`siftrec demo`: run it and print what it found."""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siftrec.cli.console import Reporter, say, table

if TYPE_CHECKING:
    from siftrec.audit import Audit
    from siftrec.demo import Demo, Event, Interval, Person


def demo_command(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="RUN", help="Run folder to write.")] = Path(
        "demo-run"
    ),
) -> None:
    """The main job on real data, offline, in a minute and a half: train, evaluate, find planted noise, recommend, audit."""
    from siftrec.demo import demo

    with Reporter() as reporter:
        found = demo(output, say, reporter, page=_page)
    typer.echo(text(found))


def text(found: Demo) -> str:
    """The report."""
    metrics = list(next(iter(found.accuracy.values())))
    rows = [(name, *(_interval(values[metric]) for metric in metrics)) for name, values in found.accuracy.items()]
    blocks = [
        "Data\n" + table(("", ""), found.summary.items()).lstrip(),
        "Accuracy on test users: mean [95 % interval over users]\n"
        + table(("method", *(f"{metric} {filter}" for metric, filter in metrics)), rows),
        "Finding the planted interactions: AUROC, .5 = chance\n"
        + table(
            ("", ""),
            [
                ("CCL4Rec's importance", found.auroc),
                ("the audit's noise probability", found.auroc_audit),
                ("control: popularity alone", found.auroc_popularity),
            ],
        ).lstrip(),
        "What of a film counted, mean weight over all interactions\n" + table(("", ""), found.weights.items()).lstrip(),
        *(_person(person) for person in found.people),
        f"Audit of the noisy log, which knows nothing of what was planted\n{_filled(found.audit.verdict.sentences)}",
        f"Run folder: {found.folder}\n"
        f"Ask it:     siftrec recommend {shlex.quote(str(found.folder))} --history 260,1196 -k 5\n"
        f"The audit:  {found.folder / 'audit' / 'audit.html'}\n"
        f"Serve it:   siftrec serve {shlex.quote(str(found.folder))}",
    ]
    return "\n\n".join(blocks)


def _page(audited: Audit) -> str:
    from siftrec.data.titles import titles

    source = audited.source
    named = {str(item): title for item, title in titles(source.path.parent / "titles.parquet").iter_rows()}
    return replace(audited, source=replace(source, titles=named)).page("siftrec demo")


def _filled(sentences: str) -> str:
    return textwrap.fill(sentences, 120, break_on_hyphens=False)


def _interval(value: Interval) -> str:
    return f"{value.mean:.4f} [{value.low:.4f}, {value.high:.4f}]"


def _person(person: Person) -> str:
    names = list(person.preference)
    marked = [
        ("?" if event.doubted else "", *(_counted(event.weights.get(name)) for name in names), _titled(event))
        for event in person.history
    ]
    head = f"User {person.user}: the last {len(marked)} films, oldest first; ? = least important; what of each counted"
    together = ", ".join(f"{name} {_counted(share).strip()}" for name, share in person.preference.items())
    lines = table(("", *names, ""), marked).splitlines()
    recommended = f"  → {'; '.join(person.recommended)}"
    return "\n".join([head, *(f"  {line}" for line in lines), f"  All interactions together: {together}", recommended])


def _counted(weight: float | None) -> str:
    return "-" if weight is None else f"{weight:4.0%}"


def _titled(event: Event) -> str:
    return f"{event.title}{'  (planted)' if event.planted else ''}"
