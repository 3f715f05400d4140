"""Every figure of detection.json against sklearn, loops and resampling."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.detectors.calibrate import NoiseScores, calibrate
from siftrec.errors import UsageError
from siftrec.methods.demure import SlotWeights
from siftrec.noise.content import ModalityNoise
from siftrec.noise.measure import auprc, auroc, auroc_interval, detection, reliability

EVENTS = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=1, max_size=60)


def scores(noise: np.ndarray, evidence: int = 3, rho: float = 0.1) -> NoiseScores:
    size = len(noise)
    evidences = np.full(size, evidence, np.int32)
    flagged, score = np.zeros(size, bool), -noise.astype(np.float32)
    return NoiseScores(noise.astype(np.float32), flagged, evidences, score, rho, (0.0, rho), 0.2, "replace")


@settings(max_examples=150, derandomize=True)
@given(EVENTS)
def test_curves_are_those_of_sklearn_with_ties(events: list[tuple[bool, float]]) -> None:
    truth, noise = np.array([each[0] for each in events]), np.array([each[1] for each in events])
    if truth.all() or not truth.any():
        assert auroc(truth, noise) is None
        assert auroc_interval(truth, noise, np.arange(len(truth))) == (None, None)
    else:
        assert auroc(truth, noise) == pytest.approx(roc_auc_score(truth, noise), abs=1e-9)
    if truth.any():
        assert auprc(truth, noise) == pytest.approx(average_precision_score(truth, noise), abs=1e-9)
    else:
        assert auprc(truth, noise) is None


def test_what_was_not_judged_does_not_count_in_the_area() -> None:
    """Losses are all on one side of 0: counted as a score of 0, first interactions would be the most genuine of all."""
    rng = np.random.default_rng(1)
    truth, noise = rng.random(500) < 0.3, np.abs(rng.normal(size=500))
    judged = rng.random(500) < 0.7
    assert auroc(truth, np.where(judged, noise, np.nan)) == auroc(truth[judged], noise[judged])
    assert auroc(truth, np.full(500, np.nan)) is None


def clustered(rng: np.random.Generator, users: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users who differ in how noisy they are and how they score: events of one user are alike."""
    owners = np.repeat(np.arange(users), rng.integers(1, 9, users))
    truth = rng.random(len(owners)) < rng.beta(0.5, 1, users)[owners]
    noise = truth + rng.normal(size=users)[owners] + rng.normal(size=len(owners))
    return truth, noise.round(1), owners


def test_the_interval_is_that_of_resampled_users() -> None:
    rng = np.random.default_rng(0)
    truth, noise, owners = clustered(rng)
    low, high = auroc_interval(truth, noise, owners)
    members = [np.flatnonzero(owners == user) for user in range(400)]
    areas = []
    for _ in range(300):
        events = np.concatenate([members[user] for user in rng.integers(0, 400, 400)])
        areas.append(roc_auc_score(truth[events], noise[events]))
    assert low is not None
    assert high is not None
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(areas), rel=0.12)
    alone = auroc_interval(truth, noise, np.arange(len(truth)))
    assert alone[1] is not None
    assert alone[0] is not None
    assert high - low > 1.15 * (alone[1] - alone[0])


@pytest.mark.parametrize("apart", [0.5, 1.5, 2.5])
def test_the_interval_of_few_planted_interactions_covers_the_truth(apart: float) -> None:
    """Who plants five and reads .95 [.91, .99] would rely on a detector that is .85."""
    rng, wanted = np.random.default_rng(0), norm.cdf(apart / 2**0.5)
    owners, covered = np.repeat(np.arange(60), 5), []
    for _ in range(300):
        truth = np.zeros(300, bool)
        truth[rng.choice(300, 5, replace=False)] = True
        low, high = auroc_interval(truth, rng.normal(size=300) + apart * truth, owners)
        if low is not None and high is not None:
            assert 0 < low < high < 1
            covered.append(low <= wanted <= high)
    assert len(covered) > 280
    assert np.mean(covered) > 0.88


def test_what_shows_no_error_has_no_interval() -> None:
    """[1, 1] of two planted interactions would read as certainty; pages and JSON know None."""
    truth, owners = np.array([1, 0, 0, 1, 0, 0], bool), np.array([0, 0, 0, 1, 1, 2])
    for noise in (np.array([0.9, 0.1, 0.2, 0.8, 0.3, 0.1]), np.full(6, 0.5)):
        assert auroc_interval(truth, noise, owners) == (None, None)
    one = np.array([0.9, 0.1, 0.95, 0.8, 0.3, 0.1])
    assert auroc_interval(truth, one, owners) != (None, None)
    assert auroc_interval(truth, one, np.array([0, 1, 1, 0, 2, 3])) == (None, None), "one user has all the noise"


def test_reliability_bins_hold_every_event_once() -> None:
    rng = np.random.default_rng(1)
    noise = np.append(rng.random(5000) ** 2, [0.0, 1.0])
    truth = rng.random(len(noise)) < noise
    bins = reliability(truth, noise, np.arange(len(noise)))
    assert sum(row["count"] for row in bins) == len(noise)
    for k, row in enumerate(bins):
        here = (noise >= k / 10) & ((noise < (k + 1) / 10) | (k == 9))
        assert (row["predicted"], row["observed"]) == pytest.approx((noise[here].mean(), truth[here].mean()))
        assert row["count"] == here.sum()
    assert len(reliability(truth[:0], noise[:0], np.zeros(0, int))) == 0
    two = reliability(np.array([True, False]), np.array([0.05, 0.95]), np.array([0, 1]))
    assert [row["count"] for row in two] == [1, 1]
    assert [row["interval"] for row in two] == [[None, None]] * 2, "one user each"


def test_the_interval_of_a_reliability_bin_is_that_of_drawing_users() -> None:
    """Users who are all noise or all genuine: ten interactions tell no more than one."""
    rng = np.random.default_rng(2)
    noisy = rng.random((400, 300)) < 0.35
    owners = np.repeat(np.arange(300), 10)
    bins = [reliability(np.repeat(row, 10), np.full(3000, 0.35), owners)[0] for row in noisy]
    assert np.mean([row["interval"][0] <= 0.35 <= row["interval"][1] for row in bins]) == pytest.approx(0.95, abs=0.03)
    alone = reliability(np.repeat(noisy[0], 10), np.full(3000, 0.35), np.arange(3000))[0]["interval"]
    together = bins[0]["interval"]
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def planted(rho: float, shift: float) -> tuple[NoiseScores, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.random(30_000) < rho
    drawn, there = rng.normal(size=20_000), np.ones(20_000, int)
    score = rng.normal(size=30_000) + np.where(truth, 0, shift)
    return calibrate(score, np.ones(30_000, int), np.arange(30_000) // 5, drawn, there)[0], truth


def test_detection_says_what_is_true_and_is_json() -> None:
    found, truth = planted(0.3, 3.5)
    rng = np.random.default_rng(4)
    popularity, lengths = rng.integers(1, 99, 30_000), np.repeat(rng.integers(2, 15, 6000), 5)
    report = detection(found, truth, np.arange(30_000) // 5, popularity, lengths)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["schema"] == 1
    assert report["rho"] == truth.mean()
    assert report["auroc"] == pytest.approx(roc_auc_score(truth, found.noise), abs=1e-9)
    assert report["auprc"] == pytest.approx(average_precision_score(truth, found.noise), abs=1e-9)
    assert report["brier"] == pytest.approx(brier_score_loss(truth, found.noise.astype(float)), abs=1e-9)
    assert report["auroc_popularity"] == pytest.approx(0.5, abs=0.02)
    low, high = report["auroc_interval"]
    assert low < report["auroc"] < high
    for q in ("0.05", "0.2", "0.4"):
        flagged = found.at(float(q))
        assert report["recall_at_fdr"][q] == flagged[truth].mean() > 0.5
        assert report["fdr_reached"][q] == (~truth[flagged]).mean() < float(q) + 0.02
        assert report["flagged"][q] == flagged.sum()
    assert list(report["by_history_length"]) == ["2-3", "4-5", "6-10", ">10"]
    assert sum(row["events"] for row in report["by_history_length"].values()) == 30_000
    for name, least, most in (("2-3", 2, 3), ("6-10", 6, 10), (">10", 11, 99)):
        here = (lengths >= least) & (lengths <= most)
        expected = roc_auc_score(truth[here], found.noise[here])
        assert report["by_history_length"][name]["auroc"] == pytest.approx(expected, abs=1e-9)


def test_the_null_is_chance_and_nothing_is_flagged() -> None:
    found, truth = planted(0.3, 0.0)
    report = detection(found, truth, np.arange(30_000) // 5, truth * 0 + 1, truth * 0 + 5, planted="swap")
    assert report["auroc"] == pytest.approx(0.5, abs=0.02)
    assert report["auroc_popularity"] == 0.5
    assert set(report["recall_at_fdr"].values()) == {0.0}
    assert set(report["fdr_reached"].values()) == {None}
    assert (report["mechanism"], report["calibrated_on"]) == ("swap", "replace")
    assert report["by_history_length"]["2-3"]["auroc"] is None


def test_a_popularity_control_finds_noise_among_unpopular_items() -> None:
    noise = np.array([0.2, 0.4, 0.6, 0.8])
    truth = np.array([False, False, True, True])
    report = detection(scores(noise), truth, np.arange(4), np.array([9, 8, 2, 1]), np.full(4, 4))
    assert report["auroc_popularity"] == 1.0


def test_the_log_tells_users_popularity_and_lengths() -> None:
    found, truth = planted(0.3, 3.5)
    rng = np.random.default_rng(4)
    lengths = np.bincount(rng.integers(0, 4000, 30_000), minlength=4000)
    log = Sequences.from_items(rng.integers(1, 99, 30_000).astype(np.int32), lengths)
    popularity = np.bincount(log.items)[log.items]
    given = detection(found, truth, np.repeat(np.arange(4000), lengths), popularity, np.repeat(lengths, lengths))
    told = detection(found, truth.tolist(), log)
    placed = dict.fromkeys(("auroc_position", "auroc_lifetime"))
    assert told | placed == given
    assert all(told[name] is not None for name in placed)
    other = detection(found, truth, log, popularity=-popularity)
    assert other["auroc_popularity"] == pytest.approx(1 - given["auroc_popularity"])
    assert other["by_history_length"]["6-10"]["events"] == given["by_history_length"]["6-10"]["events"]
    wrong: Any = [log]
    with pytest.raises(UsageError, match="log: list is not what was judged; give "):
        detection(found, truth, wrong)
    with pytest.raises(UsageError, match="users of events tell neither; give both, or the log"):
        detection(found, truth, log.owners, popularity)
    with pytest.raises(UsageError, match="of one length"):
        detection(found, truth, log.take(np.arange(10)))


def test_who_has_an_array_of_scores_learns_how_well_they_find_noise() -> None:
    """A detector of one's own gives numbers; no bound and no flags are needed to compare it by AUROC."""
    found, truth = planted(0.3, 3.5)
    log = Sequences.from_items(
        np.random.default_rng(4).integers(1, 99, 30_000).astype(np.int32), np.repeat([7, 8], 2000)
    )
    told = detection(found, truth, log)
    unbounded = ("calibrated_on", "detector", "rho_upper", "rho_interval", "rho_short", "flagged", "recall_at_fdr")
    without = told | dict.fromkeys((*unbounded, "fdr_reached", "mechanism"))
    assert detection(found.noise, truth, log) == without
    assert detection(found.noise, truth, log, planted="swap") == without | {"mechanism": "swap"}
    ranked = detection(5 * found.noise - 9, truth, log)
    assert [ranked[name] for name in ("auroc", "auprc")] == pytest.approx([told["auroc"], told["auprc"]])
    assert (ranked["brier"], ranked["reliability"]) == (None, None)
    assert ranked["by_history_length"]["6-10"]["predicted"] is None
    assert ranked.keys() == told.keys()
    for wrong in (found.noise.reshape(2, -1), np.full(30_000, np.nan), ["x"] * 30_000):
        with pytest.raises(UsageError, match="scores: give NoiseScores, or an array of one finite number per event"):
            detection(wrong, truth, log)  # type: ignore[arg-type]


def test_scores_are_a_table_beside_what_was_judged() -> None:
    found = scores(np.array([0.25, 0.5, 1.0]))
    assert found.to_frame().to_dict(as_series=False) == {
        "noise": [0.25, 0.5, 1.0],
        "flagged": [False] * 3,
        "evidence": [3] * 3,
        "weight": [0.75, 0.5, 0.0],
    }
    log = replace(Sequences.from_items(np.array([2, 1, 2]), np.array([1, 2])), rows=np.array([5, 4, -1]))
    plain = found.to_frame(log)
    assert plain.columns == ["row", "user", "item", "noise", "flagged", "evidence", "weight"]
    assert [plain[name].to_list() for name in ("row", "user", "item")] == [[5, 4, -1], [0, 1, 1], [2, 1, 2]]
    users, items = pl.Series(["u", "v"]), Vocab.of(pl.Series(["x", "y"]))
    named = found.to_frame(log, users, items)
    assert [named[name].to_list() for name in ("user", "item")] == [["u", "v", "v"], ["y", "x", "y"]]
    with pytest.raises(UsageError, match="give what was judged"):
        found.to_frame(users=users)
    with pytest.raises(UsageError, match="has 1 events, and 3 were judged"):
        found.to_frame(log.take(np.array([0])))


def test_a_notebook_shows_what_was_found_in_one_line() -> None:
    found = scores(np.array([0.25, 0.5, 1.0]))
    told = "NoiseScores(3 interactions, at most 10.0% noise [0.0%, 10.0%] by replace, 0 flagged at q = 0.2)"
    assert repr(found) == told
    assert found != replace(found)
    flags, nan = np.array([[True, False]] * 3), np.array([[0.5, np.nan]] * 3, np.float32)
    bounds = ((0.1, 0.2), ((0.0, 0.2), (0.1, 0.3)))
    modal = ModalityNoise(("a", "b"), flags, nan, flags, flags.astype(np.int32), nan, *bounds, 0.2)
    assert repr(modal) == (
        "ModalityNoise(3 interactions; "
        "a: NoiseScores(3 interactions, at most 10.0% noise [0.0%, 20.0%] by foreign, 3 flagged at q = 0.2); "
        "b: NoiseScores(0 interactions, at most 20.0% noise [10.0%, 30.0%] by foreign, 0 flagged at q = 0.2))"
    )
    weights = SlotWeights(("a", "b"), nan, nan, flags.astype(np.int32), flags, nan[:, 0])
    assert repr(weights) == "SlotWeights(3 interactions; mean weight where present, a 0.500, b nan)"


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(UsageError, match="of one length"):
        detection(scores(np.ones(3)), np.ones(2, bool), np.ones(3), np.ones(3), np.ones(3))
    with pytest.raises(UsageError, match="of one length"):
        detection(scores(np.ones(0)), np.ones(0, bool), np.ones(0), np.ones(0), np.ones(0))
