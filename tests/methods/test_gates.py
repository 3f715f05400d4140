"""Gates: leave-one-out, calibrated, blind to the future. What breaks here makes look-alike content win every gate."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec import seeds
from siftrec.errors import DataError
from siftrec.methods.gates import Gate, Gating, agreement, settled
from siftrec.nn.towers import Parts, Seen

SIZE, KINDS = 40, ("softmax", "sigmoid", "attention", "none", "random", "oracle")


def gating(kind: str = "softmax", causal: bool = False, calibrated: bool = True, alike: float = 0.0) -> Gating:
    """A gate over 40 items with three modalities; with `alike` all vectors of the last share that much."""
    rng = seeds.generator(3, "gates")
    present = torch.rand(SIZE, 3, generator=rng) < 0.8
    present[0] = False
    vectors = torch.randn(SIZE, 3, 8, generator=rng)
    vectors[:, 2] += alike
    found = Gating(Gate(kind=kind, calibrated=calibrated), "abc", present, 8, causal)  # type: ignore[arg-type]
    found.keep(torch.arange(SIZE), Parts(F.normalize(vectors, dim=2) * present.unsqueeze(2), present * 2.0, present))
    if kind == "attention":
        torch.nn.init.normal_(found.ask, generator=rng)
    return found


def histories(seed: int, rows: int = 5, length: int = 9) -> torch.Tensor:
    rng = seeds.generator(seed, "histories")
    items = torch.randint(1, SIZE, (rows, length), generator=rng)
    padding = torch.randint(0, length, (rows, 1), generator=rng)
    return items * (torch.arange(length) >= padding)


def look(gate: Gating, items: torch.Tensor, shown: torch.Tensor | None = None) -> Seen:
    return gate.look(gate.parts, torch.arange(SIZE), items, shown)


def fitted(gate: Gating, rounds: int = 60) -> Gating:
    for each in range(rounds):
        items = histories(100 + each, rows=64)
        gate.observe(gate.background(look(gate, items), items, 32, seeds.generator(each, "background")))
    return gate


@cache
def ready(causal: bool) -> Gating:
    return fitted(gating(causal=causal))


@settings(max_examples=20)
@given(seed=st.integers(0, 500), kind=st.sampled_from(KINDS), causal=st.booleans())
def test_weights_are_shared_out_among_what_is_present(seed: int, kind: str, causal: bool) -> None:
    gate, items = gating(kind, causal), histories(seed)
    seen = look(gate, items)
    weight = gate(seen, items).weight_BML
    assert not weight[~seen.present_BML].any()
    torch.testing.assert_close(weight.sum(dim=1), seen.present_BML.any(dim=1).float())
    assert (weight >= 0).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 500), causal=st.booleans(), padding=st.integers(0, 4))
def test_padding_and_the_order_of_the_batch_change_nothing(seed: int, causal: bool, padding: int) -> None:
    gate, items = ready(causal), histories(seed)
    clean = gate(look(gate, items), items).weight_BML
    padded = F.pad(items, (padding, 0)).flip(0)
    torch.testing.assert_close(gate(look(gate, padded), padded).weight_BML.flip(0)[..., padding:], clean)


def test_where_the_future_is_the_answer_a_later_interaction_changes_no_earlier_gate() -> None:
    items = histories(8)
    other = items.clone()
    other[:, -2:] = other[:, -2:] % (SIZE - 1) + 1
    for causal in (True, False):
        gate = ready(causal)
        same = [gate(look(gate, each), each).weight_BML[..., :-2] for each in (items, other)]
        assert torch.equal(*same) == causal


def test_agreement_equals_a_loop_and_the_same_content_does_not_vouch_for_itself() -> None:
    gate = gating()
    items = torch.tensor([[0, 4, 7, 4, 9, 12]])
    seen = look(gate, items)
    found, evidence = agreement(seen, 2, causal=False)
    for m in range(3):
        for t in range(1, 6):
            cosines = [
                float(seen.units_BMLD[0, m, t] @ seen.units_BMLD[0, m, s])
                for s in range(1, 6)
                if items[0, s] != items[0, t] and seen.present_BML[0, m, s] and seen.present_BML[0, m, t]
            ]
            best = sorted(cosines)[-2:]
            assert evidence[0, m, t] == len(cosines)
            if best:
                assert float(found[0, m, t]) == pytest.approx(sum(best) / len(best), abs=1e-5)


@pytest.mark.parametrize(("alike", "causal"), [(0.0, False), (0.0, True), (10.0, False), (30.0, False), (100.0, False)])
def test_a_popularity_drawn_item_has_mean_0_and_deviation_1_in_every_modality(alike: float, causal: bool) -> None:
    gate = fitted(gating(causal=causal, alike=alike))
    items, rng = histories(7, rows=100), seeds.generator(99, "fresh")
    drawn = [gate.background(look(gate, items), items, 32, rng) for _ in range(20)]
    raw, evidence = (torch.cat([each[i] for each in drawn]) for i in (0, 2))
    score = gate.calibrated(raw, evidence)
    for m in range(3):
        own = score[:, m][evidence[:, m] > 0]
        assert abs(float(own.mean())) < 0.1
        if m == 2 and alike > 10:
            assert float(own.std()) < 1.1  # the least deviation stands in for a smaller one
        else:
            assert float(own.std()) == pytest.approx(1, abs=0.1)


def test_the_deviation_of_content_that_looks_alike_is_exact() -> None:
    """A sum of squares near 1 keeps too few digits in float32: scores of such content were anything up to hundreds."""
    gate, items = gating(alike=12.0), histories(3, rows=400)
    background = gate.background(look(gate, items), items, 32, seeds.generator(4, "background"))
    for _ in range(50):
        gate.observe(background)
    _, deviation = gate.scale()
    for evidence in (3, 4, 5):
        own = background.raw_BMJ[:, 2][background.evidence_BMJ[:, 2] == evidence].double()
        assert float(deviation[2, evidence]) == pytest.approx(float(own.std(unbiased=False)), rel=1e-4)
        assert float(deviation[2, evidence]) > 1e-3


@pytest.mark.parametrize("alike", [10.0, 30.0, 100.0])
def test_without_calibration_content_that_looks_alike_wins_every_gate(alike: float) -> None:
    items = histories(5, rows=200)
    mass = {}
    for calibrated in (True, False):
        gate = fitted(gating(alike=alike, calibrated=calibrated))
        seen = look(gate, items)
        everything = seen.present_BML.all(dim=1)
        gated = gate(seen, items)
        mass[calibrated] = float(gated.weight_BML[:, 2][everything].mean())
        assert not calibrated or float(gated.score_BML.abs().max()) < 10
    assert mass[True] == pytest.approx(1 / 3, abs=0.07)
    assert mass[False] > 0.6


def test_histories_that_show_another_number_of_modalities_are_refused() -> None:
    gate, items = gating(), torch.tensor([[3, 4, 5, 6]])
    with pytest.raises(DataError, match="histories show 2 modalities, the method was built for 3: a, b, c"):
        look(gate, items, items.unsqueeze(2).repeat(1, 1, 2))


def test_no_neighbour_no_opinion() -> None:
    gate = fitted(gating())
    items = torch.tensor([[0, 0, 5], [6, 6, 6]])
    gated = gate(look(gate, items), items)
    assert not gated.evidence_BML.any()
    assert not gated.score_BML.any()
    present = gated.seen.present_BML.float()
    torch.testing.assert_close(gated.weight_BML, present / present.sum(dim=1, keepdim=True).clamp_min(1))


def test_the_gate_reads_what_was_shown_and_the_oracle_knows_what_is_foreign() -> None:
    gate, items = gating("oracle"), torch.tensor([[3, 4, 5, 6]])
    shown = items.unsqueeze(2).repeat(1, 1, 3)
    shown[0, 1, 0] = 9
    seen = look(gate, items, shown)
    assert seen.codes_BML[0, 0, 1] == 9
    assert torch.equal(seen.units_BMLD[0, 0, 1], gate.parts.units_nMD[9, 0])
    weight = gate(seen, items).weight_BML
    assert gate.parts.present_nM[4, 1:].any()
    assert float(weight[0, 0, 1]) < 1e-9


def test_weights_kept_for_a_view_are_shared_out_among_what_it_left() -> None:
    gate, items = gating(), histories(2)
    seen = look(gate, items)
    clean = gate(seen, items)
    torch.testing.assert_close(settled(seen, clean.weight_BML).weight_BML, clean.weight_BML)
    left = replace_present(seen)
    found = settled(left, clean.weight_BML).weight_BML
    assert not found[:, 0].any()
    torch.testing.assert_close(found.sum(dim=1), left.present_BML.any(dim=1).float())


def test_an_item_put_where_its_modalities_had_no_weight_is_read_by_all_it_has() -> None:
    """It would be a silent deletion otherwise, counted as the damage of a replacement."""
    gate, items = gating(), histories(2)
    seen = look(gate, items)
    only_first = torch.zeros_like(seen.present_BML, dtype=torch.float32)
    only_first[:, 0] = 1.0
    left = replace_present(seen)
    found = settled(left, only_first).weight_BML
    present_BML = left.present_BML.float()
    torch.testing.assert_close(found, present_BML / present_BML.sum(dim=1, keepdim=True).clamp_min(1))


def replace_present(seen: Seen) -> Seen:
    """The same content without the first modality."""
    present = seen.present_BML.clone()
    present[:, 0] = False
    return seen._replace(present_BML=present)


def test_supervision_alone_moves_the_gate() -> None:
    gate, items = fitted(gating()), histories(4)
    gated = gate(look(gate, items), items)
    assert not gated.weight_BML.requires_grad
    assert gate.logits(gated.score_BML, gated.habit_BML).requires_grad
    control = gating("attention")
    weighed = control(look(control, items), items)
    assert weighed.weight_BML.requires_grad
    assert not settled(weighed.seen, weighed.weight_BML).weight_BML.requires_grad
    assert replace(Gate(), kind="sigmoid").judged
