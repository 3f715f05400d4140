"""The counted baselines against loop oracles, their contract, and the figures known for real data."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import itertools
import json
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import siftrec
from evaluate.stubs import trained
from siftrec.data.interactions import Interactions
from siftrec.data.loader import pad
from siftrec.data.sequences import Sequences
from siftrec.data.split import Fitting, LeaveOneOut, Part
from siftrec.data.vocab import Vocab
from siftrec.errors import EnvironmentProblem, SettingsError
from siftrec.methods.base import Counted
from siftrec.methods.ease import EASE, EASEScorer, dense_bytes
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.markov import Markov
from siftrec.methods.popularity import Popularity
from siftrec.settings import describe
from siftrec.testing import check_method

DATA = Path(__file__).parents[2].parent / "shared" / "data"
N = 9
ALL = [Popularity(), ItemKNN(), ItemKNN(length=3, neighbours=2, shrinkage=0.0, decay=1.0), Markov(), EASE()]
logs = st.lists(st.lists(st.integers(1, N - 1), max_size=7), min_size=1, max_size=6).filter(any)


def fitting(rows: list[list[int]], weights: np.ndarray | None = None, size: int = N) -> Fitting:
    flat = np.array(list(itertools.chain(*rows)), np.int32)
    train = dataclasses.replace(Sequences.from_items(flat, np.array([len(r) for r in rows])), weights=weights)
    vocab = Vocab.of(pl.Series(range(1, size)))
    valid = Part(
        np.arange(0), pl.Series("user", [], pl.Int64), train.take(np.arange(0)), *[train.take(np.arange(0))] * 2
    )
    return Fitting(train, valid, vocab)


def scored(method: Counted, rows: list[list[int]], history: list[int]) -> np.ndarray:
    items_BL = torch.tensor([[0, *history]], dtype=torch.int64)
    return method.fit(fitting(rows)).scores(items_BL)[0].numpy()


def share(rows: list[list[int]]) -> np.ndarray:
    counts = Counter(itertools.chain(*rows))
    return np.array([counts[i] for i in range(N)]) / sum(counts.values())


@pytest.mark.parametrize("method", ALL, ids=repr)
def test_contract(method: Counted) -> None:
    check_method(method)


@given(logs, st.lists(st.integers(1, N - 1), max_size=5))
def test_popularity_counts(rows: list[list[int]], history: list[int]) -> None:
    np.testing.assert_allclose(scored(Popularity(), rows, history), share(rows), rtol=1e-6)


@given(logs, st.lists(st.integers(1, N - 1), max_size=5))
def test_markov_counts_transitions(rows: list[list[int]], history: list[int]) -> None:
    expected = share(rows)
    for row in rows:
        for came, went in itertools.pairwise(row):
            if history and came == history[-1]:
                expected[went] += 1
    np.testing.assert_allclose(scored(Markov(), rows, history), expected, rtol=1e-6)


@given(logs, st.lists(st.integers(1, N - 1), max_size=5), st.integers(1, 3), st.sampled_from([1.0, 0.5]))
def test_itemknn_sums_cosines_over_the_last_items(
    rows: list[list[int]], history: list[int], length: int, decay: float
) -> None:
    users = {i: {u for u, row in enumerate(rows) if i in row} for i in range(N)}
    expected = 1e-4 * share(rows)
    counted: set[int] = set()
    for age, item in enumerate(reversed(history[-length:])):
        if item in counted:
            continue
        counted.add(item)
        for other in range(1, N):
            if other != item:
                denominator = math.sqrt(len(users[item]) * len(users[other])) + 2.0
                expected[other] += decay**age * len(users[item] & users[other]) / denominator
    method = ItemKNN(length=length, neighbours=N, shrinkage=2.0, decay=decay)
    np.testing.assert_allclose(scored(method, rows, history), expected, rtol=1e-5, atol=1e-9)


def test_itemknn_keeps_the_nearest_only() -> None:
    rows = [[1, 2], [1, 2], [1, 3], [2, 4]]
    scores = scored(ItemKNN(neighbours=1, shrinkage=0.0), rows, [1])
    assert scores[2] > 0.5
    assert scores[3] < 1e-3


def test_a_catalog_of_one_item_has_a_fingerprint() -> None:
    """Item-kNN on a log of one item was trained and then not to be evaluated or saved, with an error from inside torch."""
    table = pl.DataFrame({"user": [1, 1, 1, 2, 2], "item": [5, 5, 5, 5, 5], "time": [1, 2, 3, 1, 2]})
    split = siftrec.leave_one_out(siftrec.read(table))
    assert len(siftrec.fit(ItemKNN(), split).fingerprint) == 64


@pytest.mark.parametrize("order", list(itertools.permutations([2, 3, 4, 5], 4))[::5])
def test_of_items_equally_near_the_first_are_kept(order: tuple[int, ...]) -> None:
    """In small logs most cosines are equal: which of them count must not hang on the order in which they were seen."""
    scores = scored(ItemKNN(neighbours=2, shrinkage=1.0), [[1, item] for item in order], [1])
    assert np.flatnonzero(scores > 0.1).tolist() == [2, 3]


@given(logs, st.lists(st.integers(1, N - 1), max_size=5))
def test_ease_is_its_closed_form(rows: list[list[int]], history: list[int]) -> None:
    users = np.array([[float(i in row) for i in range(N)] for row in rows])
    inverse = np.linalg.inv(users.T @ users + 2.0 * np.eye(N))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    expected = weights[sorted(set(history))].sum(axis=0) + 1e-4 * share(rows)
    np.testing.assert_allclose(scored(EASE(l2=2.0), rows, history), expected, atol=1e-5)


@pytest.mark.parametrize("method", ALL, ids=repr)
def test_an_empty_history_gets_the_popularity_order(method: Counted) -> None:
    scores = scored(method, [[1, 2], [2, 3, 2], [3, 2]], [])
    assert list(np.argsort(-scores, kind="stable")[:3]) == [2, 3, 1]


@pytest.mark.parametrize("method", ALL, ids=repr)
def test_an_untrained_item_scores_lowest(method: Counted) -> None:
    scores = scored(method, [[1, 2, 3], [2, 3, 1], [3, 1, 2]], [1])
    assert (scores[4:] == 0).all()
    assert (scores[2:4] > 0).all()


@pytest.mark.parametrize("method", ALL, ids=repr)
def test_an_event_of_weight_zero_counts_like_one_that_is_not_there(method: Counted) -> None:
    with_noise, without = [[1, 2, 3], [2, 3, 7], [3, 5]], [[1, 2, 3], [2, 3], [3, 5]]
    weights = np.array([1, 1, 1, 1, 1, 0, 1, 1], np.float32)
    items_BL = torch.tensor([[1, 2], [2, 3]])
    weighted = method.fit(fitting(with_noise, weights)).scores(items_BL)
    torch.testing.assert_close(weighted, method.fit(fitting(without)).scores(items_BL))


def traced_peak(call: Callable[[], object]) -> int:
    """Most bytes that NumPy and Python hold during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def everything_twice(items: int) -> Fitting:
    """Two users who had every item: each is met with each."""
    return fitting([list(range(1, items))] * 2, size=items)


def test_heavy_users_do_not_make_item_neighbours_of_a_large_catalog_take_gigabytes() -> None:
    """60,000 items and a few users of 20,000 events took 4.3 GB: 2,048 rows of the catalog's width."""
    data = everything_twice(4000)
    assert traced_peak(lambda: ItemKNN(neighbours=2).fit(data)) < 200e6


def test_neighbours_do_not_hang_on_how_many_items_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    data = fitting([rng.integers(1, N, length).tolist() for length in rng.integers(0, 9, 40)])
    whole = ItemKNN(neighbours=3).fit(data).links
    for entries in (1, 7, 30):
        monkeypatch.setattr("siftrec.methods.itemknn._ENTRIES", entries)
        links = ItemKNN(neighbours=3).fit(data).links
        assert (links != whole).nnz == 0


def test_ease_refuses_a_catalog_that_does_not_fit() -> None:
    with pytest.raises(EnvironmentProblem, match=r"8 items needs .* GB .* memory_gb is 1e-09.*ItemKNN"):
        EASE(memory_gb=1e-9).fit(fitting([[1, 2]]))


def test_ease_takes_the_memory_that_it_says_it_needs() -> None:
    """Who set `memory_gb` to what was free lost the process: three matrices were held, and two were counted."""
    data = everything_twice(1500)
    assert traced_peak(lambda: EASE(l2=1.0).fit(data)) < dense_bytes(1500) + 2e6  # the matrix is 9 MB


def test_ease_does_not_ask_for_more_memory_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siftrec.methods.ease.os.sysconf", lambda name: 4)
    with pytest.raises(EnvironmentProblem, match=r"this machine has 0\.0 GB; use siftrec:ItemKNN, which is sparse"):
        EASE(memory_gb=1e-9).fit(fitting([[1, 2]]))


@pytest.mark.parametrize("block", [2, 4, 64])
def test_ease_does_not_hang_on_how_its_matrix_is_filled(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, N, length).tolist() for length in rng.integers(1, 9, 40)]
    weights = rng.random(sum(map(len, rows))).astype(np.float32)
    whole = EASE(l2=1.0).fit(fitting(rows, weights)).weights_NN
    monkeypatch.setattr("siftrec.methods.ease._BLOCK", block)
    assert torch.equal(EASE(l2=1.0).fit(fitting(rows, weights)).weights_NN, whole)


def test_the_fingerprint_of_a_large_matrix_is_that_of_its_bytes_without_a_copy_of_it() -> None:
    """Every `evaluate` of an EASE of 20,000 items held its 1.6 GB thrice."""
    weights_NN = torch.arange(1500 * 1500, dtype=torch.float32).view(1500, 1500)
    prior_N = torch.ones(2, 1500).T[:, 0]  # every second number of a wider one
    model = trained(EASEScorer(weights_NN, prior_N, 2), 1500)
    assert traced_peak(lambda: model.fingerprint) < 1e6
    told = hashlib.sha256(json.dumps(describe(model.method), sort_keys=True).encode())
    for name, tensor in (("prior", prior_N), ("weights", weights_NN)):
        told.update(f"{name} torch.float32 {list(tensor.shape)}".encode() + tensor.numpy().tobytes())
    assert model.fingerprint == told.hexdigest()


def test_ease_names_a_penalty_too_small() -> None:
    with pytest.raises(SettingsError, match="l2"):
        EASE(l2=1e-30).fit(fitting([[1, 2]] * 4))


def hits(method: Counted, data: Fitting, part: Part) -> float:
    """HR@10 over 3,000 questions, seen items left out, ties to the lower code."""
    part = part.take(np.sort(np.random.default_rng(0).permutation(len(part))[:3000]))
    scorer, found = method.fit(data), 0
    for start in range(0, len(part), 500):
        rows = np.arange(start, min(start + 500, len(part)))
        scores = scorer.scores(pad(part.histories, rows, method.length))
        seen = part.seen.take(rows)
        scores[torch.from_numpy(seen.owners), torch.from_numpy(seen.items).long()] = -torch.inf
        scores[:, 0] = -torch.inf
        target = torch.from_numpy(part.targets.items[part.targets.offsets[rows]]).long()[:, None]
        own = scores.gather(1, target)
        ahead = (scores > own) | ((scores == own) & (torch.arange(scores.shape[1]) < target))
        found += int((ahead.sum(dim=1) < 10).sum())
    return found / len(part)


@pytest.mark.parametrize(
    ("file", "known"),
    [
        ("microlens50k/MicroLens-50k_pairs.tsv", {"Popularity": 0.0021, "Markov": 0.0415, "ItemKNN": 0.0473}),
        pytest.param(
            "ml1m/sequences.tsv.gz",
            {"Popularity": 0.040, "Markov": 0.1377, "ItemKNN": 0.1347, "EASE": 0.1583},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_known_figures_on_real_data(file: str, known: dict[str, float]) -> None:
    """HR@10 on test within the sampling error of figures taken once; fitting on training interactions alone."""
    if not (DATA / file).exists():
        pytest.skip(f"no real data at {DATA / file}")
    raw = (DATA / file).read_bytes()
    lines = (gzip.decompress(raw) if file.endswith(".gz") else raw).decode().splitlines()
    rows = [line.split("\t") for line in lines if line]
    frame = pl.DataFrame({"user": [r[0] for r in rows], "item": [r[1].split(" ") for r in rows]}).explode("item")
    place = pl.int_range(pl.len())
    frame = frame.with_columns(place.over("user").alias("time"), place.alias("row")).sort("user", "time", "row")
    split = LeaveOneOut()(Interactions(frame, "order"))
    methods = {type(m).__name__: m for m in (Popularity(), Markov(), ItemKNN(), EASE())}
    for name, expected in known.items():
        error = math.sqrt(expected * (1 - expected) / 3000)
        assert hits(methods[name], split.fitting, split.test) == pytest.approx(expected, abs=4 * error), name
