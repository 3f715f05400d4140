"""`siftrec recommend`: what next, for one history or for a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siftrec.cli.console import say, table, write_result

if TYPE_CHECKING:
    import polars as pl

    from siftrec.methods.trained import Recommendations, Trained


def recommend_command(
    run: Annotated[Path, typer.Argument(help="Run folder or artifact.")],
    history: Annotated[str | None, typer.Option(help="Item ids, oldest first, separated by commas.")] = None,
    file: Annotated[Path | None, typer.Option(help="Parquet with columns `user` and `history` (a list).")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Parquet to write, with --file.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.", min=1)] = 10,
    json: Annotated[str | None, typer.Option(help="Write JSON to this file; - for stdout.")] = None,
) -> None:
    """Recommend items for a history, whether or not its user was there in training."""
    from siftrec.artifact import load
    from siftrec.errors import UsageError

    if (history is None) == (file is None):
        raise UsageError("give either --history a,b,c or --file histories.parquet")
    if (file is None) != (output is None):
        raise UsageError("--file histories.parquet and -o out.parquet go together")
    if file is not None and json is not None:
        raise UsageError("--json goes with --history; --file writes Parquet")
    trained = load(run)
    if file is not None and output is not None:
        _batch(trained, file, output, k)
        return
    answer = trained.recommend([part.strip() for part in (history or "").split(",") if part.strip()], k=k)
    if json is not None:
        write_result(_json(answer), json)
        return
    if answer.unknown:
        say(f"unknown and skipped: {', '.join(str(item) for item in answer.unknown)}")
    if answer.fallback:
        say("nothing of the history is known: these are the most popular items")
    titles = _titles(run)
    rows = [(rank, str(item), score, titles.get(str(item), "")) for rank, (item, score) in enumerate(answer, start=1)]
    typer.echo(table(("rank", "item", "score", "title") if titles else ("rank", "item", "score"), rows))
