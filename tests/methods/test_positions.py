"""A target after every position, or after the last: each counts once, by its weight; nothing later is read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from chains import found

from siftrec import seeds
from siftrec.data.loader import Batch
from siftrec.errors import SettingsError
from siftrec.methods.adt import ADT
from siftrec.methods.causerec import CauseRec
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.cl4srec import CL4SRec
from siftrec.methods.contrast import Contrast
from siftrec.methods.coserec import CoSeRec
from siftrec.methods.demure import Demure
from siftrec.methods.ec4srec import EC4SRec
from siftrec.methods.fmlprec import FMLPRec
from siftrec.methods.gru4rec import GRU4Rec
from siftrec.methods.hsd import HSD
from siftrec.methods.late import LateFusion
from siftrec.methods.model import SequenceModel
from siftrec.methods.sasrec import SASRec
from siftrec.synthetic import behaviours
from siftrec.testing import check_method

SMALL = {"dim": 8, "length": 6, "dropout": 0.0}
NEXT = Contrast(vanilla=0.0, graded=0.0, over=0.0)
METHODS = {
    "GRU4Rec": GRU4Rec(**SMALL),
    "SASRec": SASRec(**SMALL),
    "gSASRec": SASRec(**SMALL, objective="gbce", negatives=30, calibration=0.6),
    "SASRec, content": SASRec(**SMALL, content=True),
    **{
        f"CCL4Rec, {encoder}": CCL4Rec(**SMALL, rows="sequence", encoder=encoder, contrast=NEXT)
        for encoder in ("context", "gru", "transformer")
    },
}
SAMPLED = SMALL | {"negatives": 40, "full_up_to": 0}
LAST = {
    "FMLPRec": FMLPRec(**SAMPLED),
    "LateFusion": LateFusion(**SAMPLED),
    "SASRec": SASRec(**SAMPLED, rows="prefix"),
    "GRU4Rec": GRU4Rec(**SAMPLED, rows="prefix"),
}
EVERY = pytest.mark.parametrize("name", METHODS)


def model_of(method: Any) -> SequenceModel:
    planted = behaviours("easy", users=50, items=600, length=6, seed=2)
    with seeds.initialised(1, "weights"):
        model = method.build(planted.catalog)
    assert isinstance(model, SequenceModel)
    method.start_epoch(model.eval(), planted.split.fitting, 0, 1)
    model.refresh()
    return model


def batch() -> Batch:
    items = torch.tensor([[0, 0, 5, 9, 5, 17], [3, 8, 40, 99, 7, 21], [0, 0, 0, 0, 0, 60]])
    targets = torch.tensor([[0, 0, 9, 5, 17, 33], [8, 40, 99, 7, 21, 1], [0, 0, 0, 0, 0, 60]])
    weights = torch.rand(items.shape, generator=torch.Generator().manual_seed(3))
    return Batch(items, targets, weights, torch.arange(3), torch.ones(items.shape))


def one(name: str, row: int, user_D: torch.Tensor, target: int, items_ND: torch.Tensor) -> float:
    """The loss of one target by its formula: over the whole catalog, or over what is drawn first of all for its row."""
    logits = [float(user_D @ items_ND[item]) for item in range(1, len(items_ND))]
    if name != "gSASRec":
        return math.log(sum(math.exp(x) for x in logits)) - logits[target - 1]
    drawn = torch.randint(1, 601, (3, 30), generator=seeds.generator(1, "loss"))[row].tolist()
    rate = 30 / 600
    beta = rate * (0.6 * (1 - 1 / rate) + 1 / rate)
    logits = [x + math.log(beta / 30) for x in logits]
    positive = beta * math.log1p(math.exp(-logits[target - 1]))
    return (positive + sum(math.log1p(math.exp(logits[item - 1])) for item in drawn if item != target)) / 31


@EVERY
@torch.no_grad()
def test_the_loss_is_that_of_every_target_after_what_came_before_it(name):
    """A loop: had a state read its target, or been asked for another's, the sums would differ."""
    model, rows = model_of(METHODS[name]), batch()
    items_ND = model.local(model.every)(model.every)
    expected = 0.0
    for row in range(3):
        for column in range(6):
            if rows.targets_BP[row, column]:
                history = rows.items_BL[row : row + 1].clone()
                history[:, column + 1 :] = 77  # what is true of later columns must not matter
                user_D = model.encoder.states(items_ND[history], history > 0, None)[0, column]
                weight = float(rows.weights_BP[row, column])
                expected += weight * one(name, row, user_D, int(rows.targets_BP[row, column]), items_ND)
    expected /= float(rows.weights_BP[rows.targets_BP > 0].sum())
    losses = METHODS[name].loss(model.train(), rows, seeds.generator(1, "loss"))
    assert set(losses) == {"next_item"}
    assert losses["next_item"].item() == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("name", LAST)
@torch.no_grad()
def test_after_the_last_position_a_target_counts_by_its_weight_against_what_is_drawn(name):
    """A loop over draws, each standing for 1 / (K q) items; deaf to weights, false positives would be learned in full."""
    model, rows = model_of(LAST[name]), batch()
    rows = replace(rows, targets_BP=rows.targets_BP[:, -1:], weights_BP=rows.weights_BP[:, -1:])
    power_N = model.popularity.clamp_min(1) ** 0.75 * (model.every > 0)
    drawn = torch.multinomial(power_N, 40, replacement=True, generator=seeds.generator(1, "loss")).tolist()
    local, expected = model.local(model.every), 0.0
    for row, (target, weight) in enumerate(zip(rows.targets_BP[:, 0], rows.weights_BP[:, 0], strict=True)):
        items_1L = rows.items_BL[row : row + 1]
        user_D = model.encoder(model.history(local, items_1L).vectors_BLD, items_1L > 0, None)[0]
        mass = own = math.exp(float(user_D @ local(target)))
        for item in drawn:
            if item != target:
                share = 40 * float(power_N[item] / power_N.sum())
                mass += math.exp(float(user_D @ local(torch.tensor(item)))) / share
        expected -= float(weight) * math.log(own / mass) / float(rows.weights_BP.sum())
    loss = LAST[name].loss(model.train(), rows, seeds.generator(1, "loss"))["next_item"]
    assert loss.item() == pytest.approx(expected, rel=2e-5)


@EVERY
def test_later_items_never_change_earlier_states(name):
    model, items = model_of(METHODS[name]), batch().items_BL[1:2]
    other = items.clone()
    other[0, 4:] = torch.tensor([50, 51])
    before, after = (model.encoder.states(model.items()[each], each > 0, None) for each in (items, other))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amax(dim=2).min() > 1e-4


@pytest.mark.parametrize(
    ("method", "epochs"),
    [(GRU4Rec(dim=16, length=8), 20), (SASRec(dim=16, length=8, objective="gbce", negatives=20), 60)],
    ids=["GRU4Rec", "gSASRec"],
)
def test_an_order_that_is_there_is_found_and_none_where_there_is_none(method, epochs):
    assert found(method, True, epochs) > 0.8
    assert found(method, False, epochs) < 0.1


BASE = SASRec(dim=16, length=8, blocks=1, heads=1, negatives=64, rows="prefix")
AROUND = (
    ADT(base=BASE),
    CL4SRec(base=BASE),
    CoSeRec(base=BASE, warmup=1),
    EC4SRec(base=BASE, warmup=1),
    CauseRec(base=BASE),
)


@pytest.mark.parametrize(
    ("method", "key"),
    [
        *((replace(each, base=SASRec(heads=3)), "method.base.heads") for each in AROUND),
        (HSD(base=SASRec(heads=3)), "method.base.heads"),
        (HSD(base=SASRec(objective="gbce")), "method.base.objective"),
        (Demure(base=CCL4Rec(encoder="transformer", heads=3)), "method.base.heads"),
        (Demure(base=Demure()), "method.base.use"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_a_refused_setting_of_a_base_is_named_where_it_stands(method, key):
    """Or a user would look for `heads` in a table that has none."""
    catalog = behaviours("easy", users=20, items=1000).catalog
    with pytest.raises(SettingsError) as refused:
        method.build(catalog)
    assert refused.value.path == key


FAST = (CL4SRec, CauseRec)
ALL = [pytest.param(each, marks=[] if isinstance(each, FAST) else [pytest.mark.slow]) for each in AROUND]


@pytest.mark.parametrize("method", ALL, ids=lambda method: type(method).__name__)
def test_what_stands_around_a_base_has_its_rows(method):
    """Judged by other rows than its base, an opponent would win or lose by what it is trained on."""
    assert method.rows == "prefix"
    check_method(method)
