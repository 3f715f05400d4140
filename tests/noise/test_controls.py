"""Controls of noise detection that know nothing of interests: place in the history, and time since an item's first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST
from siftrec.detectors.calibrate import NoiseScores
from siftrec.noise.inject import Mechanism, inject
from siftrec.noise.measure import CONTROLS, detection
from siftrec.synthetic import behaviours

CLEAN = behaviours("mid", rho=0.0, users=1000, items=1500, length=6, seed=3).split


def found(truth: np.ndarray, log: Sequences | np.ndarray, **given: np.ndarray) -> dict[str, Any]:
    """`detection` of scores that say nothing: the controls do not look at them."""
    flat, none = np.full(len(truth), 0.2, np.float32), np.zeros(len(truth), bool)
    scores = NoiseScores(flat, none, none.astype(np.int32), -flat, 0.2, (0.0, 0.2), 0.2, "replace")
    return detection(scores, truth, log, **given)


def planted(mechanism: Mechanism) -> dict[str, Any]:
    """As an audit plants: the earlier part is judged."""
    injected = inject(CLEAN, mechanism)
    earlier = injected.split.role < TEST
    return found(injected.noisy[earlier], injected.split.log.where(earlier))


@pytest.mark.parametrize("mechanism", ["replace", "swap"])
def test_noise_that_has_nothing_to_do_with_the_place_leaves_position_at_chance(mechanism: Mechanism) -> None:
    assert planted(mechanism)["auroc_position"] == pytest.approx(0.5, abs=0.02)


def test_autoplay_is_never_a_first_interaction_which_position_alone_sees() -> None:
    """A detector that learned no more than "late" would beat a coin here; who reads .57 must see what place alone gives."""
    assert planted("autoplay")["auroc_position"] > 0.55


def test_old_items_planted_anywhere_are_seen_by_lifetime_and_by_nothing_else() -> None:
    """As in news: what all had last week is noise today, and a detector may have learned no more than an item's age."""
    rng = np.random.default_rng(0)
    users, each = 1000, 6
    start = rng.integers(10, 90, users)
    items = (start[:, None] * 10 + rng.integers(1, 11, (users, each))).ravel()  # ten items a day, gone the day after
    times = (start[:, None] * 86_400_000_000 + np.arange(each) * 60_000_000).ravel()
    truth = rng.random(users * each) < 0.3
    items[truth] -= 10 * rng.integers(2, 6, int(truth.sum()))
    log = replace(Sequences.from_items(items, np.full(users, each)), times=times)
    told = found(truth, log)
    assert told["auroc_lifetime"] > 0.9
    assert told["auroc_position"] == pytest.approx(0.5, abs=0.03)
    assert told["auroc_popularity"] == pytest.approx(0.5, abs=0.05)


def test_place_and_time_are_those_of_a_loop() -> None:
    """Times of today in microseconds, 1 apart: as floats they would be rounded, and the order of some lost."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(0, 7, 80)
    log = Sequences.from_items(rng.integers(1, 20, lengths.sum()), lengths)
    log = replace(log, times=9_007_199_254_740_993 + rng.integers(0, 40, len(log.items)))
    truth = rng.random(len(log.items)) < 0.4
    to_end, since = [], []
    for row in range(len(log)):
        for event in range(log.offsets[row], log.offsets[row + 1]):
            to_end.append(int(log.offsets[row + 1]) - event)
            first = min(time for item, time in zip(log.items, log.times, strict=True) if item == log.items[event])
            since.append(int(log.times[event] - first))
    told = found(truth, log)
    assert told["auroc_position"] == pytest.approx(roc_auc_score(truth, -np.array(to_end)), abs=1e-9)
    assert told["auroc_lifetime"] == pytest.approx(roc_auc_score(truth, since), abs=1e-9)


def test_users_alone_tell_neither_and_one_class_has_no_area() -> None:
    log = Sequences.from_items(np.array([1, 2, 3, 1]), np.array([2, 2]))
    truth, ones = np.array([True, False, True, False]), np.ones(4)
    told = found(truth, log.owners, popularity=ones, lengths=ones)
    assert (told["auroc_position"], told["auroc_lifetime"]) == (None, None)
    assert all(found(np.zeros(4, bool), log)[name] is None for name in CONTROLS)
