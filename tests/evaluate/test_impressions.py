"""AUC, GAUC and both definitions of precision, recall and F1 at 50, against loops."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.shown import log
from siftrec.data.exposure import impressions
from siftrec.data.impressions import Impressions
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.errors import NonFiniteLossError
from siftrec.evaluate import impressions as module
from siftrec.evaluate.impressions import aucs, judge_impressions, scored

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=40)


def brute(scores: list[float], labels: list[bool]) -> float:
    """Share of (click, other) pairs in the right order, ties half."""
    pairs = [(a, b) for a, x in zip(scores, labels, strict=True) for b, y in zip(scores, labels, strict=True) if x > y]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs) if pairs else math.nan


@given(EVENTS)
def test_auc_of_each_user_is_that_of_all_pairs_ties_half(events):
    names, owners = np.unique([user for user, _, _ in events], return_inverse=True)
    scores = np.array([score for _, score, _ in events], np.float32)
    labels = np.array([label for _, _, label in events], np.float32)
    found = aucs(scores, labels, owners)
    for user in range(len(names)):
        mine = owners == user
        expected = brute(scores[mine].tolist(), (labels[mine] > 0).tolist())
        assert found[user] == pytest.approx(expected, nan_ok=True)


class ByTable:
    """A plain scorer that scores an item alike for everybody, with ties."""

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        return (torch.arange(10) % 4).float().expand(len(items_BL), -1)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}


class ByCandidates(ByTable):
    def scored(self, items_BL: torch.Tensor, candidates_BC: torch.Tensor) -> torch.Tensor:
        return self.scores(items_BL).gather(1, candidates_BC)


class ByVectors(ByTable):
    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        return torch.ones(len(items_BL), 1)

    def items(self) -> torch.Tensor:
        return (torch.arange(10) % 4).float().unsqueeze(1)


@given(st.integers(0, 1000))
def test_means_are_those_of_the_loops_for_every_kind_of_scorer(seed):
    part = impressions(log(seed, each=20)).test
    depth, module.DEPTH = module.DEPTH, 3
    try:
        found, *others = (judge_impressions(each, 5, part).means() for each in (ByTable(), ByCandidates(), ByVectors()))
    finally:
        module.DEPTH = depth
    assert others == [pytest.approx(found, nan_ok=True)] * 2
    weighted, plain, every = [], [], ([], [])
    for user in range(len(part)):
        codes, labels = part.shown[user].tolist(), part.take(np.array([user])).labels.tolist()
        scores = [code % 4 for code in codes]
        every[0].extend(scores)
        every[1].extend(label > 0 for label in labels)
        order = sorted(range(len(codes)), key=lambda at: (-scores[at], codes[at]))
        hits, clicks = sum(labels[at] for at in order[:3]), sum(labels)
        if 0 < clicks < len(codes):
            auc = brute(scores, [label > 0 for label in labels])
            weighted.append((len(codes), auc, hits / 3, hits / clicks))
        plain.append((hits / min(3, len(codes)), hits / clicks if clicks else 0.0))
    assert found["auc"] == pytest.approx(brute(*every), nan_ok=True)
    shown = sum(each[0] for each in weighted)
    for column, name in enumerate(("gauc", "precision@3/weighted", "recall@3/weighted"), start=1):
        expected = sum(each[0] * each[column] for each in weighted) / shown if shown else math.nan
        assert found[name] == pytest.approx(expected, nan_ok=True)
    p, r = (sum(each[column] for each in plain) / len(plain) for column in (0, 1))
    assert (found["precision@3/plain"], found["recall@3/plain"]) == pytest.approx((p, r))
    assert found["f1@3/plain"] == pytest.approx(2 * p * r / (p + r) if p + r else 0.0)


@given(st.integers(0, 1000))
def test_tied_clicks_are_those_whose_score_the_user_was_shown_twice(seed):
    part = impressions(log(seed, each=20)).test
    tied = []
    for user in range(len(part)):
        scores = [code % 4 for code in part.shown[user].tolist()]
        labels = part.take(np.array([user])).labels.tolist()
        tied += [scores.count(score) > 1 for score, label in zip(scores, labels, strict=True) if label]
    assert judge_impressions(ByTable(), 5, part).tied == pytest.approx(np.mean(tied) if tied else 0.0)


def test_nan_is_refused():
    class Broken(ByTable):
        def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
            return super().scores(items_BL) * math.nan

    with pytest.raises(NonFiniteLossError, match="NaN"):
        judge_impressions(Broken(), 5, impressions(log(1)).test)


class Counting(ByTable):
    """Notes how many scores it is asked for at a time."""

    def __init__(self) -> None:
        self.cells: list[int] = []

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        self.cells.append(10 * len(items_BL))
        return super().scores(items_BL)


class CountingCandidates(Counting):
    def scored(self, items_BL: torch.Tensor, candidates_BC: torch.Tensor) -> torch.Tensor:
        self.cells.append(candidates_BC.numel())
        return (candidates_BC % 4).float()


def test_one_user_with_many_impressions_does_not_widen_the_others(monkeypatch):
    """256 groups padded to ten thousand impressions are 655 MB of vectors, on whoever's machine judges a real log."""
    sizes = np.random.default_rng(1).permutation([10_000, 700, *[3] * 400, *[20] * 200])
    shown = Sequences.from_items(np.resize(np.arange(1, 10, dtype=np.int32), sizes.sum()), sizes)
    nobody = Sequences.from_items(np.empty(0, np.int32), np.zeros(len(sizes), np.int64))
    users, labels = np.arange(len(sizes)), (np.arange(sizes.sum()) % 2).astype(np.float32)
    ids, items = pl.Series(users), Vocab(pl.Series(range(9)))
    part = Impressions(nobody, users, np.zeros_like(users), shown, labels, ids, items)
    monkeypatch.setattr(module, "CELLS", 1000)
    scorer = CountingCandidates()
    assert (scored(scorer, 5, part) == shown.items % 4).all()
    assert max(set(scorer.cells) - {10_000}) <= 1000
    assert sum(scorer.cells) < 1.2 * sizes.sum()
    plain = Counting()
    assert (scored(plain, 5, part) == shown.items % 4).all()
    assert max(plain.cells) <= 1000
