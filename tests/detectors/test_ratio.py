"""Weighing scores without labels: useful ones count, useless ones do not, and the order is that of the odds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from siftrec.detectors.ratio import LogRatio, _loss
from siftrec.errors import UsageError
from siftrec.noise.measure import auroc


def planted(shifts: tuple[float, ...], rho: float = 0.3, events: int = 20_000, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores that are normal for noise and shifted for genuine events, on scales of their own."""
    rng = np.random.default_rng(seed)
    truth, scale = rng.random(events) < rho, 10.0 ** np.arange(len(shifts))
    genuine = np.where(truth[:, None], 0, np.array(shifts))
    return {
        "truth": truth,
        "scores": (rng.normal(size=(events, len(shifts))) + genuine) * scale + 5,
        "evidence": rng.integers(1, 9, events),
        "drawn": rng.normal(size=(events, len(shifts))) * scale + 5,
        "there": rng.integers(1, 9, events),
    }


def area(made: dict[str, np.ndarray], score: np.ndarray) -> float:
    found = auroc(made["truth"], -score.astype(np.float64))
    assert found is not None
    return found


def blended(made: dict[str, np.ndarray]) -> np.ndarray:
    fitted = LogRatio.fit(made["scores"], made["evidence"], made["drawn"], made["there"])
    return fitted.judge(made["scores"], made["evidence"])


@pytest.mark.parametrize("rho", [0.1, 0.5])
def test_independent_scores_are_weighed_as_well_as_can_be(rho: float) -> None:
    """For two normal scores the best weights are their shifts in standard deviations."""
    made = planted((1.5, 0.8), rho)
    standard = (made["scores"] - 5) / [1, 10]
    best = area(made, standard @ [1.5, 0.8])
    assert area(made, blended(made)) > max(best - 0.003, area(made, standard[:, 0]) + 0.01)


def test_a_useless_score_does_no_harm() -> None:
    made = planted((1.5, 0, 0))
    assert area(made, blended(made)) == pytest.approx(area(made, made["scores"][:, 0]), abs=0.005)


def test_where_nothing_can_be_told_nothing_is() -> None:
    assert area(planted((0, 0)), blended(planted((0, 0)))) == pytest.approx(0.5, abs=0.03)


def test_a_score_may_count_for_more_with_more_evidence() -> None:
    made = planted((0, 0))
    loud = np.where(made["truth"], 0, np.log(made["evidence"]))
    made["scores"][:, 0] += loud
    standard = (made["scores"][:, 0] - 5) * np.log(made["evidence"])
    assert area(made, blended(made)) > area(made, made["scores"][:, 0]) + 0.005
    assert area(made, blended(made)) > area(made, standard) - 0.01


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(2)
    events, draws, weights = rng.normal(size=(40, 4)), rng.normal(size=(30, 4)), rng.normal(size=4)
    assert check_grad(lambda w: _loss(w, events, draws)[0], lambda w: _loss(w, events, draws)[1], weights) < 1e-5


def test_events_without_evidence_have_no_say_and_no_score() -> None:
    made = planted((1.5, 0.8), events=2000)
    fitted = LogRatio.fit(made["scores"], made["evidence"], made["drawn"], made["there"])
    none = np.zeros(50, int)
    wild = np.concatenate([made["scores"], np.full((50, 2), 1e6)]), np.concatenate([made["evidence"], none])
    again = LogRatio.fit(*wild, made["drawn"], made["there"])
    assert (again.weights == fitted.weights).all()
    assert (again.judge(*wild)[-50:] == 0).all()
    with pytest.raises(UsageError, match="evidence"):
        LogRatio.fit(made["scores"], made["evidence"], made["drawn"], made["there"] * 0)


def test_a_missing_score_counts_neither_for_nor_against() -> None:
    """Items without content would be called genuine, or noise, for having none."""
    made = planted((1.5, 0.8))
    made["scores"] -= 5
    made["drawn"] -= 5
    rng = np.random.default_rng(1)
    gone = rng.random(len(made["scores"])) < 0.4
    made["scores"][gone, 1] = 0
    made["drawn"][rng.random(len(made["drawn"])) < 0.4, 1] = 0
    noise = np.minimum(1, 0.3 * np.exp(-blended(made)))
    assert noise[gone].mean() == pytest.approx(noise[~gone].mean(), abs=0.02)
    for group in (gone, ~gone):
        assert noise[group].mean() == pytest.approx(made["truth"][group].mean(), abs=0.03)


def test_fitted_on_histories_of_one_length_it_judges_others() -> None:
    """Their evidence deviated by rounding alone: a shorter history scored minus a million million, whoever was in it."""
    made = planted((1.5, 0.8))
    one = {name: np.full_like(made[name], 19) for name in ("evidence", "there")}
    fitted = LogRatio.fit(made["scores"], one["evidence"], made["drawn"], one["there"])
    long = fitted.judge(made["scores"], one["evidence"])
    for evidence in (1, 5, 19):
        found = fitted.judge(made["scores"], np.full_like(made["evidence"], evidence))
        assert np.abs(found).max() < 20
        assert area(made, found) > area(made, long) - 0.02
