"""The process: one socket, one event loop, stopped by SIGTERM once all requests are answered."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import uvicorn

from siftrec.errors import EnvironmentProblem
from siftrec.serve.limits import Guard
from siftrec.serve.settings import Limits


def loopback(host: str) -> bool:
    """Whether an address leads to this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run(app: Guard, host: str, port: int, limits: Limits, ready: Callable[[str], None]) -> None:
    """Answer until SIGTERM or SIGINT.

    Args:
        app: of `create_app`.
        host: address to bind.
        port: likewise; 0: any free one.
        limits: what is bounded.
        ready: told the URL when connections are taken.

    Raises:
        EnvironmentProblem: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise EnvironmentProblem(f"{host}:{port}: cannot be served at: {error.strerror or error}") from None
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=limits.stop_seconds,
        limit_concurrency=limits.connections,
    )
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    ready(f"http://{shown}:{listening.getsockname()[1]}")
    asyncio.run(_serve(uvicorn.Server(config), listening, limits.head_seconds))


async def _serve(server: uvicorn.Server, listening: socket.socket, head_seconds: float) -> None:
    sweeping = asyncio.create_task(_sweep(server.server_state.connections, head_seconds))
    await server.serve(sockets=[listening])
    sweeping.cancel()


async def _sweep(connections: Iterable[Any], seconds: float) -> None:
    """Close connections that have been without a complete request head for so long; uvicorn has no such bound."""
    since: dict[Any, float] = {}
    while True:
        await asyncio.sleep(seconds / 4)
        now = time.monotonic()
        since = {each: since.get(each, now) for each in connections if _waits_for_head(each)}
        for each, begun in since.items():
            if now - begun > seconds:
                each.transport.close()


def _waits_for_head(connection: Any) -> bool:
    """Nothing was ever asked, or the next request has begun; between requests it may be idle for longer."""
    if connection.cycle is None:
        return True
    return bool(connection.cycle.response_complete and connection.conn.trailing_data[0])
