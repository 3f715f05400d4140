"""Where noise gathers in short histories, the bound is that of long ones, and everything that tells it says so."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from report.sample import audit_view
from siftrec.audit.audit import _second
from siftrec.cli.noise import _told
from siftrec.detectors.calibrate import NoiseScores, calibrate
from siftrec.noise.measure import judgement
from siftrec.report import audit_page
from siftrec.report.view import level

SHORT = 5


def planted(short: float, long: float, seed: int = 1) -> tuple[NoiseScores, np.ndarray, np.ndarray]:
    """Scores of histories with 2 or with 12 others, the truth, and which are short; these shares of them are noise."""
    rng = np.random.default_rng(seed)
    evidence = np.repeat(rng.choice([2, 12], 4000, p=[0.6, 0.4]), 6)
    few = evidence < SHORT
    truth = rng.random(len(few)) < np.where(few, short, long)
    score = rng.normal(size=len(few)) + np.where(truth, 0, 4)
    drawn = rng.permutation(evidence)
    found, _ = calibrate(score, evidence, np.arange(len(few)) // 6, rng.normal(size=len(few)), drawn, seed=seed)
    return found, truth, few


def test_what_short_histories_may_hold_is_an_upper_bound_beside_that_of_the_log() -> None:
    """At most 5 % of the interactions, it said, of which 38 % were noise."""
    found, truth, few = planted(0.6, 0.05)
    assert found.rho_interval[1] < 0.1 < truth.mean()
    assert found.short is not None
    assert found.short.others == 12
    assert found.short.rho_interval[0] < truth[few].mean() < found.short.rho_interval[1]
    assert found.caveat == f"up to {found.short.rho_upper:.1%} where fewer than 12 others can vouch"


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_of_noise_that_is_as_frequent_in_short_histories_nothing_is_added(share: float) -> None:
    for seed in range(5):
        assert planted(share, share, seed)[0].caveat == ""


@pytest.mark.parametrize("level", [0.02, 0.05, 0.2])
def test_no_more_noise_is_trusted_than_was_asked_for_where_it_gathers_in_short_histories(level: float) -> None:
    """Of what was trusted to hold at most 5 %, every third interaction was noise."""
    found, truth, few = planted(0.6, 0.05)
    chosen = found.trusted(level)
    assert chosen.any()
    assert truth[chosen].mean() < level + 0.01
    assert (chosen & few).any()


def test_whoever_reads_the_bound_reads_where_it_does_not_hold() -> None:
    """In Python, on the command line, in the verdict, on the page and in JSON."""
    for (found, _, _), there in ((planted(0.6, 0.05), True), (planted(0.2, 0.2), False)):
        assert (", up to " in repr(found)) == there
        assert (", if short histories hold no more of it than long ones: up to " in _second(found, ())) == there
        assert (level(found).caveat == found.caveat != "") == there
        view = replace(audit_view(), level=level(found))
        assert (f"{found.caveat}</bdi>. No log can tell" in audit_page(view)) == there
        report = SimpleNamespace(scores=found, modal=None, to_json=lambda: {"mechanism": None})
        assert ("but in short histories" in _told(report)) == there  # type: ignore[arg-type]
        assert json.loads(json.dumps(judgement(found)))["rho_short"] == (
            None
            if found.short is None
            else {
                "others": found.short.others,
                "rho_upper": found.short.rho_upper,
                "rho_interval": list(found.short.rho_interval),
            }
        )
