"""What was acknowledged is there: after a kill, for another process, for `siftrec train`; what is refused is not."""

from __future__ import annotations

import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

import siftrec as sr
from serve.running import Process, ask, running
from siftrec.cli.main import run as command
from siftrec.errors import DataError, EnvironmentProblem
from siftrec.serve.app import create_app
from siftrec.serve.model import Serving
from siftrec.serve.settings import Limits
from siftrec.serve.store import Conflict, Event, Item, Store


def content(seed: int = 0, *names: str) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(6).astype(np.float32).tolist() for name in names or ("text", "image")}


def test_an_item_is_recommended_as_soon_as_it_is_acknowledged(client: TestClient, run: Path) -> None:
    before = sr.load(run)
    items = [
        {"item": "new1", "title": "One more", "content": content(1)},
        {"item": "new2", "content": content(2, "text")},
    ]
    answer = client.post("/v1/items", json={"items": items})
    assert (answer.status_code, answer.json()["added"]) == (201, 2)
    expected = before.add_items(
        ["new1", "new2"],
        {
            "text": np.array([content(1)["text"], content(2, "text")["text"]], np.float32),
            "image": np.array([content(1)["image"], [np.nan] * 6], np.float32),
        },
    ).recommend(["new1", "v01"], 40)
    told = client.post("/v1/recommend", json={"history": ["new1", "v01"], "k": 40}).json()
    assert [each["item"] for each in told["items"]] == expected.items
    assert [each["score"] for each in told["items"]] == pytest.approx(expected.scores, abs=1e-6)
    assert "new2" in expected.items
    assert [each["item"] for each in client.get("/v1/search?q=one more").json()["items"]] == ["new1"]
    assert (client.get("/v1/model").json()["items"], client.get("/v1/model").json()["added"]) == (42, 2)


@pytest.mark.parametrize(
    ("items", "status"),
    [
        ([{"item": "v01", "content": content()}], 409),
        ([{"item": "a", "content": content()}, {"item": "a", "content": content()}], 422),
        ([{"item": "a", "content": {"text": [1.0]}}], 422),
        ([{"item": "a", "content": {"smell": [1.0] * 6}}], 422),
        ([{"item": "a", "content": {}}], 422),
        ([{"item": "a", "content": {"x": [1.0]}}, {"item": "b", "content": {"x": [1.0, 2.0]}}], 422),
        ([{"item": "a", "content": {"text": [1e300] * 6}}], 422),
        ([{"item": "a", "content": content() | {"text": [0.0] * 6}}], 422),
        ([{"item": "a", "content": content()}, {"item": "b", "content": {"image": []}}], 422),
    ],
)
def test_items_are_added_all_or_none(client: TestClient, run: Path, items: list[Any], status: int) -> None:
    answer = client.post("/v1/items", json={"items": items})
    assert answer.status_code == status
    assert answer.json()["error"]["what"]
    assert Store(run / "store").counts()["items"] == 0
    assert client.get("/v1/model").json()["items"] == 40
    again = {"items": [{"item": "a", "content": content()}]}
    assert [client.post("/v1/items", json=again).status_code for _ in range(2)] == [201, 409]


def test_kill_9_loses_nothing_that_was_acknowledged(run: Path) -> None:
    """Three clients write until the process is killed; the next one has all that the clients were told is stored."""
    stored: list[str] = []

    def client(process: Process, number: int) -> None:
        connection = process.connect()
        for count in range(10_000):
            name = f"c{number}-{count}"
            path, body = (
                ("/v1/items", {"items": [{"item": name, "content": content(count)}]})
                if count % 2
                else ("/v1/feedback", {"events": [{"user": name, "item": "v01"}]})
            )
            try:
                status, _ = ask(connection, path, body)
            except OSError:
                break
            assert status == 201
            stored.append(name)
        connection.close()

    with running(run) as process:
        clients = [threading.Thread(target=client, args=(process, number)) for number in range(3)]
        for each in clients:
            each.start()
        while len(stored) < 40:
            time.sleep(0.01)
        process.end(signal.SIGKILL)
        for each in clients:
            each.join()
    items = [name for name in stored if int(name.split("-")[1]) % 2]
    served = Serving(run, Store(run / "service.sqlite")).current
    assert all(served.trained.codes(items))
    assert served.added >= len(items)
    told = {name for name in stored if int(name.split("-")[1]) % 2 == 0}
    assert told <= set(users(run / "service.sqlite"))


def test_feedback_becomes_a_log_that_trains(
    client: TestClient, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    events = [
        {"user": f"u{u}", "item": f"v{rng.integers(90):02d}", "time": f"2026-01-{1 + t:02d}T10:00:00+02:00"}
        for u in range(30)
        for t in range(6)
    ]
    shown = {"user": "u0", "item": "v39", "time": "2026-01-09T08:00:00Z", "label": 0}
    for start in range(0, 180, 60):
        answer = client.post("/v1/feedback", json={"events": [*events[start : start + 60], shown]})
        assert (answer.status_code, answer.json()) == (201, {"stored": 61})
    monkeypatch.chdir(run)
    assert command(["feedback", "store", "-o", "log.parquet"]) == 0
    assert "183 events of 30 users" in capsys.readouterr().err
    log = pl.read_parquet("log.parquet")
    assert log.columns == ["user", "item", "time", "label"]
    assert log["time"][0].isoformat() == "2026-01-01T08:00:00+00:00"
    assert log["label"].to_list().count(0) == 3
    assert len(sr.read("log.parquet").positives()) == 180
    assert command(["init", "log.parquet", "-o", "exp.toml"]) == 0
    options = ["--set", "method.use=siftrec:Markov"]
    assert command(["train", "exp.toml", "-o", "again", *options]) == 0, capsys.readouterr().err


def test_a_time_is_now_unless_told_and_never_one_that_spoils_the_log(client: TestClient, run: Path) -> None:
    assert client.post("/v1/feedback", json={"events": [{"user": "u", "item": "v"}]}).status_code == 201
    (told,) = Store(run / "store").feedback()[0].rows()
    assert (told[0], told[1], told[3]) == ("u", "v", 1)
    assert abs(told[2].timestamp() - time.time()) < 60
    for wrong in (
        "2026-01-01T00:00:00",
        "0001-01-01T00:00:00Z",
        "9999-01-01T00:00:00Z",
        "yesterday",
        "",
        "1700000000",
        5,
        True,
    ):
        answer = client.post("/v1/feedback", json={"events": [{"user": "u", "item": "v", "time": wrong}]})
        assert answer.status_code == 422


def test_feedback_without_a_store_or_a_parquet_name_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["feedback", str(tmp_path), "-o", str(tmp_path / "log.parquet")]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "service.sqlite").touch()
    assert command(["feedback", str(tmp_path), "-o", str(tmp_path / "log.parquet")]) == 3
    assert "not a store" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["service.sqlite"]
    assert (tmp_path / "service.sqlite").stat().st_size == 0  # to look at a file is not to write it
    Store(tmp_path / "service.sqlite").close()
    assert command(["feedback", str(tmp_path), "-o", str(tmp_path / "log.csv")]) == 2


def test_a_store_that_is_full_says_so_and_goes_on(run: Path) -> None:
    store = Store(run / "store")
    serving = Serving(run, store, most=3)
    with TestClient(create_app(serving, store), base_url="http://127.0.0.1") as client:
        for names, status in ((["a", "b"], 201), (["c", "d"], 507), (["c"], 201), (["d"], 507)):
            items = [{"item": name, "content": content()} for name in names]
            assert client.post("/v1/items", json={"items": items}).status_code == status
        assert client.post("/v1/recommend", json={"history": ["c"]}).json()["fallback"] is False
    assert Store(run / "store").counts()["items"] == 3


def events(*names: str) -> dict[str, Any]:
    return {"events": [{"user": name, "item": "v01"} for name in names]}


def users(path: Path) -> list[str]:
    return Store(path, write=False).feedback()[0]["user"].to_list()


def test_feedback_is_bounded_and_what_was_acknowledged_stays(run: Path) -> None:
    """Without a bound one client fills the disk; without an answer that says so, events are lost unseen."""
    store = Store(run / "store")
    app = create_app(Serving(run, store), store, Limits(events=4, poll_seconds=0.02))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        asked = (("a", "b"), 201), (("c", "d", "e"), 507), (("c",), 201), (("d",), 201), (("e",), 507)
        for names, status in asked:
            answer = client.post("/v1/feedback", json=events(*names))
            assert answer.status_code == status
            full = client.get("/health/ready").json()["full"]
            assert full == (["feedback"] if names in (("d",), ("e",)) else [])
        assert answer.json()["error"]["what"].startswith("4 events are stored, and at most 4 may be")
        assert client.post("/v1/recommend", json={"history": ["v01"]}).status_code == 200
        page = client.get("/metrics").text
        assert "siftrec_feedback_held 4.0" in page
        assert "siftrec_feedback_most 4.0" in page
        assert "507" in client.get("/openapi.json").json()["paths"]["/v1/feedback"]["post"]["responses"]
        assert users(run / "store") == ["a", "b", "c", "d"]
        assert command(["feedback", str(run / "store"), "-o", str(run / "log.parquet"), "--take-out"]) == 0
        until = time.monotonic() + 20
        while client.get("/health/ready").json()["full"]:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert client.post("/v1/feedback", json=events("e", "f", "g", "h")).status_code == 201
        assert client.post("/v1/feedback", json=events("i")).status_code == 507
    assert pl.read_parquet(run / "log.parquet")["user"].to_list() == ["a", "b", "c", "d"]
    assert users(run / "store") == ["e", "f", "g", "h"]


def test_events_are_taken_out_into_a_new_file_only(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file of last week is the only place where last week's events are."""
    store, old = Store(run / "store"), run / "old.parquet"
    store.add_events([Event("u", "v", 1, 1)], 9)
    old.write_text("last week")
    assert command(["feedback", str(run / "store"), "-o", str(old), "--take-out"]) == 2
    assert "name another file" in capsys.readouterr().err
    assert old.read_text() == "last week"
    (run / "file").touch()
    assert command(["feedback", str(run / "store"), "-o", str(run / "file" / "log.parquet"), "--take-out"]) == 6
    assert users(run / "store") == ["u"]


def test_events_that_come_while_others_are_taken_out_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that take out at once, and a service that writes: a place is never given twice."""
    monkeypatch.setattr(sys.modules[Store.__module__], "_SLICE", 3)
    store, other = Store(tmp_path / "store"), Store(tmp_path / "store")
    store.add_events([Event(f"u{count}", "v", count, 1) for count in range(10)], 99)
    (log, last), (again, too) = store.feedback(), other.feedback()
    assert (log.equals(again), last) == (True, too)
    store.add_events([Event("late", "v", 11, 1)], 99)
    store.take_out(last)
    store.take_out(store.feedback()[1])
    store.look()
    assert store.events == 0
    store.add_events([Event("later", "v", 12, 0)], 99)
    other.take_out(too)
    assert users(tmp_path / "store") == ["later"]
    assert store.events == 1
    assert log["user"].to_list() == [f"u{count}" for count in range(10)]
    Store(tmp_path / "empty").take_out(Store(tmp_path / "empty").feedback()[1])


def test_the_end_waits_for_who_still_reads_the_store(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, began, done = Store(run / "store"), threading.Event(), list[int]()
    serving = Serving(run, store)

    def slow() -> None:
        began.set()
        time.sleep(0.3)
        done.append(store.counts()["items"])

    monkeypatch.setattr(serving, "poll", slow)
    with TestClient(create_app(serving, store), base_url="http://127.0.0.1"):
        assert began.wait(10)
    assert done == [0]


def test_what_stays_wrong_is_said_once(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four lines a second fill the disk that the store is on."""
    store, looks = Store(run / "store"), threading.Semaphore(0)
    serving = Serving(run, store)

    def broken() -> None:
        looks.release()
        raise EnvironmentProblem("the disk is gone")

    monkeypatch.setattr(serving, "poll", broken)
    with TestClient(create_app(serving, store, Limits(poll_seconds=0.01)), base_url="http://127.0.0.1"):
        assert all(looks.acquire(timeout=10) for _ in range(5))
    assert capsys.readouterr().err == "error: the disk is gone\n"


def test_two_services_on_one_store_see_each_other_s_items(run: Path) -> None:
    here, there = (Serving(run, Store(run / "store")) for _ in range(2))
    here.add([Item("a", None, content(1))])
    there.add([Item("b", None, content(2))])  # it looks before it adds
    here.poll()
    assert here.current.trained.recommend(["a", "b"], 3).items == there.current.trained.recommend(["a", "b"], 3).items
    with pytest.raises(Conflict, match="'a'"):
        there.add([Item("a", None, content(1))])


def test_items_are_kept_in_order_and_a_conflict_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = [Item("b", "é", {"text": [0.1, -2.5e-7]}), Item("a", None, {"image": [1.0]})]
    assert store.add_items(first) == 2
    with pytest.raises(Conflict, match="'a'"):
        store.add_items([Item("c", None, {}), Item("a", None, {})])
    assert Store(tmp_path / "store").items_after(0) == (first, 2)
    assert store.items_after(2) == ([], 2)


def test_what_is_not_a_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be looked at " * 30)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE mine (a)")
    other.close()
    for name in ("text", "other"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(DataError, match="not a store"):
            Store(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(EnvironmentProblem, match="unable to open"):
        Store(tmp_path / "nowhere" / "store")


def test_what_cannot_be_written_is_not_acknowledged(client: TestClient, run: Path) -> None:
    """A store that another process holds, as a full disk would, gives 503 and the service goes on."""
    store = Store(run / "store")
    store.add_events([Event("u", "v", 1, 1)], 9)
    with sqlite3.connect(run / "store", isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        answer = client.post("/v1/feedback", json={"events": [{"user": "u", "item": "v"}]})
        assert answer.status_code == 503
        assert client.post("/v1/recommend", json={"history": ["v01"]}).status_code == 200
        holder.execute("ROLLBACK")
    holder.close()
    assert store.counts()["feedback"] == 1


def test_a_store_that_breaks_is_nobody_s_fault_and_no_path_is_told(run: Path) -> None:
    """A 4xx has the client drop the event for good; 503 has it come back when the disk is mended."""
    store = Store(run / "store")
    store.add_events([Event("u" * 50, "v" * 50, 1, 1)] * 2000, 9999)
    store.close()
    with (run / "store").open("r+b") as file:
        file.seek(2 * 4096)  # what is opened and read at the start is whole
        file.write(b"\xff" * 2 * 4096)
    store = Store(run / "store")
    with TestClient(create_app(Serving(run, store), store), base_url="http://127.0.0.1") as client:
        for path, body in (
            ("feedback", {"events": [{"user": "u" * 50, "item": "v" * 50}] * 1000}),
            ("items", {"items": [{"item": "a", "content": content()}]}),
        ):
            answer = client.post(f"/v1/{path}", json=body)
            assert answer.status_code == 503
            assert str(run) not in answer.text
        assert client.post("/v1/recommend", json={"history": ["v01"]}).status_code == 200


@pytest.mark.parametrize("vector", [[0.0] * 6, [1e-300] * 6, [1e15] * 6, [1e15, -1e15, 0.0, 1e-40, -0.0, 1.0]])
def test_extreme_content_gives_numbers_or_a_refusal(client: TestClient, vector: list[float]) -> None:
    body = {"items": [{"item": "odd", "content": {"text": vector, "image": vector}}]}
    status = client.post("/v1/items", json=body).status_code
    assert status in (201, 422)
    for history in (["v01"], ["odd"] if status == 201 else []):
        answer = client.post("/v1/recommend", json={"history": history, "k": 50, "explain": True})
        assert answer.status_code == 200
        assert all(isinstance(each["score"], float) for each in answer.json()["items"])
    if status == 201:
        assert client.post("/v1/similar", json={"item": "odd"}).status_code == 200
