"""The process: one socket, one event loop, stopped by SIGTERM once all requests are answered."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import h11
import uvicorn

from siftrec.errors import EnvironmentProblem
from siftrec.serve.limits import Guard
from siftrec.serve.settings import Limits


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
    listening = listen(host, port)
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
    )
    shown = f"[{host}]" if listening.family == socket.AF_INET6 else host
    ready(f"http://{shown}:{listening.getsockname()[1]}")
    server = uvicorn.Server(config)
    app.connections = server.server_state.connections
    asyncio.run(_serve(server, listening, limits))


def listen(host: str, port: int) -> socket.socket:
    """A bound socket whose connections send what they have at once.

    Raises:
        EnvironmentProblem: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise EnvironmentProblem(f"{host}:{port}: cannot be served at: {error.strerror or error}") from None
    # asyncio leaves sockets without a named protocol to Nagle, and an answer then waits 40 ms for its header's ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def _serve(server: uvicorn.Server, listening: socket.socket, limits: Limits) -> None:
    sweeping = asyncio.create_task(_sweep(server.server_state.connections, limits))
    await server.serve(sockets=[listening])
    sweeping.cancel()


async def _sweep(connections: Iterable[Any], limits: Limits) -> None:
    """Cut off connections whose client keeps the service waiting for too long; uvicorn has no such bounds."""
    bounds = {"head": limits.head_seconds, "body": limits.body_seconds, "answer": limits.answer_seconds}
    since: dict[tuple[Any, ...], float] = {}
    while True:
        await asyncio.sleep(min(bounds.values()) / 4)
        now = time.monotonic()
        waits = [(each, each.cycle, what) for each in connections if (what := _awaited(each))]
        since = {wait: since.get(wait, now) for wait in waits}
        for (each, _, what), begun in since.items():
            if now - begun > bounds[what]:
                each.transport.abort()  # to close would be to wait until the client has read everything


def _awaited(connection: Any) -> str | None:
    """What the client is to do: send a head, send a body to its end, read an answer; None: nothing.

    Between two requests it may be idle for longer.
    """
    if connection.transport.get_write_buffer_size():
        return "answer"
    if connection.cycle is None:
        return "head"
    if not connection.cycle.response_complete:
        return None  # the guard sees to it
    if connection.conn.their_state is h11.SEND_BODY:
        return "body"
    return "head" if connection.conn.trailing_data[0] else None
