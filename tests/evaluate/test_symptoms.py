"""The symptoms of noise: each measure is what its definition says, and says nothing where there is nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siftrec.data.sequences import Sequences
from siftrec.evaluate.rank import rank
from siftrec.evaluate.symptoms import halves, out_of_interest, re_identified, symptoms, uniformity, user_vectors
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.contrast import Contrast
from siftrec.methods.popularity import Popularity
from siftrec.noise.inject import inject
from siftrec.synthetic import Planted, behaviours
from siftrec.train.fit import fit

NEXT = CCL4Rec(dim=16, length=20, ids=False, contrast=Contrast(vanilla=0.0, graded=0.0, over=0.0))


def vectors(count: int, dim: int, seed: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, dim)))


def test_users_that_are_all_the_same_are_not_spread_and_opposite_ones_are() -> None:
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0.0, abs=1e-6)
    assert uniformity(torch.eye(4)) == pytest.approx(-4.0)
    assert uniformity(torch.tensor([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(-8.0)


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 99))
def test_uniformity_knows_neither_order_nor_rotation_nor_length(count: int, dim: int, seed: int) -> None:
    users_QD, rotation = vectors(count, dim, seed), torch.linalg.qr(vectors(dim, dim, seed))[0]
    lengths = torch.linspace(0.5, 3.0, count, dtype=torch.float64)
    moved = (users_QD @ rotation * lengths[:, None]).flip(0)
    assert uniformity(moved) == pytest.approx(uniformity(users_QD), abs=1e-9)


def test_halves_that_say_the_same_find_each_other_and_others_do_so_by_chance() -> None:
    users_QD = vectors(400, 8)
    assert re_identified(users_QD, 7 * users_QD) == 1.0
    assert re_identified(users_QD, users_QD.roll(1, 0)) == 0.0
    assert re_identified(users_QD, vectors(400, 8, 4)) < 0.02, "1/400 by chance"


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_halves_share_a_history_interaction_by_interaction(lengths: list[int]) -> None:
    whole = Sequences.from_items(np.arange(1, sum(lengths) + 1), np.array(lengths))
    first, second = halves(whole)
    for row in range(len(whole)):
        assert first[row].tolist() == whole[row][::2].tolist()
        assert second[row].tolist() == whole[row][1::2].tolist()


@given(st.integers(0, 10_000))
def test_out_of_interest_is_what_a_loop_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cluster_N = np.concatenate([[-1], rng.integers(-1, 4, 30)])
    lengths = rng.integers(0, 5, 6)
    interests = Sequences.from_items(rng.integers(1, 31, lengths.sum()), lengths)
    top_QK = rng.integers(0, 31, (6, 5))
    judged = [
        cluster_N[code] not in {cluster_N[item] for item in interests[row]}
        for row, codes in enumerate(top_QK)
        for code in codes
        if code > 0 and cluster_N[code] >= 0
    ]
    found = out_of_interest(top_QK, interests, cluster_N)
    assert found == pytest.approx(np.mean(judged)) if judged else math.isnan(found)


def test_an_item_of_unknown_cluster_vouches_for_no_other_unknown_one() -> None:
    """Else whoever lacks content would be of interest to everybody who had something without."""
    assert math.isnan(
        out_of_interest(np.array([[2]]), Sequences.from_items(np.array([1]), np.array([1])), np.full(3, -1))
    )


def measured(world: Planted, method: CCL4Rec | Popularity, rho: float = 0.0) -> dict[str, float]:
    """The symptoms of a short training with that share of planted noise, with the truth as clusters."""
    split = inject(world.split, "replace", rho, 1).split
    trained = fit(method, split, world.catalog, seed=1, **({"epochs": 3} if method is NEXT else {}))
    popularity_N = world.split.train.counts(len(world.catalog))
    return symptoms(trained, split.test, popularity_N, {"topics": world.item_topic})


def test_noise_makes_users_indiscriminate_and_recommendations_weird() -> None:
    """What the measures are for; interests are those of the log before noise was planted."""
    world = behaviours("easy", rho=0.0, users=400, items=1000, seed=2)
    clean, noisy = measured(world, NEXT), measured(world, NEXT, rho=0.6)
    assert noisy["re-identified"] < clean["re-identified"] - 0.05
    assert noisy["out of interest@10, topics"] > clean["out of interest@10, topics"] + 0.05


def test_counted_methods_have_lists_and_no_vectors() -> None:
    world = behaviours("easy", users=200, items=500, seed=2)
    popular, learned = measured(world, Popularity()), measured(world, NEXT)
    assert set(popular) == {"popularity@10", "out of interest@10, topics"}
    assert set(learned) == set(popular) | {"re-identified", "uniformity"}
    assert popular["popularity@10"] > learned["popularity@10"]


def test_users_are_read_as_ranking_reads_them_however_many_are_asked() -> None:
    world = behaviours("easy", users=600, items=500, length=8, seed=2)
    trained = fit(NEXT, world.split, world.catalog, seed=1, epochs=1)
    histories = world.split.test.histories
    all_QD = user_vectors(trained.scorer, NEXT.length, histories)  # type: ignore[arg-type]
    some_QD = user_vectors(trained.scorer, NEXT.length, histories.take(np.array([599, 3])))  # type: ignore[arg-type]
    torch.testing.assert_close(all_QD[[599, 3]], some_QD)
    ranked = rank(trained.scorer, NEXT.length, world.split.test, 1).top["none"][:, 0]
    scores_QN = all_QD @ trained.scorer.items().T  # type: ignore[attr-defined]
    assert (scores_QN[:, 1:].argmax(dim=1) + 1 == torch.from_numpy(ranked.astype(np.int64))).all()
