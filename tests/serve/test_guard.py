"""The guard by itself, with clients that stop half-way: what they held is given back."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

from siftrec.serve.limits import Guard, Receive, Scope, Send
from siftrec.serve.metrics import Meters
from siftrec.serve.settings import Limits

LIMITS = replace(Limits(), body=100, buffered=250, in_flight=2, body_seconds=0.2, answer_seconds=0.2)
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v1/recommend",
    "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
}
Message = MutableMapping[str, Any]


async def echo(_: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Client:
    """Sends some chunks, then nothing more; reads or does not."""

    def __init__(self, *chunks: bytes, ends: bool = True, reads: bool = True) -> None:
        self._chunks, self._ends, self._reads = list(chunks), ends, reads
        self.status, self.body = 0, b""

    async def receive(self) -> Message:
        if not self._chunks:
            await asyncio.sleep(60)
        chunk = self._chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks) or not self._ends}

    async def send(self, message: Message) -> None:
        if not self._reads:
            await asyncio.sleep(60)
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")


def answered(*clients: Client) -> list[int]:
    """Statuses of clients that ask at once; another that asks afterwards must be answered."""
    guard = Guard(echo, LIMITS, Meters(), None)

    async def ask() -> None:
        await asyncio.gather(*(guard(dict(SCOPE), each.receive, each.send) for each in clients))
        after = Client(b"a" * 100)
        await guard(dict(SCOPE), after.receive, after.send)
        assert (after.status, after.body) == (200, b"a" * 100)

    asyncio.run(ask())
    assert (guard._buffered, guard._in_flight) == (0, 0)
    return [each.status for each in clients]


def test_a_body_arrives_whole_however_it_is_cut() -> None:
    client = Client(b"a", b"", b"bc", b"d" * 97)
    assert answered(client) == [200]
    assert client.body == b"abc" + b"d" * 97


def test_a_body_one_byte_too_long_is_refused_and_a_stalled_one_given_up() -> None:
    assert answered(Client(b"a" * 60, b"a" * 41), Client(b"a", ends=False)) == [413, 408]


def test_all_bodies_together_are_bounded() -> None:
    assert answered(*(Client(b"a" * 90, ends=False) for _ in range(4))) == [408, 408, 503, 503]


def test_who_does_not_read_holds_a_place_only_so_long() -> None:
    assert answered(*(Client(b"a", reads=False) for _ in range(2))) == [0, 0]


def test_more_at_once_than_there_are_places_is_refused() -> None:
    statuses = answered(*(Client(b"a", reads=False) for _ in range(2)), Client(b"b"))
    assert statuses == [0, 0, 503]
