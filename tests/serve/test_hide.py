"""What is taken down is in no answer, of any process, after a restart and of a later model, until it is shown again."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import siftrec as sr
from cli.modal import modal_run
from serve.test_store import content, events, users
from siftrec.errors import DataError
from siftrec.serve import schema
from siftrec.serve import store as stores
from siftrec.serve.app import create_app
from siftrec.serve.model import Serving
from siftrec.serve.store import Event, Item, Missing, Store

ALL = {f"v{number:02d}" for number in range(40)}


def turned(client: TestClient, how: str, *items: str) -> tuple[int, Any]:
    answer = client.post(f"/v1/items/{how}", json={"items": list(items)})
    return answer.status_code, answer.json()


def found(client: TestClient) -> dict[str, set[str]]:
    """Ids of the whole catalog's answers by route."""
    asked = {
        "recommend": client.post("/v1/recommend", json={"history": ["v01"], "k": 99}),
        "fallback": client.post("/v1/recommend", json={"history": [], "k": 99}),
        "only": client.post("/v1/recommend", json={"history": ["v01"], "k": 99, "only": sorted(ALL)}),
        "similar": client.post("/v1/similar", json={"item": "v01", "k": 99}),
        "search": client.get("/v1/search?limit=100"),
    }
    return {name: {each["item"] for each in answer.json()["items"]} for name, answer in asked.items()}


def test_hidden_items_are_in_no_answer_and_count_in_histories(client: TestClient) -> None:
    before, history = found(client), {"history": ["v05", "v07"], "only": ["v10", "v11"]}
    gone = {"v05", "v06", "new"}
    scores = client.post("/v1/recommend", json=history).json()["items"]
    assert all("v06" in ids for ids in before.values())
    new = {"items": [{"item": "new", "title": "One more", "content": content()}]}
    assert client.post("/v1/items", json=new).status_code == 201
    status, told = turned(client, "hide", *sorted(gone), "v05")
    assert (status, told["hidden"]) == (200, 3)
    schema.Hidden.model_validate(told)
    assert found(client) == {name: ids - gone for name, ids in before.items()}
    assert client.get("/v1/search?q=one more").json() == {"items": []}
    assert client.post("/v1/recommend", json=history).json()["items"] == scores
    assert client.post("/v1/similar", json={"item": "v05"}).status_code == 200  # what is like it may be asked
    assert client.get("/v1/model").json()["hidden"] == 3
    assert "siftrec_items_hidden 3.0" in client.get("/metrics").text
    assert turned(client, "show", "v05", "v06", "v09")[1]["hidden"] == 1
    assert found(client) == before


def test_items_that_nobody_knows_are_named_and_none_is_hidden(client: TestClient, run: Path) -> None:
    """A typo would leave the item where it is, and whoever took it down would not know."""
    for how in ("hide", "show"):
        status, told = turned(client, how, "v01", "v1", "v2")
        assert (status, told["error"]["what"]) == (404, "no item 'v1' in the catalog")
        assert turned(client, how)[0] == 422
        assert turned(client, how, *["v01"] * (schema.BATCH + 1))[0] == 422
    assert client.get("/v1/model").json()["hidden"] == 0
    assert Store(run / "store").turned_after(0) == ([], 0)


def test_it_lasts_is_shared_and_comes_along_to_a_new_model(run: Path, tmp_path: Path) -> None:
    here, there = (Serving(run, Store(run / "store")) for _ in range(2))
    here.hide(["v05", "v06"], True)
    there.poll()
    assert there.current.hidden == {"v05", "v06"}
    there.hide(["v06"], False)
    there.hide(["v07"], True)
    here.poll()
    assert here.current.hidden == Serving(run, Store(run / "store")).current.hidden == {"v05", "v07"}
    (tmp_path / "next").mkdir()
    sr.save(sr.load(modal_run(tmp_path / "next", use="siftrec:LateFusion")), run / "artifact")
    before = here.current.version
    here.poll()
    assert here.current.version != before
    assert here.current.hidden == {"v05", "v07"}


def test_an_id_that_a_new_model_lost_can_be_shown_and_stays_hidden_until_then(run: Path) -> None:
    store = Store(run / "store")
    store.hide(["lost"], True)
    serving = Serving(run, store)
    assert serving.current.hidden == {"lost"}
    with pytest.raises(Missing):
        serving.hide(["lost"], True)
    assert serving.hide(["lost"], False).hidden == frozenset()


def earlier(path: Path) -> None:
    """A store as the version before made it, with an item and an event."""
    with sqlite3.connect(path) as base:
        base.executescript(stores._STEPS[0])
        base.execute(f"PRAGMA application_id = {stores._KIND}")
        base.execute("PRAGMA user_version = 1")
        base.execute("INSERT INTO items (item, title, content) VALUES ('a', NULL, '{\"text\": [1.0]}')")
        base.execute("INSERT INTO feedback (user, item, time, label) VALUES ('u', 'a', 1, 1)")
    base.close()


def test_a_store_of_the_earlier_version_is_read_as_it_is_and_extended_when_it_is_served(tmp_path: Path) -> None:
    path = tmp_path / "store"
    earlier(path)
    before = path.read_bytes()
    assert users(path) == ["u"]
    assert path.read_bytes() == before
    first, second = Store(path), Store(path)
    assert first.items_after(0)[0] == [Item("a", None, {"text": [1.0]})]
    first.hide(["a"], True)
    second.add_events([Event("w", "a", 2, 1)], 9)
    assert second.turned_after(0) == ([("a", True)], 1)
    assert users(path) == ["u", "w"]


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "store").close()
    with sqlite3.connect(tmp_path / "store") as base:
        base.execute("PRAGMA user_version = 99")
    base.close()
    for write in (True, False):
        with pytest.raises(DataError, match=r"version 99.*install a newer one"):
            Store(tmp_path / "store", write)


def test_what_is_not_on_disk_is_not_hidden(run: Path) -> None:
    store = Store(run / "store")
    with TestClient(create_app(Serving(run, store), store), base_url="http://127.0.0.1") as client:
        (run / "store").rename(run / "away")
        assert turned(client, "hide", "v05")[0] == 503
        assert client.post("/v1/feedback", json=events("a")).status_code == 503
        assert "v05" in found(client)["recommend"]
