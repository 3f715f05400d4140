"""`siftrec export`: a trained run as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from siftrec.cli.console import say
from siftrec.cli.runs import Trust, trusted, use_threads


def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder or artifact.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write.")],
    trust: Trust = None,
) -> None:
    """Write item vectors, the user tower as ONNX, and a model card."""
    from siftrec.export import export

    use_threads(run)
    done = export(run, output, trusted(trust))
    vectors = f", each with {done.dim} numbers" if done.dim else ""
    say(f"{done.folder}: {done.items:,} items{vectors}; model.md says what it is")
    if done.refused:
        say(f"no users.onnx: {done.refused}")
    else:
        say(f"users.onnx: differs from torch by at most {done.difference:.0e} on random histories")
