"""`siftrec train`: an experiment file becomes a run folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from siftrec.cli.console import Reporter, metrics_table, note_leak, say
from siftrec.cli.runs import look_here

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. method.dim=32; repeatable.")
]


def train_command(
    experiment: Annotated[Path, typer.Argument(metavar="EXP.toml", help="Experiment; `siftrec init` writes one.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="RUN", help="Run folder to write.")],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN, or start it.")] = False,
) -> None:
    """Train the method of an experiment; prints what it will cost first, and validation metrics last."""
    return_large_blocks()
    from siftrec import config
    from siftrec.files import read_json
    from siftrec.run import METRICS, run

    look_here()
    loaded = config.load(experiment, overrides or [], on_note=lambda text: say(f"note: {text}"))
    note_leak(loaded.split)
    with Reporter() as reporter:
        run(loaded, output, resume, reporter, shlex.join(["siftrec", *sys.argv[1:]]))
    metrics = read_json(output / METRICS)["metrics"]
    if metrics:
        typer.echo(metrics_table("validation", metrics))
    say(f"run folder: {output}")


def return_large_blocks() -> None:
    """Have the C library (glibc) hand every freed tensor of 4 MB or more back to the system, not keep its place.

    The peak is about a tenth lower, for about a twentieth of processor time. It holds for the whole process, so only the
    command does it.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        mallopt(trim_threshold, 64 << 20)
        mallopt(mmap_threshold, 4 << 20)
