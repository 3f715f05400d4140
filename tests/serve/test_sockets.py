"""Clients that hold a connection and do not do their part: the others are answered all the same."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serve.conftest import SHORT
from serve.running import Process, ask, running
from siftrec.serve.server import listen

TOKEN = "0123456789abcdef-token"
FEW = 8


@pytest.fixture(scope="module")
def narrow(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service of few connections and short patience, with a token."""
    store = tmp_path_factory.mktemp("narrow") / "store"
    limits = {**SHORT, "connections": FEW}
    with running(trained_run, "--store", store, limits=limits, env={"SIFTREC_TOKEN": TOKEN}) as process:
        yield process


def connected(process: Process, buffer: int | None = None) -> socket.socket:
    host, port = process.address.split(":")
    line = socket.socket()
    if buffer:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    line.settimeout(10)
    line.connect((host, int(port)))
    return line


def held_by(process: Process, lines: list[socket.socket]) -> int:
    """How many of these connections the service has open, whatever else it has: told by the clients' ports."""
    open_there = set()
    for each in Path(f"/proc/{process.child.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            open_there.add(os.readlink(each))
    ports = {each.getsockname()[1] for each in lines}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) in ports and f"socket:[{row[9]}]" in open_there for row in rows)


def within(seconds: float, until: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(0.05)
    return until()


def health(process: Process) -> int:
    connection = process.connect()
    try:
        return ask(connection, "/health/live")[0]
    finally:
        connection.close()


def everything(line: socket.socket) -> bytes:
    """What arrives until the service closes."""
    got = b""
    while part := line.recv(65_536):
        got += part
    return got


VARIANTS = [
    path
    for base in ("v1/model", "metrics")
    for path in (
        f"/{base}",
        f"//{base}",
        f"/{base}/",
        f"/{base}?token={TOKEN}",
        f"/./{base}",
        f"/static/../{base}",
        f"/static/..%2f{base}",
        f"/health/live/../../{base}",
        f"/health/live%2f..%2f..%2f{base}",
        f"/health/live;/{base}",
        f"/{base.upper()}",
        f"/%{ord(base[0]):x}{base[1:]}",
        f"/{base}%00",
        f"/{base}/health/live",
        f"http://any.example/{base}",
        f"http://any.example//{base}",
        f"http://any.example/health/live/../../{base}",
        f"/\\{base}",
    )
]


def test_no_spelling_of_a_path_gets_past_the_token(narrow: Process) -> None:
    """As they are, over a socket: clients put most of them right before they send them."""
    connection = narrow.connect()
    for path in VARIANTS:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.status, b'"model"' in body) == (401, False), (method, path)
    connection.close()


@pytest.mark.parametrize("length", [b"Content-Length: 999999999", b"Transfer-Encoding: chunked"])
def test_a_refusal_without_reading_the_body_ends_the_connection(narrow: Process, length: bytes) -> None:
    """Else its body, of any length and a byte a second, would be swallowed after the 401."""
    with connected(narrow) as line:
        line.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
        answer = everything(line)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()


def test_a_refusal_of_a_request_without_a_body_keeps_the_connection(narrow: Process) -> None:
    connection = narrow.connect()
    assert ask(connection, "/v1/model")[0] == 401
    line = connection.sock
    assert ask(connection, "/v1/model")[0] == 401
    assert connection.sock is line
    connection.close()


def test_a_client_that_does_not_read_its_answers_is_cut_off(narrow: Process) -> None:
    """It asks for more than any buffer holds; then nobody waits for it, not even a stop."""
    with contextlib.ExitStack() as closing:
        held = [closing.enter_context(connected(narrow, buffer=4096)) for _ in range(3)]
        assert within(5, lambda: held_by(narrow, held) == 3)
        for each in held:
            each.settimeout(2)
            with contextlib.suppress(TimeoutError):
                each.sendall(b"GET /static/app.js HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        assert within(6, lambda: held_by(narrow, held) == 0)
    assert health(narrow) == 200


def test_too_many_connections_are_told_when_to_come_back_and_health_is_answered(narrow: Process) -> None:
    """An orchestrator that hears 503 from health ends the process, with everybody it is busy with."""
    held = [connected(narrow) for _ in range(FEW)]
    for each in held:
        each.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert each.recv(1000).startswith(b"HTTP/1.1 200 ")
    connection = narrow.connect()
    connection.request("GET", "/v1/model", headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert b"too many connections" in answer.read()
    assert health(narrow) == 200
    for each in held:
        each.close()
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert within(5, lambda: ask(connection, "/v1/model", headers=right)[0] == 200)
    connection.close()


def test_an_answer_does_not_wait_for_its_headers_to_be_acknowledged() -> None:
    """With Nagle on, every answer would come 40 ms late, whatever it costs: header and body are sent one after the other."""
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        answering, _ = listening.accept()
        with answering:
            assert answering.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
