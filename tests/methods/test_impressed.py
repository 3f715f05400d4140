"""Training on impressions: one encoding for a group means what one for each impression means; and it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import siftrec as sr
from data.shown import sides
from siftrec import seeds
from siftrec.card import card
from siftrec.data.catalog import Modality
from siftrec.data.exposure import impressions
from siftrec.data.loader import ImpressionLoader
from siftrec.errors import DataError, SettingsError
from siftrec.evaluate.impressions import evaluate_impressions
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.contrast import Contrast
from siftrec.methods.denoise import Denoise
from siftrec.methods.din import DIN
from siftrec.methods.model import SequenceModel
from siftrec.methods.sasrec import SASRec
from siftrec.methods.selfattention import SelfAttentionRanker
from siftrec.train.events import Started
from siftrec.train.validate import sampled_users

NEXT = Contrast(vanilla=0.0, graded=0.0, over=0.0)
SMALL = {"dim": 8, "length": 6}
METHODS = {
    "ccl4rec": CCL4Rec(**SMALL, dropout=0.0, contrast=NEXT),
    "two towers": CCL4Rec(**SMALL, dropout=0.0, contrast=NEXT, encoder="mean"),
    "din": DIN(**SMALL, dropout=0.0, hidden=(8, 4)),
    "self-attention": SelfAttentionRanker(**SMALL, dropout=0.0, hidden=(8, 4)),
}


def gradients(method, part) -> dict[str, torch.Tensor]:
    """Of the loss of all groups at once, beside the loss itself."""
    split = impressions(sides(True, users=20))
    with seeds.initialised(1, "weights"):
        model = method.build(sr.Catalog(split.items.ids))
    model.eval()
    method.start_epoch(model, split.fitting, 0, 1)
    model.train()
    (batch,) = ImpressionLoader(part, method.length, 10_000, 1).epoch(0)
    (loss,) = method.loss(model, batch, seeds.generator(1, "loss")).values()
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None} | {"loss": loss.detach()}


@pytest.mark.parametrize("name", METHODS)
def test_one_encoding_for_a_group_is_one_for_each_impression(name):
    """The speed-up of grouping must not change what is trained."""
    part = impressions(sides(True, users=20), group=7).train
    assert len(part.ungrouped()) > 5 * len(part)
    grouped, alone = gradients(METHODS[name], part), gradients(METHODS[name], part.ungrouped())
    assert grouped.keys() == alone.keys()
    for key, value in grouped.items():
        torch.testing.assert_close(value, alone[key], rtol=1e-3, atol=1e-6)


def gauc(method, planted: bool) -> float:
    split = impressions(sides(planted), group=4, test=0.4)
    options = {"epochs": 6, "batch_size": 32, "learning_rate": 0.01, "schedule": "constant", "patience": 0}
    trained = sr.fit(method, split, seed=1, metric="gauc", **options)
    return evaluate_impressions(trained, split.test).means()["gauc"]


@pytest.mark.parametrize(
    "method",
    [CCL4Rec(**SMALL), DIN(**SMALL, hidden=(16, 8)), SelfAttentionRanker(**SMALL, hidden=(16, 8))],
    ids=lambda method: type(method).__name__,
)
def test_clicks_that_follow_the_history_are_told_apart_and_coins_are_not(method):
    assert gauc(method, planted=True) > 0.75
    assert gauc(method, planted=False) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("method", [CCL4Rec(**SMALL), DIN(**SMALL)], ids=lambda method: type(method).__name__)
def test_what_was_shown_and_never_clicked_was_trained_on_and_keeps_what_was_learned(method, tmp_path):
    """Its id embedding says that nobody clicks it; content alone would rank it as if nobody had been asked."""
    events = sides(True, users=20)
    never = pl.col("item") < 6
    events = replace(events, frame=events.frame.with_columns(label=pl.when(never).then(0).otherwise("label")))
    vectors = np.random.default_rng(1).normal(3.0, 2.0, (50, 4)).astype(np.float32)
    catalog = sr.Catalog(pl.Series(range(50)), text=Modality(vectors, np.ones(50, bool)))
    trained = sr.fit(method, impressions(events), catalog, metric="gauc", epochs=1, seed=1, folder=tmp_path)
    base = trained.scorer if isinstance(trained.scorer, SequenceModel) else trained.scorer.base
    known = torch.arange(1, 51)
    asked = base.local(known)(known)
    same = torch.isclose(base.items()[1:], asked, atol=1e-6).all(dim=1)
    assert same.tolist() == [True] * 40 + [False] * 10, "the last ten were never shown"
    torch.testing.assert_close(base.features.standards()["text"].mean_F, torch.from_numpy(vectors[:40].mean(axis=0)))
    assert "| items never trained on | 10 |" in card(trained, tmp_path)


def test_what_does_not_fit_impressions_is_refused_before_training():
    split = impressions(sides(True, users=20))
    for method in (SASRec(), CCL4Rec(denoise=Denoise()), CCL4Rec(rows="sequence", encoder="transformer")):
        with pytest.raises(SettingsError, match=r"method.use: .* not trained on impressions"):
            sr.fit(method, split, metric="gauc")
    with pytest.raises(SettingsError, match=r"train.metric: .*'ndcg@10'"):
        sr.fit(DIN(), split)
    seen = []
    with pytest.raises(SettingsError, match=r"train.metric: 'auc' judges impressions"):
        sr.fit(DIN(**SMALL), sr.leave_one_out(sides(True, users=20)), metric="auc", on_event=seen.append)
    assert not seen


@pytest.mark.parametrize(("metric", "says"), [("gauc", "a user with both a click"), ("auc", "both clicks and")])
def test_a_metric_that_says_nothing_of_the_validation_is_refused_before_training(metric, says):
    """NaN beats nothing and nothing beats it: the first epoch would pass for the best."""
    split, seen = impressions(sides(True, users=8)), []
    clicked = replace(split.valid, labels=np.ones_like(split.valid.labels))
    with pytest.raises(DataError, match=f"{metric} needs {says} .*among 8 validation users"):
        sr.fit(DIN(**SMALL), replace(split, valid=clicked), metric=metric, on_event=seen.append)
    assert not seen


def test_limits_on_users_hold_on_impressions_too():
    """A setting that is taken and not obeyed costs whoever set it the hours it was set for."""
    split = impressions(sides(True, users=30), group=3)
    few = sampled_users(split.valid, 4)
    assert len(np.unique(few.users)) == 4
    assert few.fingerprint == sampled_users(split.valid, 4).fingerprint
    assert sampled_users(split.valid, 30) is split.valid
    coins = replace(split.valid, labels=np.where(np.isin(split.valid.shown.owners, few.users), 1, split.valid.labels))
    with pytest.raises(DataError, match="among 4 validation users"):
        sr.fit(DIN(**SMALL), replace(split, valid=coins), metric="auc", validate_users=4)
    seen: list[object] = []
    sr.fit(DIN(**SMALL), split, metric="auc", epochs=1, batch_size=1, rows_per_user=2, on_event=seen.append)
    assert seen[0].steps == 60
    plans = [ImpressionLoader(split.train, 6, 7, 1, rows_per_user=2).plan(epoch) for epoch in (0, 1)]
    drawn = [np.sort(np.concatenate([groups for groups, _ in plan])) for plan in plans]
    assert (np.bincount(split.train.users[drawn[0]]) == 2).all()
    assert not np.array_equal(*drawn), "drawn anew each epoch"
    assert all((ends == split.train.ends[groups]).all() for groups, ends in plans[0])


def test_users_with_one_click_each_can_be_trained_on():
    """Nothing vouches for anything where no history has two items, and nothing needs to."""
    rng = np.random.default_rng(2)
    user, time = np.repeat(np.arange(40), 8), np.tile(np.arange(8), 40)
    part = np.array(["train"] * 4 + ["valid"] * 2 + ["test"] * 2)[time]
    frame = pl.DataFrame({"user": user, "item": rng.integers(0, 30, 320), "time": time, "split": part})
    events = sr.read(frame.with_columns(label=pl.col("time").is_in([1, 4, 6]).cast(pl.Int8)))
    split = impressions(events, by="split")
    assert (split.fitting.train.lengths <= 1).all()
    told = []
    sr.fit(sr.CCL4Rec(dim=8), split, metric="gauc", epochs=2, on_event=told.append)
    assert {event.notes == {} for event in told if isinstance(event, Started)} == {True}
