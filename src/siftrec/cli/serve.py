"""`siftrec serve`: the service. `siftrec feedback`: what it was told, as a log to train on."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from siftrec.cli.console import say
from siftrec.cli.runs import Trust, trusted
from siftrec.errors import DataError, UsageError, missing_extra

STORE, CLUSTERS = "service.sqlite", ".index"
_LEAST = 16

StorePath = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FILE",
        help=f"What clients add. Without: RUN/{STORE}; beside an artifact by itself NAME.{STORE}.",
    ),
]


class IndexName(StrEnum):
    """How the best items are found."""

    exact = "exact"
    approximate = "approximate"


def serve_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder or artifact.")],
    host: Annotated[
        str, typer.Option(help="Address to bind; another than this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    store: StorePath = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the token; without: the variable SIFTREC_TOKEN, or none.")
    ] = None,
    index: Annotated[
        IndexName, typer.Option(help="approximate: only promising clusters of items are looked at; extra `ann`.")
    ] = IndexName.exact,
    trust: Trust = None,
) -> None:
    """Serve recommendations over HTTP, with a page at /; a new artifact in RUN is taken up as it is written."""
    try:
        from siftrec.serve.app import create_app
        from siftrec.serve.limits import loopback
        from siftrec.serve.server import run as answer
    except ModuleNotFoundError as error:
        raise missing_extra("serve", str(error.name)) from None
    from siftrec.artifact import load, place
    from siftrec.files import MANIFEST
    from siftrec.index import faiss
    from siftrec.serve.model import Serving
    from siftrec.serve.settings import DEFAULT
    from siftrec.serve.store import Store

    token = _token(token_file)
    if token is None and not loopback(host):
        raise UsageError(
            f"--host {host} lets others in; give a token: --token-file FILE, or the variable SIFTREC_TOKEN"
        )
    import torch

    torch.set_num_threads(1)
    if index == IndexName.approximate:
        faiss().omp_set_num_threads(1)
    artifact, packages = place(run), trusted(trust)
    if not (artifact / MANIFEST).exists():
        load(run, packages)  # says what is missing, before a store is made
    kept = Store(store or store_of(run))
    clusters = kept.path.with_name(kept.path.name + CLUSTERS) if index == IndexName.approximate else None
    serving = Serving(run, kept, DEFAULT.items, clusters, packages)

    def ready(url: str) -> None:
        served = serving.current
        facts = f"model {served.version}, {len(served.trained.items) - 1:,} items, store {kept.path}"
        say(f"serving {run} ({facts}) at {url}")
        if store is None and (old := _shared(kept.path)):
            say(f"note: {old} is not read, for each artifact has a store of its own; --store {old} would read it")

    answer(create_app(serving, kept, DEFAULT, token), host, port, DEFAULT, ready)


def store_of(folder: Path) -> Path:
    """Where what clients add to a service is kept.

    Artifacts by themselves may lie side by side, so each has a store of its own.

    Args:
        folder: run folder, also one whose artifact is away, or artifact.
    """
    from siftrec.artifact import KIND, place
    from siftrec.files import MANIFEST, standing

    artifact = place(folder)
    if artifact.name in ("", ".."):
        artifact = artifact.resolve()
    if not (standing(artifact) / MANIFEST).exists():
        return folder / STORE
    return artifact.parent / (STORE if artifact.name == KIND else f"{artifact.name}.{STORE}")


def _shared(path: Path) -> Path | None:
    """The store that all artifacts in a folder once shared, if it is there and not the one that is used."""
    old = path.with_name(STORE)
    return old if old != path and old.is_file() else None


def _token(file: Path | None) -> str | None:
    if file is None:
        token, where = os.environ.get("SIFTREC_TOKEN"), "SIFTREC_TOKEN"
    else:
        try:
            token, where = file.read_text("ascii").strip(), str(file)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--token-file {file}: {getattr(error, 'strerror', None) or 'is not plain text'}"
            ) from None
    if token is not None and (len(token) < _LEAST or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError(f"{where}: a token has at least {_LEAST} printable characters and no space")
    return token


def feedback_command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The service's store, or what it serves.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Parquet to write.")],
    take_out: Annotated[
        bool, typer.Option("--take-out", help="Remove from the store what is in FILE, a new one, to make room.")
    ] = False,
) -> None:
    """Write what `siftrec serve` was told as a log that `siftrec train` reads; the service may go on meanwhile."""
    try:
        from siftrec.serve.store import Store
    except ModuleNotFoundError as error:
        raise missing_extra("serve", str(error.name)) from None
    from siftrec.files import write_file

    path = store_of(store) if store.is_dir() else store
    if not path.is_file():
        told = f"; {old} is there, and may be named instead" if (old := _shared(path)) else ""
        raise DataError(f"no such store; `siftrec serve` makes one{told}", str(path))
    if output.suffix != ".parquet":
        raise UsageError(f"-o {output}: must end in .parquet")
    if take_out and output.exists():
        raise UsageError(f"-o {output}: is there already, and may be all there is of what it holds; name another file")
    kept = Store(path, write=take_out)
    log, last = kept.feedback()
    write_file(output, log.write_parquet)
    if take_out:
        kept.take_out(last)
    say(f"{output}: {log.height:,} events of {log['user'].n_unique():,} users on {log['item'].n_unique():,} items")
