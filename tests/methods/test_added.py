"""Items that come after training: recommended and read like any other, by their content alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import siftrec as sr
from siftrec.artifact import load, save
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import DataError, SiftrecError, UsageError
from siftrec.methods.base import Method
from siftrec.methods.ccl4rec import importance_of
from siftrec.methods.explain import explain
from siftrec.methods.gates import Gate
from siftrec.methods.trained import Trained
from train.tiny import Tiny, split, weights_hash

SMALL: dict[str, Any] = {"dim": 8, "length": 6}
SENSITIVE = sr.Denoise(pooling=True, detector=Likelihood(folds=2, dim=4, epochs=1, steps=5))
METHODS: dict[str, Method] = {
    **{
        f"ccl4rec {name}": sr.CCL4Rec(encoder=name, **SMALL)
        for name in ("context", "recent", "mean", "gru", "transformer")
    },
    "ccl4rec without ids": sr.CCL4Rec(ids=False, **SMALL),
    "late": sr.LateFusion(**SMALL),
    "demure late": sr.Demure(base=sr.LateFusion(**SMALL)),
    "demure early": sr.Demure(base=sr.CCL4Rec(**SMALL)),
    "demure sasrec": sr.Demure(base=sr.SASRec(heads=2, blocks=1, **SMALL)),
    "demure attention": sr.Demure(base=sr.CCL4Rec(**SMALL), gate=Gate(kind="attention")),
    "denoise": sr.CCL4Rec(denoise=SENSITIVE, **SMALL),
}
COLD, PARTIAL = "v1cold", "v1partial"
"""Items that nobody had: one with both modalities, one without an image. They sort among the others."""


def content(seed: int, count: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def trained(method: Method) -> Trained:
    whole = split(users=40)
    ids = pl.concat([whole.items.ids, pl.Series("id", [COLD, PARTIAL])]).sort()
    image = np.arange(len(ids)) % 2 == 0
    image[[ids.to_list().index(COLD), ids.to_list().index(PARTIAL)]] = True, False
    catalog = Catalog(
        ids,
        text=Modality(content(0, len(ids), 4), np.ones(len(ids), bool)),
        image=Modality(content(1, len(ids), 300), image),  # wide enough to be turned
    )
    return sr.fit(method, whole, catalog, epochs=2, batch_size=32)


@pytest.fixture(scope="module", params=METHODS)
def model(request: pytest.FixtureRequest) -> Trained:
    return trained(METHODS[request.param])


@pytest.fixture(scope="module")
def demure() -> Trained:
    return trained(METHODS["demure early"])


def raw(model: Trained, *ids: str) -> dict[str, np.ndarray]:
    """What the catalog holds of items, as a client would send it."""
    rows = model.items.encode(pl.Series(ids)) - 1
    size = len(model.items) - 1 - model.added
    found = {"text": content(0, size, 4)[rows], "image": content(1, size, 300)[rows]}
    found["image"][[each == PARTIAL for each in ids]] = np.nan
    return found


def twins(model: Trained) -> Trained:
    return model.add_items(["new cold", "new partial"], raw(model, COLD, PARTIAL), {"new cold": "<b>Cold</b>"})


def scores(model: Trained, *history: str) -> torch.Tensor:
    codes = model.items.encode(pl.Series(history)).astype(np.int64)
    with torch.inference_mode():
        return model.scorer.scores(torch.from_numpy(codes).unsqueeze(0))[0]


def test_a_new_item_is_what_a_known_one_of_its_content_would_be(model: Trained) -> None:
    """A client's new item would otherwise be recommended by another measure than the catalog's own."""
    wider = twins(model)
    new, old = wider.codes(["new cold", "new partial"]), wider.codes([COLD, PARTIAL])
    vectors_ND = wider.scorer.items()  # type: ignore[attr-defined]
    torch.testing.assert_close(vectors_ND[new], vectors_ND[old], atol=1e-6, rtol=1e-6)
    assert vectors_ND[new].norm(dim=1).min() > 1e-3
    found_N = scores(wider, "v1", "v5", COLD)
    torch.testing.assert_close(found_N[new], found_N[old], atol=1e-6, rtol=1e-6)


def test_a_new_item_in_a_history_counts_as_its_twin_does(model: Trained) -> None:
    wider = twins(model)
    if wider.method == METHODS["denoise"]:  # whose detector knows the twin
        assert explain(wider, ["v1", "new cold", "v2"]).interactions[1].noise is None
    else:
        for new, old in (("new cold", COLD), ("new partial", PARTIAL)):
            torch.testing.assert_close(
                scores(wider, "v1", new, "v2"), scores(wider, "v1", old, "v2"), atol=1e-6, rtol=1e-6
            )
    assert not torch.equal(scores(wider, "v1", "new cold", "v2"), scores(wider, "v1", "v2"))
    assert wider.recommend(["new cold"], k=3).fallback is False


def test_the_model_that_items_are_added_to_stays_as_it_is(model: Trained) -> None:
    """A service answers from the old snapshot while the new one is made."""
    histories = [["v1", "v2"], ["v4"], []]
    before, state = model.recommend_many(histories, k=5), weights_hash(model)
    wider = twins(model)
    assert (model.recommend_many(histories, k=5), weights_hash(model)) == (before, state)
    assert model.recommend(["new cold"]).unknown == ["new cold"]
    old = wider.recommend_many(histories, k=5, only=model.items.ids.to_list())
    assert old == before
    own, shared = (dict(each.scorer.named_parameters()) for each in (model, wider))  # type: ignore[attr-defined]
    assert all(shared[name] is each for name, each in own.items())


def test_one_by_one_is_at_once(model: Trained) -> None:
    each = raw(model, COLD, PARTIAL)
    one = model.add_items(["b"], {name: rows[:1] for name, rows in each.items()})
    both = one.add_items(["a"], {"text": each["text"][1:]})
    together = model.add_items(["b", "a"], each)
    histories = [["v1", "b"], ["a", "v3", "v5"], []]
    assert both.recommend_many(histories, k=20) == together.recommend_many(histories, k=20)
    assert (both.added, both.items.ids.to_list()) == (2, together.items.ids.to_list())
    assert weights_hash(both) == weights_hash(together)
    assert both.contents == together.contents


def test_added_items_survive_saving_and_can_be_added_to_a_loaded_model(model: Trained, tmp_path: Path) -> None:
    wider = twins(model)
    save(wider, tmp_path / "wider")
    save(model, tmp_path / "plain")
    histories = [["v1", "new cold"], ["new partial"], []]
    answers = wider.recommend_many(histories, k=20)
    for again in (load(tmp_path / "wider"), twins(load(tmp_path / "plain"))):
        assert again.recommend_many(histories, k=20) == answers
        assert (again.added, again.titles, again.contents) == (2, {"new cold": "<b>Cold</b>"}, wider.contents)
    more = load(tmp_path / "wider").add_items(["third"], raw(model, COLD))
    assert len(more.recommend(["v1"], k=50).items) == len(more.items) - 2


def test_whoever_judges_by_what_training_saw_says_nothing_of_new_items() -> None:
    wider = twins(trained(METHODS["ccl4rec context"]))
    codes = wider.codes(["v1", "new cold", "v2"])
    found = importance_of(wider, Sequences.from_items(codes, np.array([3])))
    without = Sequences.from_items(codes[[0, 2]], np.array([2]))
    assert found[1] == 0
    assert found[[0, 2]].tolist() == importance_of(wider, without).tolist()


def test_a_tie_goes_to_the_item_that_was_there_first(demure: Trained) -> None:
    wider = demure.add_items(["b"], raw(demure, COLD)).add_items(["a"], raw(demure, COLD))
    items = wider.recommend(["v1", "v2"], k=50).items
    assert items.index("a") == items.index("b") + 1


def test_explanations_name_the_modalities_of_new_items(demure: Trained) -> None:
    (first, second) = explain(twins(demure), ["new cold", "new partial"])
    assert first.modalities["image"] is not None
    assert second.modalities["image"] is None


def test_coverage_and_popularity_follow(demure: Trained) -> None:
    wider = twins(demure)
    assert [each.coverage for each in wider.contents] == pytest.approx([1, 7 / 13])
    assert wider.popularity[-2:].tolist() == [0, 0]
    assert wider.recommend([], k=13).items[-2:] == ["new cold", "new partial"]


NOTHING = np.full((1, 4), np.nan, np.float32)
REFUSED: dict[str, tuple[list[Any], dict[str, Any], type[SiftrecError], str]] = {
    "known": (["v1"], {"text": np.ones((1, 4))}, UsageError, "item 'v1' is in the catalog already"),
    "twice": (["n", "n"], {"text": np.ones((2, 4))}, DataError, "item 'n' is there twice"),
    "another type": ([7], {"text": np.ones((1, 4))}, DataError, "id 7 is not text as all others are"),
    "half a character": (["\ud83d"], {"text": np.ones((1, 4))}, DataError, "is not text as all others are"),
    "width": (["n"], {"text": np.ones((1, 5))}, DataError, r"float64 \[1, 5\], and must be numbers \[1, 4\]"),
    "rows": (["n"], {"text": np.ones((2, 4))}, DataError, r"must be numbers \[1, 4\]: a row for each item"),
    "not numbers": (["n"], {"text": np.array([["a"] * 4])}, DataError, "must be numbers"),
    "unknown modality": (["n"], {"txt": np.ones((1, 4))}, DataError, "no modality 'txt'.*'text'.*; it has text, image"),
    "no modality": (["n"], {}, DataError, "item 'n' has no content; it needs at least one of text, image"),
    "all absent": (["n"], {"text": NOTHING}, DataError, "item 'n' has no content"),
    "half a row": (["n"], {"text": [[1, 2, 3, np.nan]]}, DataError, "item 'n': text holds NaN or infinity"),
    "zeros": (
        ["n"],
        {"text": np.zeros((1, 4))},
        DataError,
        "item 'n': text is all zeros; give it a value, or leave it",
    ),
    "zeros in float32": (["n"], {"text": np.full((1, 4), 1e-300)}, DataError, "item 'n': text is all zeros"),
    "infinite": (["n"], {"text": [[1, 2, 3, np.inf]]}, DataError, "item 'n': text holds NaN or infinity"),
    "beyond all measure": (
        ["n"],
        {"text": [[1, 2, 3, 3e38]]},
        DataError,
        "item 'n': its content is over 1,000 times as far",
    ),
    "beyond float32": (["n"], {"text": [[1, 2, 3, 1e300]]}, DataError, "item 'n': text holds NaN or infinity"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_by_name(demure: Trained, name: str) -> None:
    ids, vectors, kind, told = REFUSED[name]
    with pytest.raises(kind, match=told) as caught:
        demure.add_items(ids, vectors)
    assert "\n" not in str(caught.value)


TITLES = [
    ({"n": 5}, "item 'n': the title must be text, not 5"),
    ({"n": None}, "must be text"),
    ({"n": "\ud83d"}, "text"),
]


@pytest.mark.parametrize(("titles", "told"), [*TITLES, ({"m": "Other"}, "title of 'm' is of none of the 1 items")])
def test_a_title_that_could_not_be_saved_is_refused_at_once(demure: Trained, titles: dict[str, Any], told: str) -> None:
    """Found at saving it would cost whatever was added until then; of a mistyped id it would just be lost."""
    with pytest.raises(DataError, match=told):
        demure.add_items(["n"], {"text": np.ones((1, 4))}, titles)


def test_the_scale_is_that_of_training_whatever_was_added_before(demure: Trained, tmp_path: Path) -> None:
    """A service adds items as they come and, started again, all at once: what it accepted once it must always accept."""
    far = {f"x{power}": np.full((1, 4), 10.0**power) for power in range(1, 9)}
    fresh = {name for name, rows in far.items() if _accepted(demure, {name: rows})}
    model, chained = demure, set[str]()
    for name, rows in far.items():
        if _accepted(model, {name: rows}):
            model = model.add_items([name], {"text": rows})
            chained.add(name)
    assert chained == fresh
    assert 0 < len(fresh) < len(far)
    save(model, tmp_path / "wider")
    refused = {name: rows for name, rows in far.items() if name not in fresh}
    assert not any(_accepted(load(tmp_path / "wider"), {name: rows}) for name, rows in refused.items())
    assert _accepted(demure, {name: rows for name, rows in far.items() if name in fresh})


def _accepted(model: Trained, rows: dict[str, np.ndarray]) -> bool:
    try:
        model.add_items(list(rows), {"text": np.concatenate([*rows.values()])})
    except DataError:
        return False
    return True


@pytest.mark.parametrize("method", [sr.Popularity(), sr.ItemKNN(), sr.SASRec(heads=2, **SMALL), Tiny()])
def test_a_method_of_ids_alone_takes_none(method: Method) -> None:
    with pytest.raises(UsageError, match="knows items by their ids alone, so none can be added; train it on content"):
        trained(method).add_items(["n"], {"text": np.ones((1, 4))})


def test_ids_that_are_numbers_stay_numbers() -> None:
    whole = split()
    numbers = pl.Series("id", range(100, 100 + len(whole.items) - 1), dtype=pl.UInt8)
    text = Modality(content(0, len(numbers), 4), np.ones(len(numbers), bool))
    named = sr.fit(sr.CCL4Rec(**SMALL), whole, Catalog(whole.items.ids, text=text), epochs=1)
    model = replace(named, items=type(named.items)(numbers))
    assert 7 in model.add_items([np.int64(7)], {"text": np.ones((1, 4))}).recommend([101], k=20).items
    for odd in (300, "7", True, 7.0):
        with pytest.raises(DataError):
            model.add_items([odd], {"text": np.ones((1, 4))})
