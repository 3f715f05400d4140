import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluate.stubs import Matrix, Vectors, questions, random_questions
from siftrec.errors import SettingsError
from siftrec.evaluate.metrics import METRICS, Ranks, arp, item_coverage, parse
from siftrec.evaluate.rank import FILTERS, Filter, rank
from siftrec.train.settings import Training

QUESTIONS, CATALOG = 60, 150
CUTOFFS = (1, 5, 10, 50)


@pytest.fixture(scope="module", params=["plain, many ties", "vectors"])
def ranked(request: pytest.FixtureRequest) -> list:
    """Rankings of one random problem under several byte budgets."""
    rng = np.random.default_rng(11)
    part = random_questions(rng, QUESTIONS, CATALOG, most_targets=12)
    if request.param == "vectors":
        scorer = Vectors(*(torch.from_numpy(rng.normal(size=(n, 8)).astype(np.float32)) for n in (QUESTIONS, CATALOG)))
    else:
        scorer = Matrix(torch.from_numpy(rng.integers(0, 20, (QUESTIONS, CATALOG)).astype(np.float32)))
    return [(rank(scorer, 4, part, CATALOG - 1, block_bytes=budget)) for budget in (1, 20_000, 2**28)]


def as_run(ranking, filter: Filter) -> tuple[dict, dict]:
    """The judgements, and our order of the whole list as strictly decreasing scores."""
    targets = {f"{q:03d}": {str(code): 1 for code in ranking.targets[q]} for q in range(QUESTIONS)}
    lists = {
        f"{q:03d}": {str(code): float(CATALOG - place) for place, code in enumerate(row) if code}
        for q, row in enumerate(ranking.top[filter])
    }
    return targets, lists


def ours(ranking, filter: Filter, name: str, k: int) -> np.ndarray:
    return METRICS[name](Ranks(ranking.ranks[filter], ranking.targets.owners, ranking.targets.lengths), k)


@pytest.mark.parametrize("filter", FILTERS)
def test_equals_ir_measures(ranked: list, filter: Filter) -> None:
    import ir_measures

    named = {"hr": "Success", "recall": "R", "precision": "P", "ndcg": "nDCG", "mrr": "RR"}
    wanted = {f"{theirs}@{k}": (name, k) for name, theirs in named.items() for k in CUTOFFS}
    for ranking in ranked:
        targets, lists = as_run(ranking, filter)
        found = ir_measures.iter_calc([ir_measures.parse_measure(name) for name in wanted], targets, lists)
        values = {(str(value.measure), int(value.query_id)): value.value for value in found}
        for theirs, (name, k) in wanted.items():
            expected = [values[theirs, q] for q in range(QUESTIONS)]
            np.testing.assert_allclose(ours(ranking, filter, name, k), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("filter", FILTERS)
def test_average_precision_is_that_of_ir_measures_but_for_its_divisor(ranked: list, filter: Filter) -> None:
    import ir_measures

    for ranking in ranked:
        targets, lists = as_run(ranking, filter)
        count = ranking.targets.lengths
        assert (count > 5).any()
        for k in CUTOFFS:
            found = ir_measures.iter_calc([ir_measures.parse_measure(f"AP@{k}")], targets, lists)
            theirs = {int(value.query_id): value.value for value in found}
            expected = np.array([theirs[q] for q in range(QUESTIONS)]) * count / np.minimum(count, k)
            np.testing.assert_allclose(ours(ranking, filter, "map", k), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("filter", FILTERS)
def test_equals_ranx(ranked: list, filter: Filter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # compiling it takes two minutes, interpreting it one second
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its compiler's own deprecations
        import ranx

        named = {
            "hr": "hit_rate",
            "recall": "recall",
            "precision": "precision",
            "f1": "f1",
            "ndcg": "ndcg",
            "mrr": "mrr",
        }
        wanted = [f"{theirs}@{k}" for theirs in named.values() for k in CUTOFFS]
        for ranking in ranked:
            targets, lists = as_run(ranking, filter)
            found = ranx.evaluate(ranx.Qrels(targets), ranx.Run(lists), wanted, return_mean=False)
            for name, theirs in named.items():
                for k in CUTOFFS:
                    expected = found[f"{theirs}@{k}"]
                    np.testing.assert_allclose(ours(ranking, filter, name, k), expected, rtol=0, atol=1e-9)


@given(ranks=st.lists(st.integers(1, 30), min_size=1, max_size=6, unique=True), k=st.integers(1, 30))
def test_loop_oracle_and_bounds(ranks: list[int], k: int) -> None:
    hits = [rank for rank in sorted(ranks) if rank <= k]
    ideal = sum(1 / math.log2(1 + place) for place in range(1, min(k, len(ranks)) + 1))
    expected = {
        "hr": float(bool(hits)),
        "recall": len(hits) / len(ranks),
        "precision": len(hits) / k,
        "f1": 2 * len(hits) / (k + len(ranks)),
        "ndcg": sum(1 / math.log2(1 + rank) for rank in hits) / ideal,
        "mrr": 1 / hits[0] if hits else 0.0,
        "map": sum(place / rank for place, rank in enumerate(hits, start=1)) / min(k, len(ranks)),
    }
    one = Ranks(np.array(ranks), np.zeros(len(ranks), np.int64), np.array([len(ranks)]))
    for name, metric in METRICS.items():
        value = metric(one, k)[0]
        assert value == pytest.approx(expected[name], abs=1e-12)
        assert 0 <= value <= 1


@given(ranks=st.lists(st.integers(2, 30), min_size=1, max_size=6, unique=True), k=st.integers(1, 30))
def test_a_better_rank_never_makes_a_metric_worse(ranks: list[int], k: int) -> None:
    better = ranks.copy()
    better[0] = next(rank for rank in range(1, 31) if rank not in ranks[1:])
    before, after = (Ranks(np.array(r), np.zeros(len(r), np.int64), np.array([len(r)])) for r in (ranks, better))
    if better[0] <= ranks[0]:
        for metric in METRICS.values():
            assert metric(after, k)[0] >= metric(before, k)[0] - 1e-12


def test_one_target_has_closed_forms() -> None:
    ranks = np.array([1, 3, 10, 11])
    one = Ranks(ranks, np.arange(4), np.ones(4, np.int64))
    inside = ranks <= 10
    assert METRICS["recall"](one, 10).tolist() == METRICS["hr"](one, 10).tolist() == inside.astype(float).tolist()
    np.testing.assert_allclose(METRICS["ndcg"](one, 10), inside / np.log2(1 + ranks))
    np.testing.assert_allclose(METRICS["mrr"](one, 10), inside / ranks)
    assert METRICS["map"](one, 10).tolist() == METRICS["mrr"](one, 10).tolist()


def test_the_best_list_has_average_precision_one_however_many_targets_there_are() -> None:
    both = Ranks(np.array([3, 1, 2, 1, 2]), np.array([0, 0, 0, 1, 1]), np.array([3, 2]))
    for k in (1, 2, 3, 10):
        assert METRICS["map"](both, k).tolist() == [1, 1]


def test_popularity_and_coverage_of_lists() -> None:
    top = np.array([[3, 1, 0], [3, 2, 1], [0, 0, 0]])
    popularity = np.array([99, 2, 4, 10])
    np.testing.assert_allclose(arp(top, popularity, 1), [10, 10, 0])
    np.testing.assert_allclose(arp(top, popularity, 3), [6, 16 / 3, 0])
    assert item_coverage(top, 8, 1) == 1 / 8
    assert item_coverage(top, 8, 3) == 3 / 8


@pytest.mark.parametrize(
    ("name", "message"),
    [("ndgc@10", "did you mean 'ndcg'"), ("ndcg", "cut-off"), ("ndcg@0", "cut-off"), ("ndcg@x", "cut-off")],
)
def test_a_name_that_is_no_metric_is_refused(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(name)


def test_training_can_be_led_by_every_metric_of_ranks() -> None:
    for name in METRICS:
        assert Training(metric=f"{name}@10").metric == f"{name}@10"
        with pytest.raises(SettingsError, match=rf"must be .*\b{name}\b"):
            Training(metric="foo@10")


def test_a_target_asked_twice_counts_once() -> None:
    scores = Matrix(torch.arange(9.0).flip(0).repeat(1, 1))
    ranking = rank(scores, 4, questions([[2, 2, 1]], [[]]))
    assert ranking.targets.lengths.tolist() == [2]
    assert ranking.ranks["none"].tolist() == [1, 2]
