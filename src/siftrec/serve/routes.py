"""The routes: each takes one snapshot of the model and answers with it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from siftrec import __version__
from siftrec.errors import UsageError
from siftrec.index import Approximate
from siftrec.methods.explain import Explanation, explain, explains
from siftrec.serve import schema
from siftrec.serve.metrics import Meters
from siftrec.serve.model import Served, Serving
from siftrec.serve.settings import Limits
from siftrec.serve.store import Event, Item, Missing, Store
from siftrec.settings import spelled

P = ParamSpec("P")
T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Service:
    """What the routes work with.

    Attributes:
        serving: the model.
        store: of items and events.
        meters: counters.
        limits: what is bounded.
        readers: threads that compute answers, so that the loop stays free.
        writer: the one thread that writes.
    """

    serving: Serving
    store: Store
    meters: Meters
    limits: Limits
    readers: ThreadPoolExecutor
    writer: ThreadPoolExecutor


class _Asked(Request):
    """A request whose body was read already."""

    told: BaseModel

    async def json(self) -> BaseModel:
        return self.told


class _Route(APIRoute):
    """Makes what a route takes of the bytes that came, in one go: they never become Python objects of any other kind.

    That takes 30 ms at most, for a mebibyte of numbers. It is no work for a thread: the loop would wait for it all the same.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler, field = super().get_route_handler(), self.body_field
        if field is None:
            return handler

        async def read(request: Request) -> Response:
            asked = _Asked(request.scope, request.receive)
            asked.told = _told(field.field_info.annotation, await asked.body())
            return await handler(asked)

        return read


def _told(kind: Any, body: bytes) -> BaseModel:
    """The body as a model: strict JSON, with no more keys than are cheap to be told are wrong."""
    if body.translate(None, b" \t\r\n").count(b'":') > schema.KEYS_IN_ALL:
        raise HTTPException(422, f"a body has at most {schema.KEYS_IN_ALL:,} keys")
    try:
        told: BaseModel = kind.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() > 2 * schema.KEYS:  # of lists only the first mistake is told
            raise HTTPException(422, f"an object has at most {schema.KEYS} keys") from None
        first = error.errors(include_url=False, include_input=False)[0]
        raise RequestValidationError([{**first, "loc": ("body", *first["loc"])}]) from None
    return told


def _said(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


async def _in(pool: ThreadPoolExecutor, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *given, **named))


_WRONG: dict[int | str, dict[str, Any]] = {
    status: {"model": schema.Failed, "description": told}
    for status, told in {
        400: "Not JSON",
        401: "No token, or a wrong one",
        413: "Too large",
        415: "Not sent as JSON",
        422: "Not what is asked for",
        503: "Too much at once; try again",
    }.items()
}
_NO_SUCH: dict[int | str, dict[str, Any]] = {404: {"model": schema.Failed, "description": "No such item"}}
_FULL: dict[int | str, dict[str, Any]] = {
    507: {"model": schema.Failed, "description": "As many are stored as may be; nothing of this request is"}
}
_KNOWN: dict[int | str, dict[str, Any]] = {409: {"model": schema.Failed, "description": "An id is known"}}


def reading(service: Service) -> APIRouter:
    """Recommendations, likeness, search and what the model is."""
    router = APIRouter(prefix="/v1", route_class=_Route, responses=_WRONG)

    @router.post("/recommend", response_model=schema.Recommended)
    async def recommend(asked: schema.Recommend) -> Response:
        """The best items for a history; its user need not have been there in training."""
        answer = await _in(service.readers, _recommended, service.serving.current, asked)
        service.meters.unknown.inc(len(answer["unknown"]))
        service.meters.fallback.inc(answer["fallback"])
        return _said(answer)

    @router.post("/similar", response_model=schema.Likened, responses=_NO_SUCH)
    async def similar(asked: schema.Similar) -> Response:
        """Items most like one, by cosine of their vectors."""
        return _said(await _in(service.readers, _likened, service.serving.current, asked))

    @router.get("/search", response_model=schema.Found)
    async def search(
        q: Annotated[str, Query(max_length=200, description="Part of a title or id; empty: the most popular.")] = "",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """Items whose title or id holds a text in any case, most popular first."""
        rows = await _in(service.readers, service.serving.current.search, q, limit)
        return _said({"items": [dict(zip(("item", "title", "popularity"), row, strict=True)) for row in rows]})

    @router.get("/model", response_model=schema.About)
    async def model() -> Response:
        """The model that answers."""
        return _said({**_about(service.serving.current), "problem": service.serving.problem})

    return router


def writing(service: Service) -> APIRouter:
    """Items and events from clients, on disk before they are acknowledged."""
    router = APIRouter(prefix="/v1", route_class=_Route, responses=_WRONG)

    @router.post("/items", status_code=201, response_model=schema.Added, responses=_KNOWN | _FULL)
    async def add(asked: schema.NewItems) -> Response:
        """Add items by their content alone: all of them or none, recommended at once, there again after a restart."""
        if len({each.item for each in asked.items}) < len(asked.items):
            raise UsageError("an item is named twice")
        items = [Item(each.item, each.title, each.content) for each in asked.items]
        served = await _in(service.writer, service.serving.add, items)
        return _said({"added": len(items), "model": served.version}, 201)

    async def turn(asked: schema.Hide, hidden: bool) -> Response:
        served = await _in(service.writer, service.serving.hide, asked.items, hidden)
        return _said({"hidden": len(served.hidden), "model": served.version})

    @router.post("/items/hide", response_model=schema.Hidden, responses=_NO_SUCH)
    async def hide(asked: schema.Hide) -> Response:
        """Take items out of every answer, also of later models, until they are shown again; histories still hold them."""
        return await turn(asked, hidden=True)

    @router.post("/items/show", response_model=schema.Hidden, responses=_NO_SUCH)
    async def show(asked: schema.Hide) -> Response:
        """Have items in answers again; those that are not hidden stay as they are."""
        return await turn(asked, hidden=False)

    @router.post("/feedback", status_code=201, response_model=schema.Stored, responses=_FULL)
    async def feedback(asked: schema.Feedback) -> Response:
        """Keep what users did; `siftrec feedback` makes it a log to train on."""
        now = datetime.now(UTC)
        events = [
            Event(
                each.user,
                each.item,
                ((each.time or now) - _EPOCH) // _MICROSECOND,
                1 if each.label is None else each.label,
            )
            for each in asked.events
        ]
        await _in(service.writer, service.store.add_events, events, service.limits.events)
        service.meters.feedback.inc(len(events))
        return _said({"stored": len(events)}, 201)

    return router


def health(service: Service) -> APIRouter:
    """For whoever keeps the service running."""
    router = APIRouter()

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @router.get("/health/ready", response_model=schema.Health)
    async def ready() -> Response:
        """A model is there; `problem` says that a newer one is not served, or that nothing can be stored."""
        served = service.serving.current
        # Anybody may ask: why is for those with the token, paths of this machine are for its log.
        told = {
            "a newer model is refused; /v1/model and the log say why": service.serving.problem,
            "the store cannot be used, so nothing that clients add is taken; the log says why": service.store.problem,
        }
        problem = ", and ".join(what for what, why in told.items() if why is not None) or None
        held = {"items": (served.seq, service.limits.items), "feedback": (service.store.events, service.limits.events)}
        full = [name for name, (stored, most) in held.items() if stored >= most]
        rest = {"problem": problem, "left_out": served.left_out, "full": full}
        return _said({"ready": True, "model": served.version, **rest})

    for path, answer in (("/health/live", live), ("/health/ready", ready)):
        router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    return router


def counting(service: Service) -> APIRouter:
    """For whoever watches it."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response, responses={401: _WRONG[401]})
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(service.meters.page(), media_type="text/plain; version=0.0.4")

    return router


def _recommended(served: Served, asked: schema.Recommend) -> dict[str, Any]:
    exclude = [*asked.exclude, *served.hidden]
    answer = served.trained.recommend(asked.history, asked.k, exclude=exclude, only=asked.only)
    told = asked.explain and explains(served.trained)
    return {
        "model": served.version,
        "items": _ranked(served, answer),
        "unknown": answer.unknown,
        "fallback": answer.fallback,
        "explanation": _explained(served, explain(served.trained, asked.history)) if told else None,
    }


def _likened(served: Served, asked: schema.Similar) -> dict[str, Any]:
    if not served.trained.codes([asked.item])[0]:
        raise Missing(f"no item {asked.item!r} in the catalog")
    found = served.trained.similar(asked.item, asked.k, exclude=served.hidden)
    return {"model": served.version, "items": _ranked(served, found)}


def _ranked(served: Served, answer: Iterable[tuple[object, float]]) -> list[dict[str, Any]]:
    return [
        {"rank": rank, "item": str(item), "score": score, "title": served.title(item)}
        for rank, (item, score) in enumerate(answer, start=1)
    ]


def _explained(served: Served, explanation: Explanation) -> Mapping[str, Any]:
    rows = [
        {
            "item": str(each.item),
            "title": served.title(each.item),
            "attention": each.share,
            "noise": each.noise,
            "modalities": each.modalities,
        }
        for each in explanation
    ]
    return {"interactions": rows, "unread": explanation.unread}


def _about(served: Served) -> dict[str, Any]:
    trained = served.trained
    found = trained.index if isinstance(trained.index, Approximate) else None
    return {
        "model": served.version,
        "method": spelled(type(trained.method)),
        "items": len(trained.items) - 1,
        "added": served.added,
        "hidden": len(served.hidden),
        "modalities": [
            {"name": each.name, "width": each.width, "coverage": each.coverage} for each in trained.contents
        ],
        "explains": explains(trained),
        "index": {"approximate": found is not None, "recall": found.recall if found else 1.0},
        "facts": asdict(trained.facts),
        "siftrec": __version__,
    }
