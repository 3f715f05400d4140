"""The application: routes, the page's files, one shape of errors, and what goes on beside requests."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.routing import Route

from siftrec import __version__
from siftrec.errors import DataError, SiftrecError, UsageError
from siftrec.serve.limits import Guard
from siftrec.serve.metrics import Meters
from siftrec.serve.model import Serving
from siftrec.serve.routes import Service, counting, health, reading, writing
from siftrec.serve.settings import DEFAULT, Limits
from siftrec.serve.store import Conflict, Full, Missing, Store, Unusable

_SHOWN = 64  # characters of a name that a client chose
_MENDED = {"retry-after": "10"}  # s in which a store that cannot be used may be looked after
_STATIC = Path(__file__).parent / "static"
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def create_app(serving: Serving, store: Store, limits: Limits = DEFAULT, token: str | None = None) -> Guard:
    """The service as an ASGI application.

    Args:
        serving: the model.
        store: what clients add.
        limits: what is bounded.
        token: that every path with data needs; None: none does, and only requests for this machine are answered.
    """
    meters = Meters()
    meters.watch(serving, store, limits)
    roles = {"read": limits.threads, "write": 1, "watch": 1}
    readers, writer, watcher = (ThreadPoolExecutor(count, role) for role, count in roles.items())
    service, log = Service(serving, store, meters, limits, readers, writer), _Log()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(_watch(service.serving, watcher, limits.poll_seconds, log))
        yield
        watching.cancel()
        for pool in (watcher, readers, writer):
            pool.shutdown()
        store.close()

    app = FastAPI(
        title="siftrec",
        version=__version__,
        description="Recommendations for a history, with what counted and what is likely noise.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    bearer = [] if token is None else [Depends(HTTPBearer(auto_error=False))]  # described here, checked by the guard
    guarded, free = (reading(service), writing(service), counting(service)), health(service)
    for router in guarded:
        app.include_router(router, dependencies=bearer)
    app.include_router(free)
    for kind in (RequestValidationError, HTTPException, SiftrecError, Exception):
        app.add_exception_handler(kind, log.failed)
    pages = _add_page(app)
    routes = [route for each in (app, *guarded, free) for route in each.routes if isinstance(route, Route)]
    return Guard(app, limits, meters, token, pages, routes)


def _add_page(app: FastAPI) -> list[str]:
    """Serve the files of the page, read once, by their exact paths; gives the paths."""
    files = {f"/static/{file.name}": file for file in sorted(_STATIC.glob("*")) if file.suffix in _KINDS}
    if "/static/index.html" in files:
        files["/"] = files.pop("/static/index.html")
    for path, file in files.items():
        page = _Page(file.read_bytes(), f"{_KINDS[file.suffix]}; charset=utf-8")
        app.router.add_route(path, page.answer, methods=["GET"], include_in_schema=False)
    return list(files)


@dataclass(frozen=True)
class _Page:
    body: bytes
    kind: str

    async def answer(self, _: Request) -> Response:
        return Response(self.body, headers={"content-type": self.kind})


async def _watch(serving: Serving, watcher: ThreadPoolExecutor, seconds: float, log: _Log) -> None:
    """Look at artifact and store now and then, and at once on SIGHUP."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    with contextlib.suppress(RuntimeError, ValueError):  # signals belong to the main thread
        loop.add_signal_handler(signal.SIGHUP, woken.set)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), seconds)
        look = serving.reload if woken.is_set() else serving.poll
        woken.clear()
        try:
            await loop.run_in_executor(watcher, look)
        except Exception as error:  # the next look may find it mended
            log.lasting(error)
        else:
            log.mended()


class _Log:
    """Tells of errors: in the log what is the service's own, to the client in one shape."""

    def __init__(self) -> None:
        self._said = ""

    def lasting(self, error: Exception) -> None:
        """Say what is wrong, once as long as it is."""
        now = f"error: {error}"
        if now != self._said:
            print(now, file=sys.stderr, flush=True)
        self._said = now

    def mended(self) -> None:
        """Nothing is wrong any more."""
        self._said = ""

    async def failed(self, _: Request, error: Exception) -> Response:
        """Every error in one shape; what a client sent is not sent back."""
        status, what, where, headers = 500, "internal error", None, None
        match error:
            case RequestValidationError():
                first = error.errors()[0]
                status = 400 if first["type"] == "json_invalid" else 422
                what = (
                    first.get("ctx", {}).get("error") if status == 400 else first["msg"].removeprefix("Value error, ")
                )
                where = ".".join(str(part)[:_SHOWN] for part in first["loc"])
            case HTTPException():
                status, what, headers = error.status_code, error.detail, error.headers
            case Conflict() | Full():
                status, what = 409 if isinstance(error, Conflict) else 507, str(error)
            case Missing():
                status, what = 404, str(error)
            case UsageError() | DataError():
                status, what = 422, str(error)
            case Unusable():
                self.lasting(error)
                status, what, headers = 503, "the store cannot be used now; try again", _MENDED
            case SiftrecError():
                print(f"error: {error}", file=sys.stderr, flush=True)
        content: dict[str, Any] = {"error": {"what": str(what), "where": where}}
        return Response(orjson.dumps(content), status, headers, "application/json")
