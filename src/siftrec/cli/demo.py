"""`siftrec demo`: run it and print what it found."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from siftrec.cli.console import Reporter, say, table

if TYPE_CHECKING:
    from siftrec.audit import Audit
    from siftrec.demo import Demo, Interval, Person


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
        *(_person(person) for person in found.people),
        f"Audit of the noisy log, which knows nothing of what was planted\n{_filled(found.audit.verdict.sentences)}",
        f"Run folder: {found.folder}\n"
        f"Ask it:     siftrec recommend {found.folder} --history 260,1196 -k 5\n"
        f"The audit:  {found.folder / 'audit' / 'audit.html'}",
    ]
    return "\n\n".join(blocks)


def _page(audited: Audit) -> str:
    from siftrec.cli.audit_view import view
    from siftrec.data.titles import titles
    from siftrec.report import audit_page

    source = audited.source
    named = {str(item): title for item, title in titles(source.path.parent / "titles.parquet").iter_rows()}
    return audit_page(view(replace(audited, source=replace(source, titles=named)), "siftrec demo"))


def _filled(sentences: str) -> str:
    return textwrap.fill(sentences, 120, break_on_hyphens=False)


def _interval(value: Interval) -> str:
    return f"{value.mean:.4f} [{value.low:.4f}, {value.high:.4f}]"


def _person(person: Person) -> str:
    history = [
        f"  {'?' if event.doubted else ' '} {event.title}{'  (planted)' if event.planted else ''}"
        for event in person.history
    ]
    head = f"User {person.user}: the last {len(history)} films, oldest first; ? = least important"
    return "\n".join([head, *history, f"  → {'; '.join(person.recommended)}"])
