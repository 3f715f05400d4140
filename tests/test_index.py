"""The best items for a user: the same as looking at every score, whoever else is asked for, whatever is excluded."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import siftrec as sr
from siftrec.data.catalog import Catalog, Modality
from siftrec.errors import EnvironmentProblem, UsageError
from siftrec.index import Approximate, Exact, Found, centres_of
from siftrec.methods.trained import Trained
from train.tiny import split

NOBODY = torch.empty(0, dtype=torch.int64)
faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs the extra `ann` (faiss-cpu)")


def table(items: int, dim: int = 8, seed: int = 0, distinct: int = 10_000) -> torch.Tensor:
    """Clustered item vectors, of which `distinct` differ; row 0 is padding."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(30, dim)) * np.arange(1, dim + 1) ** -0.5
    rows = middle[rng.integers(0, 30, distinct)] + 0.3 * rng.normal(size=(distinct, dim))
    chosen = rng.integers(0, distinct, items + 1) if distinct < items else rng.permutation(distinct)[: items + 1]
    vectors = torch.from_numpy(rows[chosen].astype(np.float32))
    vectors[0] = 0
    return vectors


def plain(items_ND: torch.Tensor, user_D: torch.Tensor, k: int, exclude: set[int], only: set[int] | None) -> list[int]:
    """The k best codes by a loop over everything."""
    able = [code for code in range(1, len(items_ND)) if code not in exclude and (only is None or code in only)]
    score = {code: np.float32((items_ND[code].double() * user_D.double()).sum()) for code in able}
    return sorted(able, key=lambda code: (-score[code], code))[:k]


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.sampled_from([3, 40, 700]),
    st.integers(1, 60),
    st.booleans(),
    st.sampled_from([2, 10_000]),
)
def test_exact_is_a_loop_over_every_item(seed: int, items: int, k: int, some: bool, distinct: int) -> None:
    """With ties (2 distinct vectors), allow-lists, exclusions, and fewer items than asked for."""
    rng = np.random.default_rng(seed)
    items_ND, users_BD = table(items, seed=seed, distinct=distinct), table(2, seed=seed + 1)
    exclude = [rng.integers(0, items + 1, rng.integers(0, 9)) for _ in users_BD]
    only = [rng.integers(1, items + 1, max(1, items // 3)) for _ in users_BD]
    found = Exact(items_ND).search(
        users_BD,
        k,
        [torch.from_numpy(each) for each in exclude],
        [torch.from_numpy(each) for each in only] if some else None,
    )
    for one, user_D, banned, mine in zip(found, users_BD, exclude, only, strict=True):
        among = set(mine.tolist()) if some else None
        assert one.codes_K.tolist() == plain(items_ND, user_D, k, set(banned.tolist()), among)


def same(left: Found, right: Found) -> bool:
    return torch.equal(left.codes_K, right.codes_K) and torch.equal(left.scores_K, right.scores_K)


@pytest.mark.parametrize("distinct", [50, 10_000])
def test_a_user_s_answer_does_not_depend_on_who_else_is_asked_for(distinct: int) -> None:
    items_ND, users_BD = table(5000, 64, distinct=distinct), table(70, 64, seed=3)
    index = Exact(items_ND)
    together = index.search(users_BD, 10, [NOBODY] * len(users_BD))
    for row, one in enumerate(together):
        (alone,) = index.search(users_BD[row : row + 1], 10, [NOBODY])
        assert same(alone, one)


@pytest.fixture(scope="module")
def model() -> Trained:
    whole = split(users=40)
    size = len(whole.items) - 1
    text = Modality(np.random.default_rng(0).normal(size=(size, 4)).astype(np.float32), np.ones(size, bool))
    return sr.fit(sr.CCL4Rec(dim=8, length=6), whole, Catalog(whole.items.ids, text=text), epochs=1)


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from([*(f"v{i}" for i in range(9)), "zzz"]), max_size=9), min_size=1, max_size=11))
def test_a_history_is_answered_alike_alone_and_in_a_batch(model: Trained, histories: list[list[str]]) -> None:
    assert model.recommend_many(histories, k=4) == [model.recommend(history, k=4) for history in histories]


@pytest.mark.parametrize("method", [sr.CCL4Rec(dim=8, length=6), sr.ItemKNN(), sr.Popularity()])
@pytest.mark.parametrize("history", [["v1", "v2"], ["zzz"]])
def test_an_allow_list_keeps_scores_and_order(method: object, history: list[str]) -> None:
    """A shop that may only offer what is in stock; popularity answers where nothing of the history is known."""
    model = sr.fit(method, split(), epochs=1)  # type: ignore[arg-type]
    free = dict(model.recommend(history, k=9, seen=True))
    stock = ["v7", "v3", "nobody", "v1", "v3"]
    found = dict(model.recommend(history, k=9, seen=True, only=stock))
    assert found == {item: score for item, score in free.items() if item in stock}
    assert list(found) == [item for item in free if item in stock]
    assert model.recommend(history, only=[]).items == []
    assert "v3" not in model.recommend(history, seen=True, only=stock, exclude=["v3"]).items


def test_what_is_no_list_is_refused_and_a_generator_will_do(model: Trained) -> None:
    for wrong in (17, None):
        for ask in (model.recommend, lambda ids: model.recommend(["v1"], exclude=ids)):
            with pytest.raises(UsageError, match=f"{wrong} is no list; a list of item ids is needed"):
                ask(wrong)
    assert model.recommend_many((v for v in ["v1"]) for _ in range(2)) == model.recommend_many([["v1"]] * 2)


def test_similar_is_the_cosine_of_item_vectors(model: Trained) -> None:
    vectors = model.scorer.items().numpy().astype(np.float64)  # type: ignore[attr-defined]
    own, rest = vectors[model.codes(["v4"])[0]], {raw: vectors[model.codes([raw])[0]] for raw in model.items.ids}
    right = {raw: own @ each / np.linalg.norm(own) / np.linalg.norm(each) for raw, each in rest.items() if raw != "v4"}
    found = model.similar("v4", k=99)
    assert [raw for raw, _ in found] == sorted(right, key=lambda raw: -right[raw])
    assert dict(found) == pytest.approx(right, abs=1e-6)
    assert model.similar("v4", k=2) == found[:2]
    assert model.similar("v4", k=99, exclude=[found[0][0], found[3][0], "zzz"]) == [*found[1:3], *found[4:]]
    with pytest.raises(UsageError, match="'v1' is text; a list"):
        model.similar("v4", exclude="v1")


def test_similar_refuses_what_has_no_vector(model: Trained) -> None:
    with pytest.raises(UsageError, match="item 'zzz' is not in the catalog of 9 items"):
        model.similar("zzz")
    for ask in (lambda counted: counted.similar("v1"), lambda counted: counted.users([["v1"]])):
        with pytest.raises(UsageError, match="ItemKNN counts; it has no vectors"):
            ask(sr.fit(sr.ItemKNN(), split()))


def test_users_are_the_vectors_behind_the_scores(model: Trained) -> None:
    scores = dict(model.recommend(["v1", "v2"], k=9, seen=True))
    user_D = model.users([["v5"], ["v1", "v2"]])[1]
    by_hand = model.scorer.items() @ user_D  # type: ignore[attr-defined]
    assert scores == pytest.approx({raw: float(by_hand[model.codes([raw])[0]]) for raw in scores}, abs=1e-6)


@faiss
@pytest.mark.parametrize(("size", "dim"), [(20_000, 32), pytest.param(100_000, 64, marks=pytest.mark.slow)])
def test_approximate_finds_98_of_100_and_only_what_is_allowed(size: int, dim: int) -> None:
    items_ND, users_BD = table(size, dim, distinct=size + 1), table(400, dim, seed=2)
    index, exact = Approximate(items_ND, users_BD[1:200]), Exact(items_ND)
    asked_BD = users_BD[200:]
    assert index.probed < 0.5
    for banned in (0, 5, 60, 2000):  # of the best: their own items, what was shown before, what is out of stock
        exclude = [each.codes_K for each in exact.search(asked_BD, max(banned, 1), [NOBODY] * len(asked_BD))]
        exclude = exclude if banned else [NOBODY] * len(asked_BD)
        right = exact.search(asked_BD, 10, exclude)
        found = index.search(asked_BD, 10, exclude)
        assert recall(right, found) >= 0.98
        assert not any(np.isin(each.codes_K, out).any() for each, out in zip(found, exclude, strict=True))
        assert same(index.search(asked_BD[7:8], 10, exclude[7:8])[0], found[7])
    for k in (100, 300):
        nobody = [NOBODY] * 20
        assert recall(exact.search(asked_BD[:20], k, nobody), index.search(asked_BD[:20], k, nobody)) >= 0.97


def recall(right: list[Found], found: list[Found]) -> float:
    hits = sum(len({*a.codes_K.tolist()} & {*b.codes_K.tolist()}) for a, b in zip(right, found, strict=True))
    return hits / sum(len(each.codes_K) for each in right)


@faiss
def test_approximate_gives_k_answers_wherever_they_exist() -> None:
    items_ND = table(2000, 8)
    index, exact, users_BD = Approximate(items_ND, table(50, 8, seed=4)), Exact(items_ND), table(5, 8, seed=5)
    asked = [(1990, range(1, 1500), None), (10, range(0), torch.arange(5, 12)), (5, range(1, 1999), None)]
    for k, banned, only in asked:
        exclude = [torch.tensor([*banned], dtype=torch.int64)] * len(users_BD)
        left, right = (each.search(users_BD, k, exclude, only) for each in (index, exact))
        assert all(same(*pair) for pair in zip(left, right, strict=True))


@faiss
def test_clusters_of_another_table_cost_time_and_no_items() -> None:
    """A cache can be stale or forged; what is recommended must not depend on it."""
    items_ND, users_BD = table(2000, 8), table(300, 8, seed=4)
    for odd in (table(len(centres_of(items_ND)), 8, seed=9)[1:] + 100, torch.zeros_like(centres_of(items_ND))):
        index = Approximate(items_ND, users_BD, lambda _, odd=odd: odd)
        assert index.recall >= 0.985
        asked = [NOBODY] * len(users_BD)
        assert recall(Exact(items_ND).search(users_BD, 10, asked), index.search(users_BD, 10, asked)) >= 0.98


@faiss
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 60), st.booleans())
def test_items_behind_the_clusters_are_found_exactly(seed: int, behind: int, some: bool) -> None:
    """An item that was added a moment ago, far better than all others, in one portion or in two."""
    rng, whole_ND = np.random.default_rng(seed), table(1500 + behind, 8, seed=seed)
    whole_ND[1501:] *= 3
    users_BD, few = table(4, 8, seed=seed + 1), table(60, 8, seed=seed + 2)
    first = Approximate(whole_ND[:1501], few)
    index = first.extended(whole_ND[: 1501 + behind // 2]).extended(whole_ND) if some else first.extended(whole_ND)
    exclude = [torch.from_numpy(rng.integers(1400, 1501 + behind, 30)) for _ in users_BD]
    right, found = (each.search(users_BD, 10, exclude) for each in (Exact(whole_ND), index))
    for a, b, banned in zip(right, found, exclude, strict=True):
        assert {code for code in a.codes_K.tolist() if code > 1500} <= set(b.codes_K.tolist())
        assert not np.isin(b.codes_K, banned).any()
    only = torch.arange(1490, 1501 + behind)
    pairs = zip(*(each.search(users_BD, 10, exclude, only) for each in (Exact(whole_ND), index)), strict=True)
    assert all(same(*pair) for pair in pairs)
    assert all((each.codes_K <= 1500).all() for each in first.search(users_BD, 10, exclude))


@faiss
def test_a_model_answers_by_an_approximate_index_and_keeps_it_when_items_come(model: Trained) -> None:
    faster, content = model.approximated(), {"text": np.ones((1, 4))}
    assert faster.recommend(["v1", "v2"], k=4) == model.recommend(["v1", "v2"], k=4)
    wider = faster.add_items(["n"], content)
    assert isinstance(wider.index, Approximate)
    assert wider.recommend(["n", "v2"], k=9, seen=True) == model.add_items(["n"], content).recommend(
        ["n", "v2"], k=9, seen=True
    )


def test_without_the_extra_the_message_says_what_to_install(model: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'siftrec\[ann\]'"):
        model.approximated()
