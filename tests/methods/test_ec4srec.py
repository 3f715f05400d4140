"""EC4SRec: what an explanation is, what views do with it, and whether it finds anything."""

from __future__ import annotations

import pytest
import torch
from kinds import LENGTH, asked, mixed, trained

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.methods.ec4srec import EC4SRec, importance
from siftrec.methods.sasrec import SASRec
from siftrec.nn.augment import MASK
from siftrec.testing import check_method

SMALL = SASRec(dim=16, length=LENGTH, heads=1, blocks=1)
EARLY = EC4SRec(base=SMALL, least=0.3, warmup=99)


def test_contract():
    check_method(EC4SRec(base=SASRec(dim=16, length=8, blocks=1, heads=1), warmup=1))


def test_explanations_are_what_the_score_loses_when_an_input_changes():
    """Differences of the score, one number of one input vector at a time; of another score than the last target's or of
    another place, they would not match."""
    method = EC4SRec(base=SASRec(dim=6, length=LENGTH, heads=1, dropout=0.0))
    batch, _ = asked(planted=False)
    with seeds.initialised(1, "weights"):
        model = method.build(Catalog(mixed(planted=False).items.ids))
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape)  # no weight is 0 or 1
    model.tower.ids.weight.data[0] = 0
    model.eval()
    step = method.base.step(model, batch, seeds.generator(1, "loss"))
    found = {name: importance(step, batch, name) for name in ("saliency", "occlusion")}
    encoder, vectors, target = (
        each.double() for each in (model.encoder, step.history.vectors_BLD, step.local(batch.targets_BP[:, -1]))
    )
    size, real = 1e-5, batch.items_BL > 0
    slope = torch.empty_like(vectors)
    with torch.no_grad():
        for place in range(vectors.shape[1]):
            for number in range(6):
                up, down = vectors.clone(), vectors.clone()
                up[:, place, number] += size
                down[:, place, number] -= size
                apart = encoder(up, real, None) - encoder(down, real, None)
                slope[:, place, number] = (apart * target).sum(dim=1) / (2 * size)
    expected = {"saliency": slope.abs().sum(dim=2), "occlusion": (slope * vectors).sum(dim=2)}
    for name, values in expected.items():
        torch.testing.assert_close(found[name][real].double(), values[real].detach(), rtol=1e-3, atol=1e-4)


def test_positive_views_change_the_least_important_and_negative_views_the_most():
    """Exactly these, in order: a positive view without what matters would teach that it does not."""
    items = torch.tensor([[0, 0, 11, 12, 13, 14, 15]]).repeat(60, 1)
    value = torch.tensor([[9.0, 9.0, 0.5, 0.1, 0.9, 0.2, 0.7]]).repeat(60, 1)
    left, right, negative = EC4SRec(base=SMALL, least=0.4, most=0.2).views(items, value, seeds.generator(1, "views"))
    dropped, masked = (0, 0, 0, 0, 11, 13, 15), (0, 0, 11, MASK, 13, MASK, 15)
    still, swapped = (0, 0, 11, 12, 13, 14, 15), (0, 0, 11, 14, 13, 12, 15)
    for views in (left, right):
        assert {tuple(row) for row in views.tolist()} == {dropped, masked, still, swapped}
    assert {tuple(row) for row in negative.tolist()} == {(0, 0, 0, 11, 12, 14, 15), (0, 0, 11, 12, MASK, 14, 15)}
    pair = torch.tensor([[11, 12]])
    for view in EC4SRec(base=SMALL, least=1.0, most=1.0).views(pair, pair.float(), seeds.generator(1, "views")):
        assert (view > 0).any()  # something is left to be read


def test_there_is_no_contrast_before_there_is_anything_to_explain():
    method = EC4SRec(base=SMALL, warmup=3)
    model, batch, _ = trained(EARLY, planted=False)
    model.extra.get_buffer("epoch").fill_(3)
    assert set(method.loss(model, batch, seeds.generator(1, "loss"))) == {"next_item", "positive", "negative"}
    model.extra.get_buffer("epoch").fill_(2)
    assert set(method.loss(model, batch, seeds.generator(1, "loss"))) == {"next_item"}


def masked_noise(planted: bool, explanation: str | None) -> float:
    """How much more often than others interactions of the other kind are masked in positive views."""
    method, (model, batch, other_BL) = EARLY, trained(EARLY, planted)
    rng = seeds.generator(1, "views")
    if explanation is None:
        value = torch.rand(batch.items_BL.shape, generator=rng)
    else:
        value = importance(method.base.step(model, batch, rng), batch, explanation)
    masked = torch.zeros(batch.items_BL.shape)
    for _ in range(20):
        for view in method.views(batch.items_BL, value, rng)[:2]:
            masked += view == MASK
    return float(masked[other_BL].mean() / masked[~other_BL].mean())


def test_occlusion_changes_planted_noise_and_saliency_only_what_is_near_the_end():
    """Null controls: random importance, and a log in which no interaction is noise."""
    assert masked_noise(True, "occlusion") > 1.4
    assert masked_noise(True, None) == pytest.approx(1, abs=0.2)
    assert masked_noise(False, "occlusion") == pytest.approx(1, abs=0.2)
    assert masked_noise(True, "saliency") < 1.2
