"""`siftrec`: the commands, and the one place where errors become exit codes. Nothing heavy is imported here."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from siftrec.cli.audit import audit_command
from siftrec.cli.console import complain, show_warning
from siftrec.cli.data import data_command, init_command
from siftrec.cli.demo import demo_command
from siftrec.cli.doctor import doctor_command
from siftrec.cli.evaluate import compare_command, evaluate_command
from siftrec.cli.export import export_command
from siftrec.cli.noise import noise_command, sift_command
from siftrec.cli.recommend import recommend_command
from siftrec.cli.serve import feedback_command, serve_command
from siftrec.cli.similar import similar_command
from siftrec.cli.train import train_command
from siftrec.errors import EnvironmentProblem, SiftrecError, no_memory

INTERRUPTED = 130
_LESS = (
    "a log with fewer interactions, users and items needs less of it; in an experiment, data.core leaves rare ones out"
)

app = typer.Typer(
    name="siftrec",
    help="Recommenders that find, show and set aside the noise in behaviour logs.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
) -> None:
    del traceback  # read from the arguments by `run`, which also sees errors made before this line
    if version:
        from siftrec import __version__

        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("demo")(demo_command)
app.command("init")(init_command)
app.command("data")(data_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("compare")(compare_command)
app.command("noise")(noise_command)
app.command("sift")(sift_command)
app.command("recommend")(recommend_command)
app.command("similar")(similar_command)
app.command("export")(export_command)
app.command("audit")(audit_command)
app.command("serve")(serve_command)
app.command("feedback")(feedback_command)
app.command("doctor")(doctor_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code (the table is in `siftrec.errors`)."""
    try:
        code = app(list(arguments), prog_name="siftrec", standalone_mode=False)
        print(end="", flush=True)  # a full disk is told here, not as Python ends
        return _interrupted() if code == INTERRUPTED else code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        _let_go()  # whoever read our output has gone
        return 1
    except Exception as error:
        if "--traceback" in arguments:
            traceback.print_exc()
        return _explain(error)


def _let_go() -> None:
    """Give Python a place to flush what is left of our output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupted() -> int:
    # Newer versions of typer turn Ctrl-C into this code, older ones into Abort.
    complain("interrupted")
    return INTERRUPTED


def _explain(error: Exception) -> int:
    if isinstance(error, SiftrecError):
        complain(str(error))
        return error.exit_code
    # typer's usage errors; their base class has moved between versions, so they are known by what they can do.
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        problem = error.format_message().rstrip(".").replace("Value error, ", "")  # newer versions of typer add it
        complain(f"{problem}; see: {context.command_path if context else 'siftrec'} --help")
        return 2
    if isinstance(error, OSError) and error.filename is not None:
        complain(f"{error.filename}: {error.strerror}")
        return EnvironmentProblem.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _let_go()
        complain(f"standard output: {error.strerror}")
        return EnvironmentProblem.exit_code
    if no_memory(error):
        complain(f"memory is short; {next(iter(getattr(error, '__notes__', ())), _LESS)}")
        return EnvironmentProblem.exit_code
    complain(f"internal error: {type(error).__name__}: {error}; `siftrec --traceback …` shows where")
    return 1


def main() -> None:
    """Entry point of the `siftrec` command."""
    warnings.showwarning = show_warning
    sys.exit(run(sys.argv[1:]))
