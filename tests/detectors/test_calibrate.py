"""Planted mixtures of known share; the bound holds, n is calibrated, and nothing is flagged where nothing can be told."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec.detectors.calibrate import Calibration, NoiseScores, calibrate, flag, trusted
from siftrec.detectors.density import KNOTS, grenander, majorant, tail
from siftrec.errors import UsageError


@dataclass(frozen=True)
class Mixture:
    truth: np.ndarray
    score: np.ndarray
    evidence: np.ndarray
    owners: np.ndarray
    background: np.ndarray
    background_evidence: np.ndarray

    def calibrated(self, **changed: float) -> tuple[NoiseScores, Calibration]:
        drawn = (self.background, self.background_evidence)
        return calibrate(self.score, self.evidence, self.owners, *drawn, **changed)  # type: ignore[arg-type]


def mixture(events: int, rho: float, shift: float, seed: int = 0, draws: int = 20_000) -> Mixture:
    """Noise scores like the background; genuine ones lie `shift` standard deviations above it.

    Both are louder with more evidence, so scores of unequal evidence cannot be compared.
    """
    rng = np.random.default_rng(seed)
    truth, evidence = rng.random(events) < rho, rng.integers(1, 8, events)
    there = rng.integers(1, 8, draws)
    score = (rng.normal(size=events) + np.where(truth, 0, shift)) * (1 + evidence) + evidence
    background = rng.normal(size=draws) * (1 + there) + there
    return Mixture(truth, score, evidence, np.arange(events) // 6, background, there)


@settings(max_examples=25, derandomize=True)
@given(st.floats(0, 1), st.floats(0, 4), st.integers(0, 1000))
def test_the_bound_holds_up_to_sampling_error(rho: float, shift: float, seed: int) -> None:
    planted = mixture(4000, rho, shift, seed)
    found, _ = planted.calibrated()
    low, high = found.rho_interval
    assert 0 <= low <= found.rho_upper <= high <= 1
    # 95 % intervals of 25 draws: twice their width leaves no room for luck.
    assert planted.truth.mean() <= high + (high - low) / 2


def test_the_histories_that_can_be_judged_best_bound_all() -> None:
    planted = mixture(100_000, 0.3, 0)
    loud = np.where(planted.truth, 0, np.where(planted.evidence > 5, 5, 0.5)) * (1 + planted.evidence)
    drawn = (planted.background, planted.background_evidence)
    found, _ = calibrate(planted.score + loud, planted.evidence, planted.owners, *drawn)
    assert found.rho_upper == pytest.approx(0.3, abs=0.03)
    few = planted.evidence < 5
    alone, _ = calibrate((planted.score + loud)[few], planted.evidence[few], planted.owners[few], *drawn)
    assert alone.rho_upper > 0.38
    assert found.noise[few].mean() == pytest.approx(planted.truth[few].mean(), abs=0.03)


def test_intervals_cover_what_many_logs_give() -> None:
    """Where genuine events never look like noise the bound is the share itself, and 95 % intervals hold it."""
    found = [mixture(3000, 0.3, 12, seed, draws=3000).calibrated()[0].rho_interval for seed in range(200)]
    covered = np.mean([low <= 0.3 <= high for low, high in found])
    assert 0.9 <= covered <= 0.99


def test_events_of_one_user_that_stand_or_fall_together_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    noisy_user = np.repeat(rng.random(400) < 0.3, 20)
    score = rng.normal(size=8000) + np.where(noisy_user, 0, 12)
    drawn, ones = rng.normal(size=200_000), np.ones(200_000, int)
    widths = []
    for owners in (np.repeat(np.arange(400), 20), rng.permutation(8000)):
        low, high = calibrate(score, np.ones(8000, int), owners, drawn, ones)[0].rho_interval
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1]


@pytest.mark.parametrize("rho", [0.1, 0.3, 0.6])
def test_noise_probabilities_are_calibrated(rho: float) -> None:
    planted = mixture(200_000, rho, 3, draws=100_000)
    found, _ = planted.calibrated()
    assert found.rho_upper == pytest.approx(rho, abs=0.03)
    place = np.minimum((found.noise * 10).astype(int), 9)
    count = np.bincount(place, minlength=10)
    gap = np.abs(np.bincount(place, found.noise, 10) - np.bincount(place, planted.truth, 10)) / np.maximum(count, 1)
    assert gap[count > 1000].max() < 0.07
    assert (gap * count).sum() / count.sum() < 0.02


@pytest.mark.parametrize("q", [0.05, 0.2, 0.4])
def test_false_discovery_is_at_most_what_was_asked_for(q: float) -> None:
    planted = mixture(100_000, 0.3, 3)
    found, _ = planted.calibrated(q=q)
    assert found.flagged.sum() > 15_000
    assert (~planted.truth[found.flagged]).mean() < q + 0.02
    assert (1 - found.noise[found.flagged]).mean() <= q
    assert found.noise[found.flagged].min() > found.rho_upper
    np.testing.assert_array_equal(found.flagged, found.at(q))


@settings(max_examples=15, derandomize=True)
@given(st.sampled_from([0.05, 0.2, 0.5]), st.floats(0.05, 0.6), st.floats(0, 4), st.integers(0, 1000))
def test_trusted_events_hold_at_most_that_much_noise(level: float, rho: float, shift: float, seed: int) -> None:
    planted = mixture(10_000, rho, shift, seed)
    chosen = planted.calibrated()[0].trusted(level)
    error = 4 * np.sqrt(0.25 / max(chosen.sum(), 1)) + 0.02
    assert not chosen.any() or planted.truth[chosen].mean() <= level + error


@pytest.mark.parametrize("rho", [1.0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_flagged_where_scores_tell_nothing(rho: float, seed: int) -> None:
    """All is noise, or a detector that knows nothing: the two look the same, and both must say so."""
    found, _ = mixture(20_000, rho, 0, seed).calibrated(q=0.4)
    assert found.rho_interval[1] > 0.97
    assert not found.flagged.any()
    assert np.ptp(found.noise) == 0


@pytest.mark.parametrize("high", [0.999, 1.0])
def test_no_row_is_dropped_where_every_weight_is_1_for_nothing_is_known(high: float) -> None:
    """`sift --drop` took half of a log of nothing but popularity away whose weights were all 1: the bound said .96."""
    noise, evidence = np.array([0.99] * 50 + [0.9] * 50, np.float32), np.full(100, 3, np.int32)
    found = NoiseScores(noise, noise > 2, evidence, -noise, 0.95, (0.9, high), 0.2, "replace")
    assert found.at(0.2).any() == (found.weight < 1).any() == (high < 1)


def test_a_detector_that_is_worse_than_chance_flags_nothing() -> None:
    found, _ = mixture(20_000, 0.3, -2).calibrated()
    assert found.rho_upper == 1
    assert not found.flagged.any()
    assert (found.weight == 1).all()


def test_a_clean_log_keeps_its_weight() -> None:
    found, _ = mixture(50_000, 0, 4).calibrated()
    assert found.rho_upper < 0.01
    assert found.weight.mean() > 0.99
    assert found.flagged.mean() < 0.002


def test_a_higher_score_is_never_more_noise_at_equal_evidence() -> None:
    planted = mixture(30_000, 0.4, 1.5)
    found, _ = planted.calibrated()
    for evidence in np.unique(planted.evidence):
        here = planted.evidence == evidence
        in_order = found.noise[here][np.argsort(planted.score[here])]
        assert (np.diff(in_order) <= 0).all()
    assert len(np.unique(found.noise)) > 1000


def test_only_the_order_of_scores_counts() -> None:
    planted = mixture(20_000, 0.3, 2)
    drawn = (np.exp(planted.background / 9), planted.background_evidence)
    plain, _ = planted.calibrated()
    bent, _ = calibrate(np.exp(planted.score / 9), planted.evidence, planted.owners, *drawn)
    np.testing.assert_array_equal(plain.noise, bent.noise)
    np.testing.assert_array_equal(plain.flagged, bent.flagged)
    assert plain.rho_interval == bent.rho_interval


def test_order_of_events_and_numbering_of_users_change_nothing() -> None:
    planted, order = mixture(20_000, 0.3, 2), np.random.default_rng(5).permutation(20_000)
    plain, _ = planted.calibrated()
    drawn = (planted.background[::-1], planted.background_evidence[::-1])
    mixed, _ = calibrate(planted.score[order], planted.evidence[order], 90_000 - planted.owners[order], *drawn)
    np.testing.assert_array_equal(plain.noise[order], mixed.noise)
    assert plain.rho_interval == mixed.rho_interval


def test_the_map_gives_the_same_numbers_again_and_serves_new_histories() -> None:
    planted, new = mixture(50_000, 0.3, 4), mixture(50_000, 0.3, 4, seed=1)
    found, fitted = planted.calibrated()
    np.testing.assert_array_equal(fitted.noise(planted.score, planted.evidence), found.noise)
    noise = fitted.noise(new.score, new.evidence)
    assert noise.mean() == pytest.approx(new.truth.mean(), abs=0.03)
    assert new.truth[noise > 0.9].mean() > 0.9
    far = fitted.noise(np.array([0.0, 1e9, -1e9]), np.array([0, 500, 500]))
    assert far[0] == np.float32(found.rho_upper)
    assert far[1] < 0.05
    assert far[2] > 0.95
    assert fitted.background.nbytes + fitted.density.nbytes < 2**20


def test_without_evidence_nothing_is_said() -> None:
    planted = mixture(20_000, 0.3, 4)
    evidence, score = planted.evidence.copy(), planted.score.copy()
    evidence[::3], score[::3] = 0, np.nan
    drawn = (planted.background, planted.background_evidence)
    found, _ = calibrate(score, evidence, planted.owners, *drawn)
    assert (found.noise[::3] == np.float32(found.rho_upper)).all()
    assert not found.flagged[::3].any()
    assert not found.score[::3].any()
    others = np.flatnonzero(evidence > 0)
    alone, _ = calibrate(score[others], evidence[others], planted.owners[others], *drawn)
    np.testing.assert_array_equal(found.noise[others], alone.noise)
    none, _ = calibrate(score, np.zeros_like(evidence), planted.owners, *drawn)
    assert (none.rho_upper, none.rho_interval) == (1.0, (0.0, 1.0))
    assert not none.flagged.any()
    assert (none.weight == 1).all()


@pytest.mark.parametrize(("events", "draws", "low"), [(2, 400, 1), (16, 400, 1), (400, 2, 1), (400, 400, 0)])
def test_few_events_or_draws_bound_nothing(events: int, draws: int, low: float) -> None:
    ones = np.ones(events, int)
    found, _ = calibrate(np.full(events, 9.0), ones, np.arange(events), np.zeros(draws), np.ones(draws, int))
    assert found.rho_upper == low
    assert found.rho_interval == ((0.0, 1.0) if low else (0.0, pytest.approx(0.046, abs=1e-3)))


def test_scores_are_compared_at_equal_evidence() -> None:
    """Pooled over everything, loud scores of much evidence would pass for genuine."""
    planted = mixture(100_000, 0.3, 4)
    found, fitted = planted.calibrated()
    assert list(fitted.levels) == [1, 2, 3, 4, 5, 6, 7]
    flat, _ = calibrate(
        planted.score, np.ones_like(planted.evidence), planted.owners, planted.background, np.ones(20_000, int)
    )

    def missed(scores: NoiseScores) -> float:
        return float(np.abs(scores.noise - planted.truth).mean())

    assert missed(found) < 0.8 * missed(flat)


def test_few_observations_borrow_from_the_next_amount_of_evidence() -> None:
    planted = mixture(5000, 0.3, 4)
    rare = np.where(np.arange(5000) < 20, 40, planted.evidence)
    _, fitted = calibrate(planted.score, rare, planted.owners, planted.background, planted.background_evidence)
    assert list(fitted.levels) == [1, 3, 5]
    tiny, alone = mixture(30, 0.3, 4).calibrated()
    assert list(alone.levels) == [1]
    assert np.isfinite(tiny.noise).all()


@pytest.mark.parametrize("shape", [(0.6, 1.4), (1.0, 1.0), (0.1, 3.0), (3.0, 1.0)])
def test_grenander_is_the_least_concave_majorant(shape: tuple[float, float]) -> None:
    """Against a loop that walks the upper hull."""
    p = np.random.default_rng(2).beta(*shape, 5000)
    hull = [(0.0, 0.0)]
    for x in KNOTS[1:]:
        point = (float(x), float((p <= x).mean()))
        while len(hull) > 1:
            (a, fa), (b, fb) = hull[-2:]
            if (fb - fa) * (point[0] - b) > (point[1] - fb) * (b - a):
                break
            hull.pop()
        hull.append(point)
    expected = np.diff(np.interp(KNOTS, *np.array(hull).T)) / np.diff(KNOTS)
    np.testing.assert_allclose(majorant(p), expected, rtol=1e-9, atol=1e-9)
    smooth = grenander(p)
    assert (np.diff(smooth) <= 1e-12).all()
    assert smooth[0] == pytest.approx(expected[0])
    if shape[0] >= 0.5:  # a density without end at 0 is cut there
        assert np.trapezoid(smooth, KNOTS) == pytest.approx(1, abs=0.05)


def test_tail_counts_the_background_at_or_above() -> None:
    background = np.array([1.0, 2.0, 2.0, 3.0])
    expected = [(1 + (background >= s).sum()) / 5 for s in (0.0, 1.0, 2.0, 2.5, 3.0, 9.0)]
    np.testing.assert_allclose(tail(np.array([0.0, 1.0, 2.0, 2.5, 3.0, 9.0]), background), expected)


@settings(max_examples=200, derandomize=True)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9, 1.0]), max_size=9), st.floats(0, 1))
def test_flag_is_the_largest_set_within_its_level(values: list[float], q: float) -> None:
    noise = np.array(values)
    sizes = [0] + [int((noise >= value).sum()) for value in noise if (1 - noise[noise >= value]).mean() <= q + 1e-12]
    flagged = flag(noise, q)
    assert flagged.sum() == max(sizes)
    assert not flagged.any() or noise[flagged].min() > noise[~flagged].max(initial=-1)
    np.testing.assert_array_equal(trusted(1 - noise, q), flagged)


def test_a_million_events_take_about_a_second() -> None:
    planted = mixture(1_000_000, 0.3, 2)
    start = time.process_time()
    planted.calibrated()
    assert time.process_time() - start < 3  # .5 s on a quiet core


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"owners": np.zeros(3, int)}, "of one length"),
        ({"score": np.full(100, np.nan)}, "finite"),
        ({"background": np.full(50, np.inf)}, "finite"),
        ({"background_evidence": np.zeros(50, int)}, "no background score"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, np.ndarray], problem: str) -> None:
    given = {
        "score": np.zeros(100),
        "evidence": np.ones(100, int),
        "owners": np.zeros(100, int),
        "background": np.zeros(50),
        "background_evidence": np.ones(50, int),
    }
    with pytest.raises(UsageError, match=problem):
        calibrate(**(given | change))  # type: ignore[arg-type]
