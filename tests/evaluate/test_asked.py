"""A figure carries the name of the part it was measured on, and no model is asked what it was fitted on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from data.shown import sides
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.exposure import impressions
from siftrec.data.interactions import Interactions
from siftrec.data.split import TEST, Split
from siftrec.data.temporal import TemporalSplit
from siftrec.errors import UsageError
from siftrec.evaluate.impressions import evaluate_impressions
from siftrec.noise.inject import inject


def log(users: int = 60, items: int = 20) -> Interactions:
    """Random histories of eight with a clock of their own each."""
    rng = np.random.default_rng(2)
    user, step = np.repeat(np.arange(users), 8), np.tile(np.arange(8), users)
    frame = {
        "user": user,
        "item": rng.integers(0, items, len(user)),
        "time": 100 * step + user,
        "row": np.arange(len(user)),
    }
    return Interactions(pl.DataFrame(frame), "clock")


@pytest.fixture(scope="module")
def split() -> Split:
    return sr.leave_one_out(log())


def test_a_figure_is_named_after_the_part_it_was_measured_on(split: Split) -> None:
    """A validation figure that calls itself one of the test part ends up in a paper as such."""
    model = sr.fit(sr.ItemKNN(), split)
    for part, name in ((split.valid, "valid"), (split.test, "test"), (split.valid.take(np.arange(9)), "valid")):
        found = sr.evaluate(model, part, (5,))
        assert found.about.split == found.to_json("run")["split"] == name
        assert f"ItemKNN on {name} (leave-one-out)" in str(found)
        assert sr.evaluate(model, part, (5,), split=name).about == found.about
    with pytest.raises(UsageError, match="split: 'test' is not what this part is; it is 'valid'"):
        sr.evaluate(model, split.valid, (5,), split="test")
    by_hand = replace(split.test, role=None)
    with pytest.raises(UsageError, match="neither the test nor the validation part of a split; name it"):
        sr.evaluate(model, by_hand, (5,))
    assert sr.evaluate(model, by_hand, (5,), split="later").about.split == "later"


def test_impressions_know_their_part_too() -> None:
    cut = impressions(sides(planted=False))
    model = sr.fit(sr.Popularity(), cut)
    assert sr.evaluate(model, cut.valid).about.split == "valid"
    assert sr.evaluate(model, cut.test.take(np.arange(20)).ungrouped()).about.split == "test"
    other = impressions(sides(planted=False), candidates="sampled")
    assert sr.evaluate(model, other.test, unseen=True).about.protocol == "sampled candidates by user"


def test_a_figure_carries_the_protocol_of_its_questions() -> None:
    """A model of everything that answers for users who came later was said to be measured on `everything`."""
    before, later = ((pl.col("user") < 40), (pl.col("user") >= 40))
    first, others = (replace(log(), frame=log().frame.filter(users)) for users in (before, later))
    model, asked = sr.fit(sr.ItemKNN(), sr.everything(first)), sr.leave_one_out(others)
    for part in (asked.test, asked.test.take(np.arange(7)), asked.valid):
        assert sr.evaluate(model, part, (5,), unseen=True).about.protocol == "leave-one-out"
    assert "ItemKNN on test (leave-one-out)" in str(sr.evaluate(model, asked.test, (5,), unseen=True))
    wider = sr.fit(sr.ItemKNN(), sr.everything(first), Catalog(range(30)))
    assert sr.evaluate(wider, asked.test, (5,), unseen=True).about.protocol == "leave-one-out", "in other codes"
    own = sr.fit(sr.ItemKNN(), asked)
    family = [sr.evaluate(each, asked.test, (5,), unseen=True) for each in (model, own)]
    assert sr.compare(*family, metric="ndcg@5").protocol == "leave-one-out", "the same questions can be compared"
    by_hand = replace(asked.test, protocol=None)
    assert sr.evaluate(model, by_hand, (5,), unseen=True).about.protocol == "everything"


def test_a_model_is_not_asked_the_test_questions_of_another_split(split: Split) -> None:
    """It was fitted on most of their answers, and the figure would stand under the protocol of its own split."""
    model, later = sr.fit(sr.ItemKNN(), split), TemporalSplit()(log())
    for part in (later.test, later.test.take(np.arange(5))):
        with pytest.raises(UsageError, match=r"another split than the 'leave-one-out' one .* unseen=True"):
            sr.evaluate(model, part, (5,))
    assert sr.evaluate(model, later.test, (5,), unseen=True).about.split == "test"
    by_time = impressions(sides(planted=False), by="user", test=0.3)
    shown = sr.fit(sr.Popularity(), impressions(sides(planted=False)))
    for ask in (sr.evaluate, evaluate_impressions):
        with pytest.raises(UsageError, match="another split than the 'impressions by user' one"):
            ask(shown, by_time.test)
        ask(shown, by_time.test, unseen=True)


def test_the_same_questions_are_answered_whatever_the_model_was_fitted_on(split: Split, tmp_path: Path) -> None:
    """Weighted, noisy and sampled logs and loaded models are what comparisons are made of: refused, there are none."""
    weights = np.where(split.role == TEST, 1, np.linspace(0, 1, len(split.log.items))).astype(np.float32)
    weighted = replace(split, log=replace(split.log, weights=weights))
    fitted = {"raw": split, "weighted": weighted}
    fitted |= {how: inject(split, how, 0.3, 1).split for how in ("replace", "insert")}
    for name, each in fitted.items():
        model = sr.fit(sr.ItemKNN(), each)
        sr.save(model, tmp_path / name)
        for asked in (split.test, each.test, sr.leave_one_out(log()).test, split.test.take(np.arange(7))):
            assert sr.evaluate(sr.load(tmp_path / name), asked, (5,)).about.split == "test", name
        assert sr.evaluate(model, split.valid, (5,)).about.split == "valid"


def test_a_model_with_later_items_answers_its_own_questions(split: Split) -> None:
    """Otherwise nobody could tell what adding items costs; those of a log that holds such items are another split's."""
    ids = split.items.ids
    content = np.random.default_rng(0).normal(size=(len(ids), 4)).astype(np.float32)
    catalog = Catalog(ids, text=Modality(content, np.ones(len(ids), bool)))
    model = sr.fit(sr.CCL4Rec(dim=8, length=5), split, catalog, epochs=1)
    more = model.add_items([99], {"text": content[:1]})
    assert sr.evaluate(more, split.test, (5,)).about.items == len(ids) + 1
    frame = log().frame
    newer = frame.with_columns(item=pl.when(pl.col("row") % 50 == 7).then(99).otherwise(pl.col("item")))
    with pytest.raises(UsageError, match="another split"):
        sr.evaluate(more, sr.leave_one_out(Interactions(newer, "clock")).test, (5,))
