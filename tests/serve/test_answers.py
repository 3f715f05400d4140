"""Every route gives what the library gives, in the shape that the OpenAPI page promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

import siftrec as sr
from siftrec.methods.trained import Trained
from siftrec.serve import schema
from siftrec.serve.app import create_app
from siftrec.serve.model import Serving
from siftrec.serve.store import Store


@pytest.fixture
def trained(run: Path) -> Trained:
    return sr.load(run)


def post(client: TestClient, path: str, status: int = 200, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_recommend_is_the_library_s_answer(client: TestClient, trained: Trained) -> None:
    told = post(client, "/v1/recommend", history=["v01", "zzz", "v04"], k=5, exclude=["v02"])
    schema.Recommended.model_validate(told)
    expected = trained.recommend(["v01", "v04"], 5, exclude=["v02"])
    assert [each["item"] for each in told["items"]] == expected.items
    assert [each["score"] for each in told["items"]] == expected.scores
    assert (told["unknown"], told["fallback"], told["explanation"]) == (["zzz"], False, None)


def test_only_allowed_items_are_recommended(client: TestClient) -> None:
    told = post(client, "/v1/recommend", history=["v01"], only=["v05", "v07", "nope"])
    assert {each["item"] for each in told["items"]} == {"v05", "v07"}


def test_a_history_without_a_known_item_is_answered_by_popularity_and_says_so(
    client: TestClient, trained: Trained
) -> None:
    told = post(client, "/v1/recommend", history=["x", "y"], k=3)
    assert (told["fallback"], told["unknown"]) == (True, ["x", "y"])
    most = np.argsort(-trained.popularity[1:], kind="stable")[:3]
    assert [each["item"] for each in told["items"]] == trained.items.ids.gather(most).to_list()
    page = client.get("/metrics").text
    assert "siftrec_unknown_items_total 2.0" in page
    assert "siftrec_fallback_total 1.0" in page


def test_explain_tells_what_the_library_tells(client: TestClient, trained: Trained) -> None:
    told = post(client, "/v1/recommend", history=["v01", "v04"], explain=True)["explanation"]
    for row, each in zip(told["interactions"], sr.explain(trained, ["v01", "v04"]), strict=True):
        assert (row["item"], row["attention"], row["noise"]) == (each.item, each.share, each.noise)
        assert row["modalities"] == each.modalities
    assert told["interactions"][0]["title"] == "<i>One</i>"  # as it is: what makes it safe is the page
    assert told["unread"] == 0


def test_similar_is_the_library_s_answer_and_an_unknown_item_is_404(client: TestClient, trained: Trained) -> None:
    told = post(client, "/v1/similar", item="v01", k=3)
    schema.Likened.model_validate(told)
    assert [(each["item"], each["score"]) for each in told["items"]] == trained.similar("v01", 3)
    assert "v99" in post(client, "/v1/similar", 404, item="v99")["error"]["what"]


def test_search_finds_titles_and_ids_in_any_case_most_popular_first(client: TestClient, trained: Trained) -> None:
    most = trained.items.ids.gather(np.argsort(-trained.popularity[1:], kind="stable")).to_list()
    found = client.get("/v1/search", params={"limit": 5}).json()
    schema.Found.model_validate(found)
    assert [each["item"] for each in found["items"]] == most[:5]
    assert [each["item"] for each in client.get("/v1/search?q=oNE").json()["items"]] == ["v01"]
    inside = [each["item"] for each in client.get("/v1/search?q=V1").json()["items"]]
    assert inside == [item for item in most if "v1" in item]
    assert client.get("/v1/search?q=.*").json() == {"items": []}  # text, not a pattern


def test_model_tells_where_it_comes_from(client: TestClient, trained: Trained) -> None:
    told = client.get("/v1/model").json()
    schema.About.model_validate(told)
    assert (told["method"], told["items"], told["added"], told["explains"]) == ("siftrec:Demure", 40, 0, True)
    assert told["modalities"][1] == {"name": "image", "width": 6, "coverage": 0.75}
    assert told["facts"]["train"] == trained.facts.train


def test_errors_have_one_shape(client: TestClient) -> None:
    for answer in (
        client.get("/nothing"),
        client.put("/v1/model"),
        client.get("/v1/search?limit=x"),
        client.post("/v1/recommend", content="{", headers={"Content-Type": "application/json"}),
        client.post("/v1/recommend", json={"history": [1]}),
        client.post("/v1/recommend", content="a=1"),
        client.post("/v1/similar", json={"item": "nope"}),
    ):
        assert 400 <= answer.status_code < 500
        schema.Failed.model_validate(answer.json())
    assert client.post("/v1/recommend", json={"history": ["a"], "k": 0}).json()["error"]["where"] == "body.k"


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"history": ["a"] * (schema.HISTORY + 1)}, "history"),
        ({"history": [], "exclude": ["a"] * (schema.LISTED + 1)}, "exclude"),
        ({"history": [], "only": ["a"] * (schema.LISTED + 1)}, "only"),
        ({"history": [], "k": schema.MOST + 1}, "k"),
        ({"history": ["a" * (schema.ID_CHARACTERS + 1)]}, "history.0"),
        ({"history": [], "K": 3}, "K"),
    ],
)
def test_what_is_out_of_bounds_or_unknown_is_refused_by_name(
    client: TestClient, asked: dict[str, Any], where: str
) -> None:
    assert post(client, "/v1/recommend", 422, **asked)["error"]["where"] == f"body.{where}"


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[TestClient]:
    """A method that counts, on a catalog whose ids are whole numbers."""
    rows = [(user, item, time) for user in range(30) for time, item in enumerate(((user % 3), 3 + user % 2, 5))]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    split = sr.leave_one_out(sr.Interactions(log.with_row_index("row").cast({"row": pl.Int64}), "order"))
    sr.save(sr.fit(sr.Markov(), split), tmp_path / "artifact")
    store = Store(tmp_path / "store")
    with TestClient(create_app(Serving(tmp_path, store), store), base_url="http://localhost") as client:
        yield client


def test_whole_number_ids_are_text_over_http(counted: TestClient) -> None:
    told = post(counted, "/v1/recommend", history=["0", "07", "3"], k=2)
    assert told["unknown"] == ["07"]
    assert all(isinstance(each["item"], str) for each in told["items"])


def test_a_method_without_an_opinion_or_vectors_says_so(counted: TestClient) -> None:
    assert post(counted, "/v1/recommend", history=["0"], explain=True)["explanation"] is None
    assert counted.get("/v1/model").json()["explains"] is False
    item = {"item": "77", "content": {"text": [1.0]}}
    assert post(counted, "/v1/items", 422, items=[item])["error"]["what"]


def test_the_page_may_run_nothing_but_its_own_files(client: TestClient) -> None:
    for path in ("/", "/static/app.js"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
