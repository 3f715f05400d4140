"""Demure on planted causes, with null controls, and its exact promises."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import siftrec as sr
from methods.content import batch_of, fresh, log, small
from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch, pad
from siftrec.data.sequences import Sequences
from siftrec.errors import SettingsError, UsageError
from siftrec.methods.base import total
from siftrec.methods.contrast import Contrast, Views
from siftrec.methods.demure import Demure, Mil, give_content, slot_weights
from siftrec.methods.gates import Gate, GateName
from siftrec.methods.late import LateFusion
from siftrec.methods.model import History, SequenceModel
from siftrec.methods.slots import SlotViews
from siftrec.methods.trained import Trained
from siftrec.nn.late import Lifted
from siftrec.noise.modal import preference
from siftrec.synthetic.causes import PlantedCauses
from siftrec.synthetic.modalities import Size, modalities
from siftrec.testing import check_method

OFF = Contrast(vanilla=0.0, graded=0.0, over=0.0)
LATE = LateFusion(dim=16, length=8, negatives=64)
CCL = sr.CCL4Rec(dim=16, length=8, negatives=64, views=Views(queue=64, offers=16))
SAS = sr.SASRec(dim=16, length=8, negatives=64)
BASES = {"late": LATE, "ccl4rec": CCL, "sasrec": SAS}


@pytest.mark.parametrize("name", ["late", "ccl4rec", pytest.param("sasrec", marks=pytest.mark.slow)])
def test_contract(name: str) -> None:
    check_method(Demure(base=BASES[name], views=SlotViews(offers=16) if name == "late" else None))


@pytest.mark.slow
def test_late_fusion_keeps_the_contract_without_a_gate_of_its_own() -> None:
    check_method(LATE)


@cache
def world(null: bool = False) -> PlantedCauses:
    return modalities(size=Size(users=700, items=900), null=null)


@cache
def trained(kind: GateName, null: bool = False, lift: Lifted = "none") -> Trained:
    planted = world(null)
    method = Demure(base=LateFusion(dim=32, negatives=128, lift=lift), gate=Gate(kind=kind))
    options = {"epochs": 4, "patience": 0, "rows_per_user": 4, "learning_rate": 0.01, "schedule": "constant"}
    return sr.fit(method, planted.split, planted.catalog, seed=1, **options)


def found(kind: GateName, null: bool = False) -> tuple[float, float]:
    """Top-1 share of causes among interactions with all modalities, and correlation with the planted preferences."""
    planted = world(null)
    log = planted.split.fitting.recode(planted.catalog.vocab).train
    weights = slot_weights(trained(kind, null), log)
    cause = planted.cause_E[planted.split.role == 0]
    asked = weights.present_EM.all(axis=1) & (cause >= 0)
    top = float((weights.weight_EM[asked].argmax(axis=1) == cause[asked]).mean())
    share = np.zeros((len(log), 3))
    np.add.at(share, log.owners, weights.weight_EM * weights.share_E[:, None])
    return top, float(np.corrcoef(share.ravel(), planted.preference_UM.ravel())[0, 1])


def test_the_cause_is_found_where_asking_the_content_alone_is_at_chance() -> None:
    top, preference = found("softmax")
    control, _ = found("attention")
    assert top > 0.7
    assert preference > 0.75
    assert abs(control - 1 / 3) < 0.03


def test_where_nothing_was_planted_nothing_is_found() -> None:
    planted = world(null=True)
    log = planted.split.fitting.recode(planted.catalog.vocab).train
    score = slot_weights(trained("softmax", null=True), log).score_EM
    assert np.abs(score.mean(axis=0)).max() < 0.15
    top, preference = found("softmax", null=True)
    assert abs(top - 1 / 3) < 0.03
    assert abs(preference) < 0.1


def test_the_cause_is_found_beside_a_lift_of_the_ids() -> None:
    """As `LateFusion` is by default; all else here is of similarities alone, where a score is nothing but them."""
    planted = world()
    log = planted.split.fitting.recode(planted.catalog.vocab).train
    weights, cause = slot_weights(trained("softmax", lift="ids"), log), planted.cause_E[planted.split.role == 0]
    asked = weights.present_EM.all(axis=1) & (cause >= 0)
    assert (weights.weight_EM[asked].argmax(axis=1) == cause[asked]).mean() > 0.7


@pytest.mark.parametrize("lift", ["none", "ids"])
@pytest.mark.parametrize("length", [2, 5, 20])
def test_where_nothing_was_planted_scores_are_deviations_at_every_length(lift: Lifted, length: int) -> None:
    """A scale that is of long histories alone, or of an earlier model, would call a new user's first items foreign."""
    planted = world(null=True)
    log = planted.split.fitting.recode(planted.catalog.vocab).train
    place = np.arange(len(log.items)) - np.repeat(log.offsets[:-1], log.lengths)
    score = slot_weights(trained("softmax", null=True, lift=lift), log.where(place < length)).score_EM
    assert np.abs(score.mean(axis=0)).max() < (0.15 if length == 20 else 0.2)  # short ones: few interactions to judge
    assert score.std(axis=0) == pytest.approx(np.ones(3), abs=0.15)


@pytest.mark.parametrize("name", ["ccl4rec", "sasrec"])
def test_without_a_gate_and_without_foreign_content_it_is_exactly_the_base(name: str) -> None:
    base, catalog = BASES[name], small()
    plain, around = fresh(base, catalog), fresh(Demure(base=base, gate=Gate(kind="none")), catalog)
    if name == "sasrec":
        give_content(plain, catalog)
    state = around.state_dict()
    plain.load_state_dict({key: state[key] for key in plain.state_dict()})
    batch = batch_of(base, log())
    losses = [
        total(m.loss(each.train(), batch, seeds.generator(1, "loss")))
        for m, each in ((base, plain), (Demure(base=base, gate=Gate(kind="none")), around))
    ]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-5)
    items = pad(log(), np.arange(40), 8)
    torch.testing.assert_close(plain.eval().scores(items), around.eval().scores(items), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:modality 'audio' has vectors for only")
@pytest.mark.parametrize("name", BASES)
def test_content_that_nothing_shows_changes_nothing(name: str) -> None:
    """A modality that no item of a history and no candidate has must not move a score: coverage is often partial."""
    method = Demure(base=BASES[name])
    two, three = fresh(method, small()), fresh(method, small(extra=True))
    three.load_state_dict(narrowed(three, two))
    items = pad(log(), np.arange(40), 8)
    torch.testing.assert_close(
        three.eval().scores(items)[:, 1:60], two.eval().scores(items)[:, 1:60], atol=1e-5, rtol=1e-5
    )


def narrowed(wide: SequenceModel, narrow: SequenceModel) -> dict[str, torch.Tensor]:
    """The state of `wide` with all that `narrow` also has taken from there, modality by modality."""
    state = {}
    source = narrow.state_dict()
    for name, value in wide.state_dict().items():
        state[name] = value.clone()
        if name not in source or name in ("item_vectors", "extra.content") or name.startswith("gating.present"):
            continue
        own = source[name]
        if name == "encoder.scale":
            state[name] = torch.cat([own[:2], value[2:3], own[2:]])
        else:
            state[name][tuple(slice(0, n) for n in own.shape)] = own
    return state


@pytest.mark.parametrize("name", BASES)
def test_gates_and_vectors_depend_on_the_history_alone(name: str) -> None:
    method = Demure(base=BASES[name])
    batch = batch_of(method, log(shown=True))
    other = replace(batch, targets_BP=(batch.targets_BP % 58 + 1) * (batch.targets_BP > 0))
    found = []
    for each in (batch, other):
        model = fresh(method, small()).train()
        gated = method.step(model, each, seeds.generator(1, "step")).history.gated
        assert gated is not None
        assert model.gating is not None
        vectors = model.history(model.local(each.items_BL, each.shown_BLM), each.items_BL, each.shown_BLM).vectors_BLD
        with torch.no_grad():
            stepped = method.step(model, each, seeds.generator(1, "step")).history.vectors_BLD
        found.append((gated.weight_BML, model.gating.get_buffer("moments"), vectors, stepped))
    for one, same in zip(*found, strict=True):
        assert torch.equal(one, same)


def test_a_later_interaction_changes_no_earlier_state_of_sasrec() -> None:
    """Every position is trained on its own target, so a gate that saw the future would see the answer."""
    model = fresh(Demure(base=SAS), small()).eval()
    items = pad(log(), np.arange(40), 8)
    other = items.clone()
    other[:, -1] = other[:, -1] % 58 + 1
    both = [model.history(model.kept, each).vectors_BLD[:, :-1] for each in (items, other)]
    assert torch.equal(*both)


@pytest.mark.parametrize("name", BASES)
def test_what_was_shown_is_what_counts(name: str) -> None:
    model = fresh(Demure(base=BASES[name]), small()).eval()
    sequences = log(shown=True)
    items, shown = (
        pad(sequences, np.arange(40), 8),
        torch.from_numpy(sequences.shown.reshape(40, 7, 2).astype(np.int64)),
    )
    own = items.unsqueeze(2).expand(-1, -1, 2).contiguous()
    torch.testing.assert_close(model.users(items, own), model.users(items), atol=1e-5, rtol=1e-5)
    assert (model.users(items, shown) - model.users(items)).abs().max() > 1e-3


@pytest.mark.parametrize("name", BASES)
def test_an_item_without_any_content_is_scored_and_read(name: str) -> None:
    model = fresh(Demure(base=BASES[name]), small()).eval()
    scores = model.scores(torch.tensor([[59, 59], [3, 59], [0, 59]]))
    assert scores.isfinite().all()
    if name == "late":
        late = fresh(Demure(base=replace(LATE, ids=False)), small())
        torch.nn.init.normal_(late.tower.get_parameter("default"))
        late = late.train().eval()
        assert late.scores(torch.tensor([[3, 4]]))[0, 59] != 0


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "attention", "none", "random", "oracle"])
@pytest.mark.parametrize("damage", ["foreign", "mask", "noise"])
def test_every_gate_and_every_damage_gives_a_loss_that_can_be_descended(kind: GateName, damage: str) -> None:
    views = SlotViews(damage=damage, offers=8, contrast=Contrast(warmup=0, projection="mlp"))  # type: ignore[arg-type]
    method = Demure(base=replace(CCL, contrast=OFF), gate=Gate(kind=kind), views=views, mil=Mil(kind="logistic"))
    model = fresh(method, small()).train()
    losses = method.loss(model, batch_of(method, log(shown=True)), seeds.generator(1, "loss"))
    assert {"modality vanilla", "modality graded", "modality over"} < losses.keys()
    assert ("mil" in losses) == (kind in ("softmax", "sigmoid"))
    total(losses).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_weights_are_given_for_anybody_in_the_order_of_the_log_and_survive_the_artifact(tmp_path: Path) -> None:
    model = trained("softmax")
    rng = seeds.rng(3, "anybody")
    lengths = np.array([3, 0, 45, 1])
    histories = Sequences.from_items(rng.integers(1, 900, lengths.sum()), lengths)
    weights = slot_weights(model, histories)
    assert weights.names == ("text", "image", "audio")
    anything = weights.present_EM.any(axis=1)
    np.testing.assert_allclose(weights.weight_EM.sum(axis=1), anything, atol=1e-5)
    assert not weights.weight_EM[~weights.present_EM].any()
    assert not weights.score_EM[weights.evidence_EM == 0].any()
    assert not weights.evidence_EM[-1].any()
    alone = slot_weights(model, histories.take(np.array([0])))
    np.testing.assert_allclose(alone.weight_EM, weights.weight_EM[:3], atol=1e-6)
    assert weights.share_E[:3].sum() == pytest.approx(1, abs=1e-5)
    sr.save(model, tmp_path / "artifact")
    again = slot_weights(sr.load(tmp_path / "artifact"), histories)
    np.testing.assert_array_equal(again.weight_EM, weights.weight_EM)


@pytest.mark.parametrize(("lift", "ids"), [("ids", True), ("ids", False), ("all", True)])
def test_a_lift_of_the_id_leaves_similarities_of_content_what_they_are(lift: Lifted, ids: bool) -> None:
    """The part of the score that a modality has stays a weighted sum of similarities, which is what is shown to people."""
    plain, lifted = (fresh(replace(LATE, lift=how, ids=ids), small()).eval() for how in ("none", lift))
    with torch.no_grad():
        lifted.load_state_dict(plain.state_dict(), strict=False)
    items = pad(log(), np.arange(40), 8)
    before, after = plain.users(items), lifted.users(items)
    content = 2 * LATE.dim
    assert torch.equal(before[:, :content], after[:, :content]) == (lift == "ids")
    assert torch.equal(before[:, content:], after[:, content:]) == (not ids)


def test_a_catalog_without_content_is_refused_before_training() -> None:
    with pytest.raises(SettingsError, match="the catalog has none"):
        Demure().build(Catalog(small().vocab.ids))


def test_late_fusion_without_content_is_refused_before_training() -> None:
    with pytest.raises(SettingsError, match="LateFusion keeps modalities apart, and the catalog has none"):
        LateFusion().build(Catalog(small().vocab.ids))


def test_a_gate_around_a_gate_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"method\.base\.use: one gate is enough"):
        Demure(base=Demure()).build(small())


def test_a_base_that_no_gate_reads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Demure around it would silently be the base."""
    method = Demure(base=LATE)
    model = fresh(method, small()).train()
    monkeypatch.setattr(SequenceModel, "history", lambda _, local, items, shown=None: History(local(items), None))
    with pytest.raises(SettingsError, match="LateFusion makes its histories without"):
        method.step(model, batch_of(method, log()), seeds.generator(1, "step"))


def test_views_without_any_loss_are_no_views() -> None:
    method = Demure(base=LATE, views=SlotViews(contrast=replace(OFF, warmup=0)))
    model = fresh(method, small()).train()
    losses = method.loss(model, batch_of(method, log()), seeds.generator(1, "loss"))
    assert set(losses) == {"next_item", "mil"}


def test_supervision_counts_interactions_by_the_weights_of_the_log() -> None:
    method = Demure(base=LATE, mil=Mil(weight=1.0))
    model, batch = fresh(method, small()).train(), batch_of(method, log())

    def mil(trust: torch.Tensor) -> float:
        return method.loss(model, replace(batch, trust_BL=trust), seeds.generator(1, "loss"))["mil"].item()

    first = torch.ones_like(batch.trust_BL)
    first[: len(batch) // 2] = 0
    whole = torch.ones_like(batch.trust_BL)
    assert mil(whole * 0) == 0
    assert mil(whole * 0.5) == pytest.approx(mil(whole), abs=1e-5)
    assert abs(mil(first) - mil(whole)) > 1e-4


@pytest.mark.parametrize(
    "name", ["late", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ccl4rec", "sasrec"))]
)
def test_two_threads_give_one_gradient(name: str) -> None:
    """A gradient that depends on which thread came first makes two runs of one seed differ."""
    method = Demure(base=BASES[name], views=SlotViews(offers=16, contrast=Contrast(warmup=0)))
    batch = batch_of(method, log(rows=400, shown=True), 256)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, again, third = (gradients(method, batch) for _ in range(3))
    finally:
        torch.set_num_threads(before)
    for one, *others in zip(first, again, third, strict=True):
        assert all(torch.equal(one, other) for other in others)


def gradients(method: Demure, batch: Batch) -> list[torch.Tensor]:
    model = fresh(method, small()).train()
    total(method.loss(model, batch, seeds.generator(1, "loss"))).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def test_views_are_read_with_the_trust_of_the_clean_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector asked about substitutes would judge what the user never had, at each step for every view."""
    on = Contrast(warmup=0)
    method = Demure(base=replace(CCL, contrast=on), views=SlotViews(offers=16, contrast=on))
    model, batch = fresh(method, small()).train(), batch_of(CCL, log())
    trust_BL = -torch.rand(batch.items_BL.shape, generator=seeds.generator(1, "trust"))
    judged: list[torch.Tensor] = []
    read: list[torch.Tensor] = []
    encode = model.encoder.forward
    monkeypatch.setattr(model, "log_trust", lambda items, *_: judged.append(items) or trust_BL)
    monkeypatch.setattr(model.encoder, "forward", lambda *given: read.append(given[3]) or encode(*given))
    losses = method.loss(model, batch, seeds.generator(1, "loss"))
    assert {"graded", "modality graded"} < losses.keys()
    assert len(judged) == 1
    clean, *views = read
    assert clean is trust_BL
    assert len(views) == 2
    known = {tuple(row) for row in trust_BL.tolist()}
    assert all(tuple(row) in known for each in views for row in each.tolist())


def test_an_encoder_that_reads_in_order_has_no_shares() -> None:
    """Equal shares would be told as what the model attended to."""
    method = Demure(base=SAS)
    planted = world()
    model = sr.fit(method, planted.split, planted.catalog, seed=1, epochs=1, patience=0, rows_per_user=1)
    histories = Sequences.from_items(np.array([3, 4, 5, 9]), np.array([3, 1]))
    found = sr.slot_weights(model, histories)
    split: Any = planted.split
    with pytest.raises(UsageError, match=r"^histories: Split is not histories in .*; give split.train, or events\.seq"):
        slot_weights(model, split)
    with pytest.raises(UsageError, match=r"^histories: has item code [0-9]+, the catalog [0-9]+ items"):
        slot_weights(model, Sequences.from_items(np.array([len(planted.catalog)]), np.array([1])))
    assert np.isnan(found.share_E).all()
    told = preference(found, histories)
    np.testing.assert_allclose(told[0], found.weight_EM[:3].mean(axis=0), atol=1e-5)


def test_a_method_without_a_gate_is_refused_by_name() -> None:
    planted = world()
    popular = sr.fit(sr.Popularity(), planted.split, planted.catalog)
    with pytest.raises(UsageError, match="Popularity weighs no modalities"):
        slot_weights(popular, Sequences.from_items(np.array([1]), np.array([1])))
