"""What stands before every route: who may ask, how much, how many at once, how slowly."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import re
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence, Sized
from typing import Any

import orjson
from starlette.routing import Match, Route

from siftrec.serve.metrics import Meters
from siftrec.serve.settings import Limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEALTH = ("/health/live", "/health/ready")
_CLIENT_LEFT = 499
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:]+))(?::\d*)?")
_RETRY = (b"retry-after", b"1")
_CLOSE = (b"connection", b"close")
_DRAINED = 16  # × the body limit is read and dropped, so that a client hears why instead of a reset
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


def loopback(host: str) -> bool:
    """Whether an address leads to this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Refused(Exception):
    """An answer without the application: status, what is wrong, further headers."""

    def __init__(self, status: int, what: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(what)
        self.status, self.what, self.headers = status, what, list(headers)


class Gone(Exception):
    """The client has left."""


class Guard:
    """Lets through what is within the limits, whole: the application never waits for a client.

    Args:
        app: the routes.
        limits: bounds.
        meters: where answers are counted.
        token: that every path but the open ones needs; None: none does, and only this machine may be meant.
        open_paths: paths without any data, beside those of health.
        routes: of the application, by which answers are counted, those too that it never saw.

    Attributes:
        connections: those that are open, as far as the server tells.
    """

    connections: Sized = ()

    def __init__(
        self,
        app: App,
        limits: Limits,
        meters: Meters,
        token: str | None,
        open_paths: Collection[str] = (),
        routes: Sequence[Route] = (),
    ) -> None:
        self._app, self._limits, self._meters = app, limits, meters
        self._token = None if token is None else token.encode()
        self._open, self._routes = {*_HEALTH, *open_paths}, routes
        self._buffered = self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is not HTTP goes on as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        match, route = self._routed(scope)

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in _HEADERS if each[0] not in given)]
            # A client that does not read holds nobody up but itself.
            async with asyncio.timeout(self._limits.answer_seconds):
                await send(message)

        try:
            try:
                await self._guarded(scope, receive, answer, match)
            except Refused as refused:
                await _refuse(refused, answer)
        except Gone:
            status = status or _CLIENT_LEFT
        except TimeoutError:
            status = status or _CLIENT_LEFT
            await _cut_off(receive, self._limits.answer_seconds)
        finally:
            self._meters.requests.labels(route, status).inc()
            self._meters.seconds.labels(route).observe(time.perf_counter() - began)

    def _routed(self, scope: Scope) -> tuple[Match, str]:
        """How well a request fits a route of the application, as its router sees it, and the path of that route."""
        found = Match.NONE, "other"
        for route in self._routes:
            match, _ = route.matches(scope)
            if match == Match.FULL:
                return match, route.path
            if match == Match.PARTIAL and found[0] == Match.NONE:
                found = match, route.path
        return found

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, match: Match) -> None:
        headers, parts = _Headers(scope["headers"]), list[bytes]()
        try:
            self._allow(scope, headers, match)
        except Refused as refused:
            if headers.body():  # that nobody will read
                refused.headers.append(_CLOSE)
            raise
        if scope["path"] not in _HEALTH and len(self.connections) > self._limits.connections:
            raise Refused(503, "too many connections; try again", _RETRY, _CLOSE)
        try:
            await self._read(headers, receive, parts)
            if scope["path"] not in _HEALTH and self._in_flight >= self._limits.in_flight:
                raise Refused(503, "too many requests at once; try again", _RETRY)
            self._in_flight += 1
            self._meters.in_flight.set(self._in_flight)
            try:
                await self._app(scope, _whole(b"".join(parts), receive), send)
            finally:
                self._in_flight -= 1
                self._meters.in_flight.set(self._in_flight)
        finally:
            self._buffered -= sum(map(len, parts))

    def _allow(self, scope: Scope, headers: _Headers, match: Match) -> None:
        """Paths are compared as the router does, and what is not known to be open is closed."""
        path = scope["path"]
        if self._token is None:
            # Without this any page in a browser here could ask, through a name that leads to 127.0.0.1.
            if not loopback(_name(headers.one(b"host") or b"")):
                raise Refused(
                    421, "without a token only requests for this machine, as 127.0.0.1 or localhost, are answered"
                )
        elif path not in self._open:
            scheme, _, given = (headers.one(b"authorization") or b"").partition(b" ")
            if not hmac.compare_digest(given.strip(), self._token) or scheme.lower() != b"bearer":
                raise Refused(
                    401,
                    "needs the header Authorization: Bearer with the service's token",
                    (b"www-authenticate", b"Bearer"),
                )
        kind = (headers.one(b"content-type") or b"").partition(b";")[0].strip().lower()
        # A path that takes no POST has an answer of its own, 405.
        if scope["method"] == "POST" and kind != b"application/json" and match != Match.PARTIAL:
            # Only this kind makes a browser ask before it lets a foreign page send anything.
            raise Refused(415, "send JSON, with the header Content-Type: application/json")

    async def _read(self, headers: _Headers, receive: Receive, parts: list[bytes]) -> None:
        """The body into `parts`; of one that is too large, as much is read as it takes to be heard."""
        limit, size, more = self._limits.body, 0, True
        large = Refused(413, f"the body may have at most {limit} bytes", _CLOSE)
        declared = int(headers.one(b"content-length") or 0)
        if declared > limit and (headers.one(b"expect") or declared > _DRAINED * limit):
            raise large
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while more and size <= _DRAINED * limit:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size <= limit:
                        if self._buffered + len(part) > self._limits.buffered:
                            raise Refused(503, "too much at once; try again", _RETRY, _CLOSE)
                        self._buffered += len(part)
                        parts.append(part)
        except TimeoutError:
            raise Refused(408, "the body took too long", _CLOSE) from None
        if size > limit:
            raise large


async def _cut_off(receive: Receive, seconds: float) -> None:
    """Wait until the connection is cut; to return before that would have the server send an answer of its own."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass


class _Headers:
    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs

    def one(self, name: bytes) -> bytes | None:
        """A header's value, if it is there exactly once."""
        found = [value for key, value in self._pairs if key == name]
        return found[0] if len(found) == 1 else None

    def body(self) -> bool:
        """Whether the request comes with a body."""
        return self.one(b"transfer-encoding") is not None or self.one(b"content-length") not in (None, b"0")


def _name(host: bytes) -> str:
    """What a Host header names, without brackets and port."""
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    return (found[1] or found[2]) if found else ""


def _whole(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives the body that is already here."""
    given = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(refused: Refused, send: Send) -> None:
    body = orjson.dumps({"error": {"what": refused.what, "where": None}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *refused.headers]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
