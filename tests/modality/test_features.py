"""What item towers are given: content on one scale, fitted on training items, never wider than training can pay for."""

import copy

import numpy as np
import polars as pl
import pytest
import torch

from siftrec.data.catalog import Catalog, Modality
from siftrec.modality.features import Features
from siftrec.modality.standard import WIDEST, kept_widths


def features(width: int, items: int = 400, rank: int = 20, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((items, rank)) @ rng.standard_normal((rank, width)) * 3 + 5
    present = rng.random(items) < 0.9
    modality = Modality(content.astype(np.float32), present)
    return Features(Catalog(pl.Series("id", np.arange(items)), content=modality))


def counts(of: Features) -> torch.Tensor:
    found = torch.ones(len(of.catalog))
    found[0] = 0
    return found


@pytest.mark.parametrize("width", [7, WIDEST, WIDEST + 1, 3 * WIDEST])
def test_content_has_norm_one_and_is_zero_where_absent_whatever_its_width(width):
    made = features(width)
    content = made.fit(counts(made)).standardised(torch.arange(len(made.catalog)))
    present = made.present["content"]
    assert content.shape[1] == kept_widths(made.catalog)["content"] == min(width, WIDEST)
    assert content[present].square().sum(dim=1).mean().item() == pytest.approx(1.0, rel=1e-3)
    assert not content[~present].any()


def test_turning_wide_content_keeps_how_alike_items_are():
    made = features(3 * WIDEST)
    codes = torch.arange(1, len(made.catalog))
    turned = made.fit(counts(made)).standardised(codes)
    plain = made.standards()["content"]._replace(turn_FR=torch.zeros(3 * WIDEST, 0))
    whole = plain(made.gather("content", codes)) * made.present["content"][codes].unsqueeze(1)
    torch.testing.assert_close(turned @ turned.T, whole @ whole.T, rtol=1e-3, atol=1e-3)


def test_items_outside_training_do_not_decide_the_standard():
    made, other = features(300), features(300)
    seen = counts(made)
    seen[200:] = 0
    other.catalog.modalities["content"].modality.features[250:] *= 100
    mine, theirs = made.fit(seen).standards()["content"], other.fit(seen).standards()["content"]
    for left, right in zip(mine, theirs, strict=True):
        assert torch.equal(left, right)


def test_the_kept_content_follows_what_is_fitted_or_loaded():
    made = features(5)
    codes = torch.arange(1, 30)
    before = made.standardised(codes)
    fitted = made.fit(counts(made)).standardised(codes)
    assert not torch.equal(before, fitted)
    fresh = features(5)
    fresh.standardised(codes)
    fresh.load_state_dict(made.state_dict())
    assert torch.equal(fresh.standardised(codes), fitted)


@pytest.mark.parametrize("codes", [[1, 2, 3], [0, 4, 399], list(range(1, 401)), list(range(350, 401))])
def test_any_items_are_gathered_alike(codes, monkeypatch):
    made = features(5)
    kept = made.fit(counts(made)).standardised(torch.tensor(codes))
    monkeypatch.setattr("siftrec.modality.features.IN_MEMORY_BYTES", 0)
    torch.testing.assert_close(kept, made.standardised(torch.tensor(codes)))


def test_a_copy_forgets_its_own_content_when_it_is_loaded_anew():
    """A hook that holds the original would clear that one, and the copy would go on reading what it was fitted on before."""
    made, other = features(5), features(5, seed=1)
    codes = torch.arange(1, 30)
    mine = made.fit(counts(made)).standardised(codes)
    again = copy.deepcopy(made)
    again.load_state_dict(other.fit(counts(other)).state_dict())
    assert not torch.equal(again.standardised(codes), mine)
    assert made._kept_NR is not None
