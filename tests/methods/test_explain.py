"""`explain`: what counted, the same alone and in a batch, and refused where a method has no opinion."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from siftrec.data.sequences import Sequences
from siftrec.errors import UsageError
from siftrec.methods.contrast import Contrast, Views
from siftrec.methods.demure import slot_weights
from siftrec.methods.explain import Explanation, explain, explain_many
from siftrec.methods.trained import Trained

CCL = sr.CCL4Rec(
    dim=8,
    length=6,
    negatives=32,
    views=Views(queue=64, offers=16),
    contrast=Contrast(vanilla=0.0, graded=0.0, over=0.0),
    denoise=sr.Denoise(detector=sr.Likelihood(folds=2, dim=8, epochs=1, steps=200, learning_rate=0.02)),
)
METHODS = {
    "late": sr.Demure(base=sr.LateFusion(dim=8, length=6, negatives=32)),
    "ccl4rec": CCL,
    "both": sr.Demure(base=CCL),
    "sasrec": sr.Demure(base=sr.SASRec(dim=8, length=6, negatives=32)),
}


@cache
def trained(name: str) -> Trained:
    rng = np.random.default_rng(3)
    tastes = [(u, u % 2 if rng.random() < 0.8 else rng.integers(2), t) for u in range(400) for t in range(8)]
    rows = [(f"u{u}", f"v{20 * taste + rng.integers(20):02d}", t) for u, taste, t in tastes]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    events = sr.Interactions(log.with_row_index("row").with_columns(pl.col("row", "time").cast(pl.Int64)), "order")
    items = [f"v{i:02d}" for i in range(40)]
    vectors = {name: rng.standard_normal((40, 5)).astype(np.float32) for name in ("text", "image")}
    missing = np.arange(40) % 4 != 0  # every fourth item has no image
    catalog = sr.Catalog(
        events.items,
        text=sr.Modality(vectors["text"], np.ones(40, bool), pl.Series(items)),
        image=sr.Modality(vectors["image"], missing, pl.Series(items)),
    )
    return sr.fit(METHODS[name], sr.leave_one_out(events), catalog, seed=2, epochs=1, batch_size=64)


@pytest.fixture(params=METHODS)
def model(request: pytest.FixtureRequest) -> Trained:
    return trained(request.param)


HISTORIES = [
    ["v01", "v04", "v05"],
    ["v08"],
    [],
    ["v21", "nobody", "v22", "v23", "v24", "v25", "v26", "v27", "v28"],
] * 30


def test_alone_and_in_a_batch_the_numbers_are_the_same(model: Trained) -> None:
    together = explain_many(model, HISTORIES)
    assert together == explain_many(model, HISTORIES[:4]) * 30
    assert together[:4] == [explain(model, history) for history in HISTORIES[:4]]


def test_what_is_read_is_what_is_told(model: Trained) -> None:
    three, one, none, long = (explain(model, history) for history in HISTORIES[:4])
    assert [each.item for each in three] == ["v01", "v04", "v05"]
    assert (len(one.interactions), len(none.interactions)) == (1, 0)
    assert [each.item for each in long] == HISTORIES[3][3:]
    assert (long.unread, long.unknown) == (2, ["nobody"])


def test_a_notebook_shows_what_counted_as_a_table() -> None:
    told = explain(trained("both"), HISTORIES[3])
    assert repr(told) == "Explanation(6 interactions read, 2 older ones not, 1 unknown)"
    html = told._repr_html_()
    assert "<tr><th>item</th><th>share</th><th>noise</th><th>text</th><th>image</th></tr>" in html
    assert html.count("<tr>") == 1 + 6
    last, text = told.interactions[-1], told.interactions[-1].modalities["text"]
    assert last.item == "v28"
    assert text == pytest.approx(1.0), "it has no image"
    assert f"<td>v28</td><td>{last.share:.3f}</td><td>{last.noise:.3f}</td><td>{text:.3f}</td><td></td></tr>" in html


def test_weights_are_shared_out_among_the_modalities_present() -> None:
    for name in ("late", "both", "sasrec"):
        for each in explain(trained(name), ["v01", "v04", "v05"]):
            assert list(each.modalities) == ["text", "image"]
            assert (each.modalities["image"] is None) == (each.item == "v04")
            assert sum(weight or 0 for weight in each.modalities.values()) == pytest.approx(1)


def test_attention_is_shared_out_where_the_encoder_pools() -> None:
    for name in ("late", "ccl4rec", "both"):
        assert sum(each.share for each in explain(trained(name), ["v01", "v04", "v05"])) == pytest.approx(1)
    assert all(each.share is None for each in explain(trained("sasrec"), ["v01", "v04", "v05"]))


def test_what_does_not_fit_is_noisier_and_nothing_is_said_of_one_alone() -> None:
    for name in ("ccl4rec", "both"):
        *kin, stranger = (each.noise for each in explain(trained(name), ["v01", "v04", "v05", "v02", "v33"]))
        assert None not in kin
        assert stranger > 2 * max(kin)
        assert [each.noise for each in explain(trained(name), ["v01"])] == [None]
    assert all(each.noise is None for each in explain(trained("late"), ["v01", "v02"]))


def test_it_says_what_slot_weights_say() -> None:
    """A page and an explanation of the same history must not contradict each other."""
    model, history = trained("both"), ["v01", "v04", "v05", "v02"]
    log = Sequences.from_items(model.items.encode(pl.Series(history), unknown=0), np.array([4]))
    found = slot_weights(model, log)
    told: Explanation = explain(model, history)
    weights = [[weight or 0.0 for weight in each.modalities.values()] for each in told]
    np.testing.assert_allclose(weights, found.weight_EM, atol=1e-5)
    np.testing.assert_allclose([each.share for each in told], found.share_E, atol=1e-5)


@pytest.mark.parametrize("method", [sr.Popularity(), sr.CCL4Rec(dim=8, encoder="mean")])
def test_a_method_without_an_opinion_says_so(method: sr.Popularity | sr.CCL4Rec) -> None:
    known = trained("ccl4rec")
    split = sr.leave_one_out(
        sr.Interactions(
            pl.DataFrame({"user": ["a"] * 4, "item": list("wxyz"), "time": range(4), "row": range(4)}), "order"
        )
    )
    other = sr.fit(method, split, sr.Catalog(pl.Series(list("wxyz"))), epochs=0)
    with pytest.raises(UsageError, match="has no opinion of single interactions; train"):
        explain(other, ["w", "x"])
    assert explain(known, ["v01"])
