"""What a client may not do to the service or to other clients."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serve.running import JSON, Process, ask
from siftrec.serve.app import create_app
from siftrec.serve.limits import Guard
from siftrec.serve.model import Serving
from siftrec.serve.settings import Limits
from siftrec.serve.store import Store

MIB = 1 << 20
TOKEN = "correct horse battery".replace(" ", "-")


@pytest.fixture(scope="module")
def locked(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    store = Store(tmp_path_factory.mktemp("locked") / "store")
    app = create_app(Serving(trained_run, store), store, token=TOKEN)
    with TestClient(app, base_url="http://any.example") as client:
        yield client


@pytest.fixture(scope="module")
def unstored(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Guard:
    """A service that stores nothing, so that what it takes can be sent again."""
    store = Store(tmp_path_factory.mktemp("unstored") / "store")
    return create_app(Serving(trained_run, store), store, Limits(events=0, items=0))


@pytest.fixture(scope="module")
def client(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One service for all that is refused."""
    store = Store(tmp_path_factory.mktemp("open") / "store")
    with TestClient(create_app(Serving(trained_run, store), store), base_url="http://127.0.0.1") as client:
        yield client
    assert Store(store.path).counts() == {"items": 0, "feedback": 0}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"]
)
def test_a_wrong_token_is_refused(locked: TestClient, header: str) -> None:
    assert locked.get("/v1/model", headers={"Authorization": header.encode()}).status_code == 401


def test_the_token_opens_and_health_and_the_page_need_none(locked: TestClient) -> None:
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert locked.get("/v1/model", headers=right).status_code == 200
    assert locked.get("/metrics", headers=right).status_code == 200
    for path in ("/health/live", "/health/ready", "/", "/static/app.js"):
        assert locked.get(path).status_code == locked.head(path).status_code == 200
    assert locked.get("/v1/model", headers=[("Authorization", f"Bearer {TOKEN}")] * 2).status_code == 401


def test_the_description_says_where_a_token_is_needed(locked: TestClient, client: TestClient) -> None:
    """Clients that are made from it would not send one otherwise."""
    paths = locked.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()["paths"]
    needed = {path: "security" in each for path, methods in paths.items() for each in methods.values()}
    assert {path for path, needs in needed.items() if not needs} == {"/health/live", "/health/ready"}
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2:8000", "[::1]:8000", "[::1]", "LocalHost:1"])
def test_every_address_that_can_be_bound_without_a_token_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "10.0.0.1",
        "[::2]",
        "::1",
        "127.0.0.1:80:80",
        "localhost@evil",
        "127.0.0.1.evil.example",
        "",
        "localhost.evil:80",
    ],
)
def test_without_a_token_another_name_for_this_machine_is_not_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/model", headers={"Host": host}).status_code == 421


def test_a_form_that_a_foreign_page_may_send_is_refused(client: TestClient) -> None:
    body = '{"events": [{"user": "u", "item": "v"}]}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert client.post("/v1/feedback", content=body, headers={"Content-Type": kind}).status_code == 415
    assert client.post("/v1/feedback", content="[]", headers={"Content-Type": "application/jsonp"}).status_code == 415
    for kind in ("Application/JSON", "application/json; charset=utf-8"):
        assert client.post("/v1/feedback", content="[]", headers={"Content-Type": kind}).status_code == 422


HOSTILE = {
    "nan": b'{"history": ["v01"], "k": NaN}',
    "infinity": b'{"history": ["v01"], "k": -Infinity}',
    "huge float": b'{"history": ["v01"], "k": 1e999}',
    "huge integer": b'{"history": ["v01"], "k": ' + b"9" * 5000 + b"}",
    "beyond 64 bits": b'{"history": ["v01"], "k": 99999999999999999999}',
    "deep": b'{"history": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep within bounds": b'{"history": ' + b"[" * 900 + b"]" * 900 + b"}",
    "not utf-8": b'{"history": ["\xff\xfe"]}',
    "lone surrogate": b'{"history": ["\\ud800"]}',
    "cut": b'{"history": ["v01"',
    "empty": b"",
    "text": b'"v01"',
    "null": b"null",
    "list": b"[]",
    "number as id": b'{"history": [1]}',
    "true as k": b'{"history": [], "k": true}',
    "float as k": b'{"history": [], "k": 2.5}',
    "null history": b'{"history": null}',
    "bom": b'\xef\xbb\xbf{"history": []}',
    "nul": b"\0" * 100,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/similar", "/v1/items", "/v1/items/hide", "/v1/feedback"])
def test_hostile_bodies_are_the_client_s_fault(client: TestClient, path: str, kind: str) -> None:
    answer = client.post(path, content=HOSTILE[kind], headers=JSON)
    assert 400 <= answer.status_code < 500
    assert len(answer.content) < 1000  # nothing of the body comes back


EIGHTEEN = b",".join(b'"a%d": [0.123456789, 0.123456789]' % name for name in range(18))
MANY = b",".join(b'"%045d"' % name for name in range(10_000))
EVENT = b'{"user": "%0250d", "item": "%0250d", "time": "2026-01-01T00:00:00.123456+01:00", "label": 1}' % (1, 2)
WRONG = {
    "numbers that are none": ("items", b'{"items": [{"item": "a", "content": {"x": [' + b'"",' * 300_000 + b"1]}}]}"),
    "ids that are none": ("recommend", b'{"history": [], "only": [' + b"1," * 500_000 + b"1]}"),
    "items that are none": ("items", b'{"items": [' + b"1," * 500_000 + b"1]}"),
    "events that are none": ("feedback", b'{"events": [' + b"{}," * 300_000 + b"{}]}"),
    "nothing known": ("recommend", b"{" + b",".join(b'"%x":1' % key for key in range(100_000)) + b"}"),
    "nothing known of an item": (
        "items",
        b'{"items": [{' + b",".join(b'"%x":1' % key for key in range(100_000)) + b"}]}",
    ),
    "modalities": (
        "items",
        b'{"items": [{"item": "a", "content": {' + b",".join(b'"%x":1' % key for key in range(100_000)) + b"}}]}",
    ),
    "a long name": ("recommend", b'{"history": [], "' + b"a" * 1_000_000 + b'": 1}'),
}


RIGHT = {
    "numbers": (
        "items",
        b'{"items": [{"item": "a", "content": {"text": [' + b"1," * 524_000 + b"1]}}]}",
        b"text has 524001 numbers",
    ),
    "vectors": (
        "items",
        b'{"items": [' + b",".join(b'{"item": "%d", "content": {%s}}' % (n, EIGHTEEN) for n in range(980)) + b"]}",
        b"knows no 'a0'",
    ),
    "ids": ("recommend", b'{"history": [], "exclude": [%s], "only": [%s]}' % (MANY, MANY), b'"items":[]'),
    "events": ("feedback", b'{"events": [' + b",".join([EVENT] * 1000) + b"]}", b"0 events are stored"),
}


def on_the_loop(app: Guard, path: str, body: bytes) -> tuple[int, bytes, float]:
    """Status, body and CPU seconds of the thread that everybody waits for, the least of three."""
    spent, said, sent = list[float](), list[MutableMapping[str, Any]](), {"type": "http.request", "body": body}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": f"/v1/{path}", "headers": headers, "query_string": b""}

    async def receive() -> MutableMapping[str, Any]:
        return dict(sent)

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    async def ask() -> None:
        began = time.thread_time()
        await app(dict(scope), receive, send)
        spent.append(time.thread_time() - began)

    for _ in range(3):
        said.clear()
        asyncio.run(ask())
    return said[0]["status"], said[1]["body"], min(spent)


@pytest.mark.parametrize("kind", [*WRONG, *RIGHT])
def test_a_mebibyte_costs_the_loop_little_and_one_mistake_is_told(unstored: Guard, kind: str) -> None:
    """Else one request stops the service for everybody, and its answer is as long as the request."""
    path, body, *told = WRONG.get(kind) or RIGHT[kind]
    assert 0.5 * MIB < len(body) <= MIB
    status, answer, spent = on_the_loop(unstored, path, body)
    assert spent < 0.05
    if told:  # it was read to its end, by the model or the store
        assert told[0] in answer
    else:
        assert status == 422
        assert len(answer) < 300


@pytest.mark.parametrize(
    "item", ["a\0b", "<img onerror=alert(1)>", "../../etc/passwd", "file:///etc/passwd", "é" * 256, "\u202e"]
)
def test_odd_ids_are_just_unknown(client: TestClient, item: str) -> None:
    answer = client.post("/v1/recommend", json={"history": ["v01", item], "exclude": [item], "only": None})
    assert answer.json()["unknown"] == [item]


def test_a_body_over_a_mebibyte_is_413_even_in_chunks(process: Process) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        yield b'{"history": ["'
        for _ in range(size // 65_536):
            yield b"a" * 65_536
        yield b'"]}'

    for size, status in ((MIB // 2, 422), (2 * MIB, 413), (8 * MIB, 413)):
        connection = process.connect()
        connection.request("POST", "/v1/recommend", chunks(size), JSON, encode_chunked=True)
        assert connection.getresponse().status == status
        connection.close()
    connection = process.connect()
    assert ask(connection, "/v1/recommend", b" " * 2 * MIB)[0] == 413
    connection.close()


def trickle(process: Process, head: bytes, seconds: float) -> float:
    """Seconds until a client that sends a byte now and then is cut off."""
    host, port = process.address.split(":")
    began = time.monotonic()
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head)
        line.settimeout(0.1)
        while time.monotonic() - began < seconds:
            try:
                line.sendall(b"a")
                if not line.recv(1000):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - began


def test_slow_clients_are_cut_off_and_hurt_nobody(process: Process) -> None:
    """Forty clients that trickle heads and bodies, where only four requests may run at once."""
    kind = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    body = b"POST /v1/recommend HTTP/1.1\r\n" + kind
    heads = [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", body] * 20
    with ThreadPoolExecutor(len(heads)) as pool:
        slow = [pool.submit(trickle, process, head, 8) for head in heads]
        time.sleep(0.3)
        connection = process.connect()
        waits = []
        for _ in range(30):
            began = time.monotonic()
            assert ask(connection, "/v1/recommend", {"history": ["v01"]})[0] == 200
            waits.append(time.monotonic() - began)
        connection.close()
        assert sorted(waits)[15] < 0.5
        assert max(each.result() for each in slow) < 6


def test_overload_is_503_with_a_time_to_come_back_and_passes(process: Process) -> None:
    """Thirty clients where four may be answered at once: 200 or 503, no reset, and 200 again afterwards."""
    seen, lock = dict[int, int](), threading.Lock()

    def client() -> None:
        connection = process.connect()
        for _ in range(8):
            connection.request("POST", "/v1/recommend", b'{"history": ["v01"], "explain": true}', JSON)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200 or answer.headers["Retry-After"] == "1"
            with lock:
                seen[answer.status] = seen.get(answer.status, 0) + 1
        connection.close()

    with ThreadPoolExecutor(30) as pool:
        for each in [pool.submit(client) for _ in range(30)]:
            each.result()
    assert set(seen) == {200, 503}
    connection = process.connect()
    assert ask(connection, "/v1/recommend", {"history": ["v01"]})[0] == 200
    connection.close()


def counted(app: Guard) -> set[tuple[str, str]]:
    """(route, status) of what was answered."""
    return set(re.findall(r'siftrec_requests_total\{route="([^"]*)",status="(\d+)"\}', app._meters.page().decode()))


def test_what_is_refused_counts_under_the_route_it_was_meant_for(trained_run: Path, tmp_path: Path) -> None:
    """Else an overload of one route, or a client with an old token, cannot be seen in the figures of any."""
    store = Store(tmp_path / "store")
    serving = Serving(trained_run, store)
    app = create_app(serving, store, Limits(in_flight=0, body=100), token=TOKEN)
    with TestClient(app, base_url="http://any.example") as client:
        right = {"Authorization": f"Bearer {TOKEN}"}
        client.get("/v1/model")
        client.get("/v1/client-made-this")
        client.get("/v1/model", headers=right)
        client.get("/metrics", headers=right)
        client.get("/")
        client.post("/v1/recommend", json={"history": []}, headers=right)
        client.post("/v1/similar", content="a" * 101, headers={**JSON, **right})
        client.post("/v1/feedback", content="{}", headers=right)
    assert counted(app) == {
        ("/v1/model", "401"),
        ("other", "401"),
        ("/v1/model", "503"),
        ("/metrics", "503"),
        ("/", "503"),
        ("/v1/recommend", "503"),
        ("/v1/similar", "413"),
        ("/v1/feedback", "415"),
    }
    store = Store(tmp_path / "store")
    app = create_app(serving, store)
    with TestClient(app, base_url="http://any.example") as client:
        assert client.post("/v1/items", json={}).status_code == 421
    assert counted(app) == {("/v1/items", "421")}


def test_a_path_that_takes_no_post_says_so_whatever_is_sent(client: TestClient) -> None:
    """A client that is told to send JSON there would try that next."""
    for path in ("/v1/model", "/v1/search", "/health/ready", "/metrics", "/", "/openapi.json"):
        for headers in ({}, JSON):
            assert client.post(path, content="a", headers=headers).status_code == 405
    assert client.post("/v1/recommend", content="a").status_code == 415
