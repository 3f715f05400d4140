"""`siftrec similar`: which items are like one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from siftrec.cli.console import say, table, write_result
from siftrec.cli.runs import Trust, load_run


def similar_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder or artifact.")],
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    k: Annotated[int, typer.Option("-k", help="How many items.", min=1)] = 10,
    json: Annotated[str | None, typer.Option(help="Write JSON to this file; - for stdout.")] = None,
    trust: Trust = None,
) -> None:
    """Items whose vectors point where this one's does: by content and by who had them."""
    trained = load_run(run, trust)
    found = trained.similar(item, k)
    if json is not None:
        items = [{"rank": rank, "item": str(raw), "score": score} for rank, (raw, score) in enumerate(found, start=1)]
        write_result({"items": items}, json)
        return
    if not found:
        say(f"{item} has no content and was never trained on, so nothing is like it")
        return
    titles = trained.titles
    rows = [(rank, str(raw), score, titles.get(raw, "")) for rank, (raw, score) in enumerate(found, start=1)]
    typer.echo(table(("rank", "item", "cosine", "title" if titles else ""), rows))
