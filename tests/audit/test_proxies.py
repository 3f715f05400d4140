"""Every proxy uses the weights it is given: nothing weighs nothing, and a level weight changes no mean of a loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from siftrec import seeds
from siftrec.audit.proxies import Proxy, metric, pairs, proxies
from siftrec.data.catalog import Catalog
from siftrec.data.loader import Loader
from siftrec.data.split import TEST, TRAIN, Fitting
from siftrec.methods.base import Counted, Learned, total
from siftrec.synthetic import behaviours

PLANTED = behaviours("easy", rho=0.4, users=200, items=300, length=8, seed=5)
PROXIES = proxies(300, quick=False)
HISTORIES = torch.from_numpy(PLANTED.split.test.histories.items.reshape(200, 8).astype(np.int64))


def test_the_choice_of_proxies() -> None:
    assert [proxy.name for proxy in PROXIES] == ["ItemKNN", "EASE", "SASRec"]
    assert [proxy.name for proxy in proxies(19_000, quick=False)] == ["ItemKNN", "SASRec"]
    assert [proxy.name for proxy in proxies(19_000, quick=True)] == ["ItemKNN"]
    assert (metric(300), metric(20)) == ("ndcg@50", "ndcg@20")


def fitted(proxy: Proxy, weights: np.ndarray | None, keep: np.ndarray | None = None) -> torch.Tensor:
    assert isinstance(proxy.method, Counted)
    train = replace(PLANTED.split.train, weights=weights)
    train = train if keep is None else train.where(keep)
    data = Fitting(train, PLANTED.split.valid, PLANTED.split.items)
    return proxy.method.fit(data).scores(HISTORIES)[:, 1:]


@pytest.mark.parametrize("proxy", PROXIES[:2], ids=lambda proxy: proxy.name)
def test_for_a_counted_proxy_no_weight_is_no_interaction_and_full_weight_is_no_weight(proxy: Proxy) -> None:
    noisy = PLANTED.noisy[PLANTED.split.role == TRAIN]
    without = fitted(proxy, None, ~noisy)
    torch.testing.assert_close(fitted(proxy, (~noisy).astype(np.float32)), without, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(fitted(proxy, np.ones(len(noisy), np.float32)), fitted(proxy, None))
    half = fitted(proxy, np.where(noisy, 0.5, 1).astype(np.float32))
    assert (half - without).abs().max() > 1e-3
    assert (half - fitted(proxy, None)).abs().max() > 1e-3


def loss(weights: np.ndarray, last: int) -> float:
    method = PROXIES[2].method
    assert isinstance(method, Learned)
    train = PLANTED.split.train.take(np.arange(8))
    items = train.items.copy()
    items[train.offsets[1:] - 1] = last  # never an input, only a target
    train = replace(train, items=items, weights=weights)
    with seeds.initialised(1, "weights"):
        model = method.build(Catalog(PLANTED.split.items.ids))
    model.eval()
    batch = next(iter(Loader(train, method.rows, method.length, 8, 1).epoch(0)))
    return total(method.loss(model, batch, seeds.generator(1, "loss"))).item()


def test_sasrec_ignores_targets_without_weight_and_no_level() -> None:
    train = PLANTED.split.train.take(np.arange(8))
    weights = np.ones(len(train.items), np.float32)
    weights[train.offsets[1:] - 1] = 0
    assert loss(weights, 5) == pytest.approx(loss(weights, 9), rel=1e-5)
    assert loss(np.ones_like(weights), 5) != pytest.approx(loss(np.ones_like(weights), 9), rel=1e-5)
    assert loss(np.full_like(weights, 0.3), 5) == pytest.approx(loss(np.ones_like(weights), 5), rel=1e-5)


def test_weights_of_the_holdout_are_not_read_and_only_counted_proxies_are_levelled() -> None:
    split, rng = PLANTED.split, np.random.default_rng(1)
    weights = rng.random(len(split.role)).astype(np.float32)
    other = np.where(split.role == TEST, 0, weights).astype(np.float32)
    one, again = (list(pairs(PROXIES[:1], split, each, most=50, seed=7)) for each in (weights, other))
    assert [pair.against for pair in one] == ["raw", "level"]
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first.with_weights[0].values["seen"], second.with_weights[0].values["seen"])
        assert len(first.with_weights[0].users) == 50
        assert first.with_weights[0].users.equals(first.without[0].users)


def test_uniform_weights_differ_from_raw_but_not_from_level() -> None:
    weights = np.full(len(PLANTED.split.role), 0.5, np.float32)
    raw, level = pairs(PROXIES[:1], PLANTED.split, weights, most=200, seed=7)
    assert level.with_weights[0].values["seen"].tolist() == level.without[0].values["seen"].tolist()
    assert raw.with_weights[0].values["seen"].tolist() != raw.without[0].values["seen"].tolist()
