"""CCL4Rec that sets false-positive interactions aside: what it gains on planted noise, and what it must never do."""

from __future__ import annotations

import dataclasses

import numpy as np
import planted_measures as measures
import pytest
import torch

from siftrec import artifact, seeds
from siftrec.data.catalog import Catalog
from siftrec.data.loader import Loader
from siftrec.data.sequences import Sequences
from siftrec.detectors import fitted
from siftrec.detectors.agreement import Agreement
from siftrec.detectors.blend import Blend
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import SettingsError
from siftrec.methods import denoise as denoising
from siftrec.methods.base import Preparing
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.contrast import Contrast, Views
from siftrec.methods.denoise import Denoise
from siftrec.noise.measure import auroc
from siftrec.synthetic import behaviours
from siftrec.testing import check_method
from siftrec.train.events import Stepped
from siftrec.train.fit import fit
from siftrec.train.loop import loader_of
from siftrec.train.settings import Training
from train.tiny import content_fit, weights_hash

SMALL = Denoise(pooling=True, detector=Likelihood(folds=2, dim=8, steps=800, negatives=32))

TINY = Denoise(pooling=True, detector=Likelihood(folds=2, dim=4, epochs=1, steps=10, negatives=16))


@pytest.fixture(scope="module")
def planted():
    return behaviours("easy", rho=0.4, users=300, items=1000)


@pytest.fixture(scope="module")
def prepared(planted):
    method = CCL4Rec(dim=8, denoise=SMALL, contrast=measures.OFF)
    with seeds.initialised(1, "weights"):
        model = method.build(planted.catalog)
    method.prepare(model.eval(), planted.split.fitting, 1)
    method.start_epoch(model, planted.split.fitting, 0, 1)
    return method, model


BLEND = dataclasses.replace(TINY, pooling=False, detector=Blend(likelihood=TINY.detector))


def small(importance, denoise):
    views = Views(queue=64, offers=16, importance=importance)
    return CCL4Rec(dim=16, length=8, negatives=64, denoise=denoise, views=views, contrast=Contrast(warmup=0))


def test_contract_with_a_detector_as_importance():
    """All that holds of every method, with the detector that the others are part of."""
    method = small("blend", BLEND)
    assert isinstance(method, Preparing)
    check_method(method)


@pytest.mark.parametrize("importance", ["likelihood", "cooccurrence", "blend"])
def test_importance_by_a_detector_needs_one_that_has_it(importance):
    catalog = behaviours("easy", users=20, items=1000).catalog
    with pytest.raises(SettingsError, match=r"needs `denoise`.*there is none"):
        CCL4Rec(views=Views(importance=importance)).build(catalog)
    other = Denoise(detector=Cooccurrence() if importance == "likelihood" else Likelihood())
    with pytest.raises(SettingsError, match=r"there is one for (likelihood|cooccurrence)$"):
        CCL4Rec(views=Views(importance=importance), denoise=other).build(catalog)
    CCL4Rec(views=Views(importance=importance), denoise=Denoise(detector=Blend())).build(catalog)


@pytest.mark.parametrize("null", [False, True])
def test_importance_finds_planted_noise_and_nothing_where_none_is(null):
    """By the model in training: everybody by what others did."""
    planted = behaviours("mid", rho=0.4, users=600, items=1000, null=null)
    train, noisy = planted.split.train, np.asarray(planted.noisy)[planted.split.role == 0]
    how = Denoise(detector=Blend(likelihood=Likelihood(folds=2, steps=200)))
    model = ready(CCL4Rec(dim=8, denoise=how, contrast=measures.OFF), planted)
    rows = np.arange(len(train))
    items_BL = torch.from_numpy(train.window(rows, train.lengths, 20).astype(np.int64))
    for importance in ("likelihood", "cooccurrence", "blend"):
        score = model.denoising.scores(items_BL, torch.from_numpy(rows), importance)[items_BL > 0]
        area = auroc(noisy, -score.double().numpy())
        assert area == pytest.approx(0.5, abs=0.04) if null else area > 0.66, importance


def ready(method, planted):
    with seeds.initialised(1, "weights"):
        model = method.build(planted.catalog)
    method.prepare(model.eval(), planted.split.fitting, 1)
    return model


@pytest.mark.parametrize(
    "detector", [Cooccurrence(), Agreement(), Blend(likelihood=Likelihood(folds=2, dim=8, steps=400, negatives=32))]
)
def test_targets_are_weighed_by_any_detector(planted, detector):
    method = CCL4Rec(dim=8, denoise=Denoise(detector=detector), contrast=measures.OFF)
    model, train = ready(method, planted), planted.split.train
    noisy = np.asarray(planted.noisy)[planted.split.role == 0]
    loader = Loader(train, "prefix", 20, 512, 1, around=True)
    plan = loader.plan(0)
    weights = torch.cat([model.denoising.target_weights(loader.batch(*rows))[:, 0] for rows in plan]).numpy()
    truth = np.concatenate([noisy[train.offsets[users] + ends] for users, ends in plan])
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights[truth].mean() < weights[~truth].mean() - 0.2


def test_targets_after_every_position_are_judged_within_their_window(planted, prepared):
    """The 20 targets of a window of 21 interactions judge each other; what stands beside in the batch changes nothing."""
    _, model = prepared
    rng = np.random.default_rng(3)
    drawn = Sequences.from_items(rng.integers(1, 1001, 40 * 21).astype(np.int32), np.full(40, 21))
    batch = Loader(drawn, "sequence", 20, 64, 1).batch(np.arange(40), np.full(40, 20))
    weights, content = model.denoising.target_weights(batch), model.denoising.content
    assert weights.shape == batch.targets_BP.shape
    items_BT = torch.cat([batch.items_BL, batch.targets_BP[:, -1:]], dim=1)
    for column in (1, 11, 20):
        place_B1 = torch.full((40, 1), column - 1)
        score = model.denoising.detector.scores(items_BT[:, 1:], content, batch.user_B, place_B1).squeeze(1)
        noise = (model.denoising.how.severity * model.denoising.rho * (-score).exp()).clamp(0, 1)
        torch.testing.assert_close(weights[:, column - 1], torch.where(score == 0, 1.0, 1 - noise))
    for width in (13, 21, 33):
        wider = {
            name: torch.nn.functional.pad(getattr(batch, name)[:, -12:], (width - 12, 0))
            for name in ("items_BL", "targets_BP", "weights_BP", "trust_BL")
        }
        same = model.denoising.target_weights(dataclasses.replace(batch, **wider))
        torch.testing.assert_close(same[:, -12:], model.denoising.target_weights(dataclasses.replace(
            batch, **{name: getattr(batch, name)[:, -12:] for name in wider}
        )))  # fmt: skip

    train, noisy = planted.split.train, np.asarray(planted.noisy)[planted.split.role == 0]
    loader = Loader(train, "sequence", 20, 512, 1)
    for users, ends in loader.plan(0):
        batch = loader.batch(users, ends)
        there = (batch.targets_BP > 0).numpy()
        at = (train.offsets[users] + ends)[:, None] + np.arange(1 - there.shape[1], 1)
        weight, truth = model.denoising.target_weights(batch).numpy()[there], noisy[at[there]]
        assert weight[truth].mean() < weight[~truth].mean() - 0.2


def test_only_who_weighs_targets_asks_what_was_around_them(planted):
    for denoise, around in ((None, False), (dataclasses.replace(TINY, targets=False), False), (TINY, True)):
        method = CCL4Rec(dim=8, denoise=denoise)
        loader = loader_of(method, planted.split.fitting, Training(), 1)
        users, ends = loader.plan(0)[0]
        batch = loader.batch(users, ends)
        assert (batch.around is not None) == around
        plain = dataclasses.replace(loader, around=False).batch(users, ends)
        assert torch.equal(plain.items_BL, batch.items_BL)
        assert torch.equal(plain.targets_BP, batch.targets_BP)


def test_the_estimate_counts_the_calibration(planted, monkeypatch):
    """Of a third of the work, a third of the interactions is judged and a third of the background drawn."""
    judged, drawn = [], []
    judge, judge_drawn = fitted.judge, fitted.judge_drawn
    monkeypatch.setattr(fitted, "judge", lambda *a: judged.append(len(a[1].items)) or judge(*a))
    monkeypatch.setattr(fitted, "judge_drawn", lambda *a: drawn.append(len(a[1].slots)) or judge_drawn(*a))
    monkeypatch.setattr(denoising, "DRAWS", 300)
    method = CCL4Rec(dim=8, denoise=TINY, contrast=measures.OFF)
    model = method.build(planted.catalog).eval()
    for share in (0.0, 1 / 3, 1.0):
        method.prepare(model, planted.split.fitting, 1, share)
        assert model.denoising.rho == 0, "with so few steps nothing can be told; of a part nothing may be"
    whole = len(planted.split.train.items)
    assert judged == [0, pytest.approx(whole / 3, rel=0.1), whole]
    assert drawn == [0, 100, 300]


class Cut(Exception):
    """The power went."""


@pytest.mark.parametrize("detector", [BLEND.detector, Cooccurrence()])
def test_a_resumed_run_ends_as_one_that_was_never_cut(tmp_path, detector):
    """The detector is not fitted again: what it was is in the checkpoint, pairs that only the log knew among it."""
    importance = "blend" if isinstance(detector, Blend) else "cooccurrence"
    method = small(importance, Denoise(detector=detector))

    def cut(event):
        if isinstance(event, Stepped) and (event.epoch, event.step) == (1, 2):
            raise Cut

    with pytest.raises(Cut):
        content_fit(method, tmp_path, on_event=cut)
    assert weights_hash(content_fit(method, tmp_path, resume=True)) == weights_hash(content_fit(method))


def test_planted_noise_is_trusted_less_and_weighs_less(planted, prepared):
    method, model = prepared
    train = planted.split.train
    noisy = np.asarray(planted.noisy)[planted.split.role == 0]
    loader = Loader(train, "prefix", 20, 512, 1, around=True)
    weight, truth = [], []
    for users, ends in loader.plan(0):
        batch = loader.batch(users, ends)
        assert torch.equal(batch.around.items_BW.gather(1, batch.around.place_B.unsqueeze(1)), batch.targets_BP)
        weight.append(model.denoising.target_weights(batch))
        truth.append(noisy[train.offsets[users] + ends])
    weights, truths = torch.cat(weight).numpy(), np.concatenate(truth)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights[truths].mean() < weights[~truths].mean() - 0.2
    assert 0.2 < float(model.denoising.rho) < 0.8
    assert method.denoise.targets


def test_trust_is_of_the_history_alone_and_padding_changes_nothing(prepared):
    _, model = prepared
    items_BL = torch.tensor([[0, 0, 5, 9, 14, 3], [7, 7, 2, 8, 1, 30]])
    users_B = torch.tensor([4, 5])
    trust_BL = model.log_trust(items_BL, users_B)
    assert (trust_BL[items_BL > 0] <= 0).all()
    wider = torch.nn.functional.pad(items_BL, (3, 0))
    torch.testing.assert_close(model.log_trust(wider, users_B)[:, 3:], trust_BL)
    torch.testing.assert_close(model.log_trust(items_BL.flip(0), users_B.flip(0)).flip(0), trust_BL)


def test_switches_do_what_they_say(planted):
    off = CCL4Rec(dim=8, denoise=dataclasses.replace(TINY, targets=False, pooling=False), contrast=measures.OFF)
    none = CCL4Rec(dim=8, contrast=measures.OFF)
    one, other = (fit(method, planted.split, planted.catalog, epochs=1, patience=0) for method in (off, none))
    histories = torch.arange(1, 31).view(3, 10)
    assert torch.equal(one.scorer.users(histories), other.scorer.users(histories))
    no_pooling = fit(
        CCL4Rec(dim=8, denoise=dataclasses.replace(SMALL, pooling=False), contrast=measures.OFF),
        planted.split, planted.catalog, epochs=1, patience=0,
    )  # fmt: skip
    assert not torch.equal(no_pooling.scorer.users(histories), other.scorer.users(histories))


@pytest.mark.parametrize("denoise", [TINY, BLEND], ids=["likelihood", "blend"])
def test_a_saved_model_believes_the_same(planted, tmp_path, denoise):
    trained = fit(CCL4Rec(dim=8, denoise=denoise), planted.split, planted.catalog, epochs=1, patience=0)
    artifact.save(trained, tmp_path / "model")
    again = artifact.load(tmp_path / "model")
    histories = torch.arange(1, 31).view(3, 10)
    assert torch.equal(trained.scorer.scores(histories), again.scorer.scores(histories))


@pytest.mark.parametrize("rho", [0.4, pytest.param(0.0, marks=pytest.mark.slow)])
def test_recommendations_improve_under_planted_noise_and_lose_nothing_without(rho):
    how = Denoise(pooling=True, detector=Likelihood(folds=2, steps=400, negatives=64))
    planted = behaviours("mid", rho=rho, users=600, items=1500, seed=3)
    plain, aware = (
        measures.ranking(measures.trained_on(planted, CCL4Rec(contrast=measures.OFF, denoise=each), 3), planted)
        for each in (None, how)
    )
    if rho:
        assert aware["p@10"] > plain["p@10"] + 0.01
    else:
        assert aware["gauc"] > plain["gauc"] - 0.005


def test_where_nothing_can_be_told_apart_no_target_is_taken_away():
    """Interactions at random: the bound is near 1, and weights by it would leave nothing to learn."""
    planted = behaviours("easy", rho=0.4, users=200, items=1000, null=True)
    method = CCL4Rec(dim=8, denoise=dataclasses.replace(SMALL, detector=TINY.detector), contrast=measures.OFF)
    with seeds.initialised(1, "weights"):
        model = method.build(planted.catalog)
    method.prepare(model.eval(), planted.split.fitting, 1)
    loader = Loader(planted.split.train, "prefix", 20, 512, 1, around=True)
    weights = torch.cat([model.denoising.target_weights(loader.batch(*rows)) for rows in loader.plan(0)])
    assert weights.mean() > 0.2


def test_a_lonely_target_counts_fully(prepared):
    _, model = prepared
    lonely = Loader(Sequences.from_items(np.array([5, 5, 5], np.int32), np.array([3])), "prefix", 20, 8, 1, around=True)
    assert model.denoising.target_weights(lonely.batch(*lonely.plan(0)[0])).tolist() == [[1.0], [1.0]]


def test_what_cannot_be_judged_is_refused_by_name():
    catalog = behaviours("easy", users=20, items=1000).catalog
    with pytest.raises(SettingsError, match=r"method\.length.*at most 20"):
        CCL4Rec(length=30, denoise=SMALL).build(catalog)
    CCL4Rec(length=30, denoise=Denoise()).build(catalog)
    # In serving nobody knows whose history it is: the user's own counts would vouch for what they did.
    for detector in (Cooccurrence(), Blend()):
        with pytest.raises(SettingsError, match=rf"^method\.denoise\.pooling: .*{type(detector).__name__}"):
            CCL4Rec(denoise=Denoise(pooling=True, detector=detector)).build(catalog)
    with pytest.raises(SettingsError, match=r"^method\.denoise\.detector: Agreement needs content"):
        CCL4Rec(denoise=Denoise(detector=Agreement())).build(Catalog(catalog.vocab.ids))
