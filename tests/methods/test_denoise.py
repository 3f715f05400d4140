"""CCL4Rec that sets false-positive interactions aside: what it gains on planted noise, and what it must never do."""

from __future__ import annotations

import dataclasses

import numpy as np
import planted_measures as measures
import pytest
import torch

from siftrec import artifact, seeds
from siftrec.data.loader import Loader
from siftrec.data.sequences import Sequences
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import SettingsError
from siftrec.methods.base import Preparing
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.contrast import Contrast, Views
from siftrec.methods.denoise import Denoise
from siftrec.synthetic import behaviours
from siftrec.testing import check_method
from siftrec.train.fit import fit

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


def test_contract_with_likelihood_as_importance():
    views = Views(queue=64, offers=16, importance="likelihood")
    method = CCL4Rec(dim=16, length=8, negatives=64, denoise=TINY, views=views, contrast=Contrast(warmup=0))
    assert isinstance(method, Preparing)
    check_method(method)


def test_importance_by_likelihood_needs_the_detector():
    views = Views(importance="likelihood")
    with pytest.raises(SettingsError, match="denoise"):
        CCL4Rec(views=views).build(behaviours("easy", users=20, items=1000).catalog)


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


def test_a_saved_model_believes_the_same(planted, tmp_path):
    trained = fit(CCL4Rec(dim=8, denoise=TINY), planted.split, planted.catalog, epochs=1, patience=0)
    artifact.save(trained, tmp_path / "model")
    again = artifact.load(tmp_path / "model")
    histories = torch.arange(1, 31).view(3, 10)
    assert torch.equal(trained.scorer.scores(histories), again.scorer.scores(histories))


def test_recommendations_improve_under_planted_noise_and_lose_nothing_without():
    how = Denoise(pooling=True, detector=Likelihood(folds=2, steps=400, negatives=64))
    ranked = {}
    for rho in (0.4, 0.0):
        planted = behaviours("mid", rho=rho, users=600, items=1500, seed=3)
        for name, denoise in (("plain", None), ("aware", how)):
            trained = measures.trained_on(planted, CCL4Rec(contrast=measures.OFF, denoise=denoise), 3)
            ranked[rho, name] = measures.ranking(trained, planted)
    assert ranked[0.4, "aware"]["p@10"] > ranked[0.4, "plain"]["p@10"] + 0.01
    assert ranked[0.0, "aware"]["gauc"] > ranked[0.0, "plain"]["gauc"] - 0.005


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
    assert model.denoising.target_weights(lonely.batch(*lonely.plan(0)[0])).tolist() == [1.0, 1.0]


def test_what_cannot_be_judged_is_refused_by_name():
    catalog = behaviours("easy", users=20, items=1000).catalog
    with pytest.raises(SettingsError, match=r"method\.length.*at most 20"):
        CCL4Rec(length=30, denoise=SMALL).build(catalog)
    CCL4Rec(length=30, denoise=Denoise()).build(catalog)
