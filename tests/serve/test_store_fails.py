"""A store that cannot be used acknowledges nothing, says so, and is used again as soon as it can be."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from serve.running import JSON, ask, running
from serve.test_store import content, events, users
from siftrec.serve.app import create_app
from siftrec.serve.model import Serving
from siftrec.serve.settings import Limits
from siftrec.serve.store import Store


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def swapped(run: Path) -> None:
    """What a deployment by folders does: the store goes with the old one."""
    shutil.copytree(run / "artifact", run.parent / "new" / "artifact")
    run.rename(run.parent / "old")
    (run.parent / "new").rename(run)


def deleted(run: Path) -> None:
    (run / "store").unlink()


def replaced(run: Path) -> None:
    (run / "store").rename(run / "before")
    Store(run / "store").close()


@pytest.mark.parametrize("gone", [swapped, deleted, replaced])
def test_what_no_path_would_lead_to_is_not_acknowledged(
    run: Path, capsys: pytest.CaptureFixture[str], gone: Callable[[Path], None]
) -> None:
    """SQLite goes on writing to a file that was moved or deleted, and clients would drop what is lost."""
    store = Store(run / "store")
    app = create_app(Serving(run, store), store, Limits(poll_seconds=0.02))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.post("/v1/feedback", json=events("a")).status_code == 201
        gone(run)
        for path, body in (
            ("feedback", events("b")),
            ("items", {"items": [{"item": "new", "content": content()}]}),
        ):
            answer = client.post(f"/v1/{path}", json=body)
            assert answer.status_code == 503
            assert str(run) not in answer.text
        until(lambda: client.get("/health/ready").json()["problem"] is not None)
        assert "siftrec_store_failed 1.0" in client.get("/metrics").text
        assert client.post("/v1/recommend", json={"history": ["v01"]}).status_code == 200
        time.sleep(0.2)
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("error:")] == [
        f"error: {run}/store: is not the file any more that was opened as a store; put that one back, or start anew"
    ]


def test_a_store_that_is_put_back_is_written_again(run: Path) -> None:
    store = Store(run / "store")
    app = create_app(Serving(run, store), store, Limits(poll_seconds=0.02))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        run.rename(run.parent / "away")
        until(lambda: client.get("/health/ready").json()["problem"] is not None)
        (run.parent / "away").rename(run)
        until(lambda: client.get("/health/ready").json()["problem"] is None)
        assert client.post("/v1/feedback", json=events("a")).status_code == 201
    assert users(run / "store") == ["a"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="bounds the files of another process, which Linux can")
def test_a_full_disk_is_told_and_found_mended(run: Path) -> None:
    """Else the service looks well while every event is refused, and nobody frees the disk."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))"
    batch, stored = {"events": [{"user": "u" * 50, "item": "v01"}] * 500}, 0
    with running(run, limits={"poll_seconds": 0.05}, before=full) as process:
        connection = process.connect()

        def ready() -> Any:
            return ask(connection, "/health/ready")[1]

        assert ready()["problem"] is None
        while (status := ask(connection, "/v1/feedback", batch)[0]) == 201:
            stored += 500
        assert status == 503
        connection.request("POST", "/v1/feedback", json.dumps(batch), JSON)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        time.sleep(0.3)  # a few looks later it is as it was: a little still finds room
        assert "the store cannot be used" in ready()["problem"]
        assert ready()["ready"] is True
        assert str(run) not in str(ready())
        assert b"siftrec_store_failed 1.0" in ask(connection, "/metrics")[1]
        assert ask(connection, "/v1/recommend", {"history": ["v01"]})[0] == 200
        resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: ready()["problem"] is None)
        assert ask(connection, "/v1/feedback", batch)[0] == 201
        connection.close()
        said = process.end()[1]
    assert said.count(f"error: {run}/service.sqlite: cannot be used as a store: ") == said.count("\n") == 1
    assert len(users(run / "service.sqlite")) == stored + 500
