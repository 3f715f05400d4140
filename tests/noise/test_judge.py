"""A log judged by itself: planted noise is likelier noise, and a log without information is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from detectors.worlds import world
from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.agreement import Agreement
from siftrec.detectors.blend import Blend, Detector
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import UsageError
from siftrec.noise.judge import judge
from siftrec.noise.measure import auroc

BRIEF = Likelihood(folds=2, steps=250)


def test_planted_noise_gets_high_probabilities() -> None:
    easy = world()
    folds: list[tuple[int, int]] = []
    used: set[int] = set()

    def told(done: int, of: int) -> None:
        folds.append((done, of))
        used.add(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = judge(easy.log, easy.catalog, detector=BRIEF, on_fold=told)
        assert (used, torch.get_num_threads()) == ({1}, 2), "one thread, whatever torch has, and no trace of it"
    finally:
        torch.set_num_threads(before)
    area = auroc(easy.noisy, found.noise.astype(np.float64))
    assert area is not None
    assert area > 0.86
    assert folds == [(1, 2), (2, 2)]
    assert found.noise.dtype == np.float32
    assert found.noise[easy.noisy].mean() > found.noise[~easy.noisy].mean() + 0.2
    assert easy.noisy[found.flagged].mean() > 0.7
    assert easy.noisy.mean() < found.rho_interval[1] < 0.6
    assert (found.evidence == 19).mean() > 0.95


@pytest.mark.parametrize(
    "how", [Cooccurrence(), Agreement(), Blend(likelihood=BRIEF)], ids=lambda how: type(how).__name__
)
def test_any_detector_can_be_asked(how: Detector) -> None:
    easy = world()
    found = judge(easy.log, easy.catalog, detector=how)
    area = auroc(easy.noisy, found.noise.astype(np.float64))
    assert area is not None
    assert area > (0.95 if isinstance(how, Agreement) else 0.86 if isinstance(how, Blend) else 0.81)
    assert easy.noisy.mean() < found.rho_interval[1] < 0.65
    assert found.noise[easy.noisy].mean() > found.noise[~easy.noisy].mean() + 0.2


def test_of_nothing_but_popularity_all_may_be_noise() -> None:
    """Many items that few have: drawn items must be as little known to the model that judges them as what users did.

    Where they are better known, this log is told to hold 71 % noise, at most 77 %, and loses most of its weight for it.
    """
    rng, users, items = np.random.default_rng(0), 1500, 10_000
    odds = np.arange(1, items + 1) ** -0.3
    rows = [rng.choice(items, 8, replace=False, p=odds / odds.sum()) + 1 for _ in range(users)]
    log = Sequences.from_items(np.concatenate(rows).astype(np.int32), np.full(users, 8))
    found = judge(log, Catalog(pl.Series(np.arange(items))), quick=True)
    assert found.rho_interval[1] == 1
    assert (found.weight == 1).all()


@pytest.mark.parametrize("null", [False, True])
def test_a_log_is_judged_by_another(null: bool) -> None:
    """What was learned from half of the users finds noise among the others, and nothing where nothing is planted."""
    easy = world("easy", null=null)
    first, second = (easy.log.take(np.arange(start, 800, 2)) for start in (0, 1))
    noisy = easy.noisy[easy.log.owners % 2 == 1]
    found = judge(second, easy.catalog, detector=Blend(likelihood=BRIEF), fitted_on=first)
    area = auroc(noisy, found.noise.astype(np.float64))
    assert area is not None
    assert area == pytest.approx(0.5, abs=0.04) if null else area > 0.88
    assert found.flagged.any() != null
    assert found.rho_interval[1] > noisy.mean()


def test_a_quick_detector_is_the_one_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that names `Blend` must not look for planted noise by another, nor take a quarter of an hour for it."""
    small, tiny = world("easy", users=120, items=400, length=8), Likelihood(folds=2, epochs=1, steps=5)
    monkeypatch.setattr("siftrec.noise.judge.QUICK", tiny)
    asked = (None, tiny), (Likelihood(rounds=2), replace(tiny, rounds=2)), (Cooccurrence(), Cooccurrence())
    for given, used in (*asked, (Blend(), Blend(likelihood=tiny))):
        assert judge(small.log, small.catalog, detector=given, quick=True).detector == used
    assert judge(small.log, small.catalog, detector=tiny).detector == tiny


def test_without_information_nothing_is_flagged() -> None:
    null = world("easy", null=True)
    found = judge(null.log, null.catalog, quick=True)
    assert not found.flagged.any()
    assert found.rho_upper > 0.9


def test_the_seed_decides() -> None:
    small = world("easy", users=120, items=400, length=8)
    how = Likelihood(folds=2, steps=10)
    one, same, other = (judge(small.log, small.catalog, detector=how, seed=seed) for seed in (7, 7, 8))
    assert (one.noise == same.noise).all()
    assert (one.score != other.score).any()


def test_a_log_of_single_interactions_has_nothing_to_say(recwarn: pytest.WarningsRecorder) -> None:
    small = world("easy", users=120, items=400, length=8)
    alone = small.log.where(np.arange(len(small.log.items)) == small.log.offsets[:-1][small.log.owners])
    found = judge(alone, small.catalog, detector=Likelihood(folds=2, steps=10))
    assert not found.flagged.any()
    assert found.rho_upper == 1
    assert not recwarn.list


def test_a_log_in_which_everybody_has_everything_says_nothing() -> None:
    dense = Sequences.from_items(np.tile(np.arange(1, 5, dtype=np.int32), 30), np.full(30, 4))
    scores = judge(dense, Catalog(pl.Series([f"i{n}" for n in range(4)])), detector=Likelihood(folds=2, dim=4, steps=5))
    assert not scores.flagged.any()
    assert (scores.weight == 1).all()


def test_a_log_fitted_on_itself_is_nobodys_own_witness() -> None:
    """Named or not: who learned from a log leaves everybody's own part out of what they are judged by."""
    small = world("easy", users=120, items=400, length=8)
    one, same = (judge(small.log, small.catalog, detector=Cooccurrence(), fitted_on=on) for on in (None, small.log))
    with pytest.raises(UsageError, match="catalog: NoneType is no Catalog"):
        judge(small.log, None)  # type: ignore[arg-type]
    assert (one.score == same.score).all()
