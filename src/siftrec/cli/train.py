"""`siftrec train`: an experiment file becomes a run folder."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from siftrec.cli.console import Reporter, metrics_table, note_leak, say
from siftrec.cli.runs import look_here

_STILL_RISING = 0.02
"""Of the figure on validation, as a share, over the last epoch."""

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
    from siftrec.files import read_json, stands
    from siftrec.run import ARTIFACT, METRICS, run
    from siftrec.train.checkpoint import listed
    from siftrec.train.folder import CHECKPOINTS, LOG

    look_here()
    loaded = config.load(experiment, overrides or [], on_note=lambda text: say(f"note: {text}"))
    note_leak(loaded.split)
    try:
        with Reporter() as reporter:
            run(loaded, output, resume, reporter, shlex.join(["siftrec", *sys.argv[1:]]))
    except KeyboardInterrupt:
        if listed(output / CHECKPOINTS):
            say("stopped by Ctrl-C; run again with --resume to go on from the last step")
        elif stands(output / ARTIFACT):
            say("stopped by Ctrl-C; the model is whole; run again with --resume for its figures on validation")
        raise
    metrics = read_json(output / METRICS)["metrics"]
    if metrics:
        typer.echo(metrics_table("validation", metrics))
    if short := training_was_short(output / LOG):
        now = f"now {loaded.train.batch_size} and {loaded.train.epochs}"
        say(f"note: {short}; more may help: a smaller --set train.batch_size=…, a larger --set train.epochs=… ({now})")
    say(f"run folder: {output}")


def training_was_short(log: Path) -> str:
    """That the last epoch was the best on validation and still rising, in words; "" if training may be enough.

    Where the rate falls the last epoch is often the best, so that alone says nothing. Training itself warns of few steps.

    Args:
        log: `log.jsonl` of a run that has ended, in one go or in several.
    """
    from siftrec.train.loop import FEW_STEPS

    lines = _whole_lines(log)
    last = {line["event"]: line for line in lines}
    values = {line["epoch"]: line["value"] for line in lines if line["event"] == "epoch_ended"}
    if not {"started", "stopped"} <= last.keys() or not (epochs := last["stopped"]["epochs"]):
        return ""
    value, before = values.get(epochs - 1), values.get(epochs - 2)
    if value is None or before is None or last["stopped"]["best_epoch"] != epochs - 1:
        return ""
    if epochs * last["started"]["steps"] < FEW_STEPS or value <= before * (1 + _STILL_RISING):
        return ""
    return f"the last epoch has the best {last['stopped']['metric']}, still up from {before:.4f} to {value:.4f}"


def _whole_lines(log: Path) -> list[dict[str, Any]]:
    """Those that parse: an early one may be damaged, and a run goes on from its checkpoint all the same."""
    lines = []
    for line in log.read_bytes().splitlines():
        with suppress(ValueError):  # neither JSON nor UTF-8
            lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict) and "event" in line]


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
