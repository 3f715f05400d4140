"""A detector that somebody else wrote judges wherever those of the library do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from detectors.worlds import world
from siftrec.data.sequences import Sequences
from siftrec.errors import UsageError
from siftrec.noise.measure import auroc

PAGE = (Path(__file__).parents[2] / "docs" / "noise.md").read_text("utf-8")


def events(users: int = 60, tastes: int = 1) -> sr.Interactions:
    """Six interactions of each user, with some of the 20 items of a taste."""
    rng = np.random.default_rng(3)
    took = [(u, t, 20 * (u % tastes) + i) for u in range(users) for t, i in enumerate(rng.permutation(20)[:6])]
    rows = [(f"u{u:03}", f"v{i:02}", t) for u, t, i in took]
    return sr.read(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"))


def guessed(log: Sequences, rho: float = 0.3) -> sr.NoiseScores:
    """Probabilities by nothing but the item's code."""
    noise = log.items / 40
    none, evidence = np.zeros(len(noise), bool), np.full(len(noise), 5)
    return sr.NoiseScores(noise, none, evidence, -noise, rho, (0.0, rho), 0.05, "mine")


class Mine:
    """Keeps the logs that it was asked about."""

    def __init__(self) -> None:
        self.seen = list[Sequences]()

    def __call__(self, log: Sequences, catalog: sr.Catalog, **named: object) -> sr.NoiseScores:
        assert named.keys() == {"seed", "quick", "on_fold"}
        self.seen.append(log)
        return guessed(log)


@pytest.mark.parametrize("method", [sr.Popularity(), sr.CCL4Rec(dim=4)], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("part", ["all", "train"])
def test_who_has_a_detector_can_sift_and_report_with_it_and_leaks_nothing(method: Any, part: Any) -> None:
    """It worked in an audit alone; and one that saw later interactions would leak them into the training weights."""
    log, mine = events(), Mine()
    split = sr.leave_one_out(log)
    model = sr.fit(method, split, epochs=1) if isinstance(method, sr.CCL4Rec) else sr.fit(method, split)
    sifted = sr.sift(model, log, detector=mine, part=part, split=split if part == "train" else None)
    report = sr.noise_report(model, split, part=part, detector=mine)
    expected = split.train if part == "train" else split.log
    assert [each.fingerprint for each in mine.seen] == [expected.fingerprint] * 2
    for scores, judged in ((sifted.scores, mine.seen[0]), (report.scores, mine.seen[1])):
        np.testing.assert_allclose(scores.noise, judged.items / 40, rtol=1e-6)
    assert report.to_json()["detector"] is None
    assert "by a detector that is not of this library, chosen in place of" in report.page()


def test_flags_are_those_of_the_level_that_was_asked_for() -> None:
    """A detector is not told `q`: its own flags would be dropped from a log under another level's name."""
    log, catalog = sr.leave_one_out(events()).log, sr.Catalog(events().items)
    found = {q: sr.judge(log, catalog, detector=lambda log, catalog, **named: guessed(log), q=q) for q in (0.2, 0.55)}
    assert not found[0.2].flagged.any()
    assert found[0.55].flagged.any()
    assert found[0.55].q == 0.55
    np.testing.assert_array_equal(found[0.55].flagged, found[0.55].at(0.55))


@pytest.mark.parametrize(
    ("gives", "problem"),
    [
        (lambda log: log.items / 40, "detector: mine gives ndarray, not NoiseScores; siftrec.noise_scores"),
        (lambda log: guessed(log.take(np.arange(3))), r"detector: mine gives noise \(18,\), .* of 360 events"),
        (lambda log: replace(guessed(log), score=np.ones(2)), r"score \(2,\) of 360 events"),
        (lambda log: replace(guessed(log), noise=2.0 * log.items), "gives noise that is no probability from 0 to 1"),
        (lambda log: replace(guessed(log), noise=np.full(360, np.nan)), "gives noise that is no probability"),
        (
            lambda log: sr.noise_scores(lambda histories, users: users, log),
            r"score: gives \(60,\) numbers of 360 events",
        ),
    ],
)
def test_what_a_detector_gives_wrongly_is_told_in_one_line(gives: Callable[[Sequences], Any], problem: str) -> None:
    def mine(log: Sequences, catalog: sr.Catalog, **named: object) -> Any:
        return gives(log)

    split = sr.leave_one_out(events())
    with pytest.raises(UsageError, match=problem):
        sr.judge(split.log, sr.Catalog(events().items), detector=mine)
    with pytest.raises(UsageError, match="fitted_on: a detector of your own learns from the log that it judges"):
        sr.judge(split.log, sr.Catalog(events().items), detector=mine, fitted_on=split.log)


def test_a_score_of_ones_own_finds_planted_noise_and_nothing_where_there_is_nothing() -> None:
    """Histories and users that did not belong together would be calibrated against another's places."""
    for null in (False, True):
        made = world(null=null)
        bought = partial(_held, made.log)

        def score(histories: Sequences, users: np.ndarray, made: Any = made, bought: Any = bought) -> np.ndarray:
            assert bought(histories, users) > 0.94, "all but the one that was put there"
            unit = made.content.numpy()[histories.items]
            total = np.add.reduceat(unit, histories.offsets[:-1])[histories.owners]
            return (unit * (total - unit)).sum(axis=1) / histories.lengths[histories.owners]

        found = sr.noise_scores(score, made.log)
        area = auroc(made.noisy, found.noise.astype(np.float64))
        assert area is not None
        if null:
            assert area == pytest.approx(0.5, abs=0.04)
            assert found.flagged.mean() < 0.02
        else:
            assert area > 0.8
            assert made.noisy.mean() < found.rho_interval[1] < 0.7


def _held(log: Sequences, histories: Sequences, users: np.ndarray) -> float:
    """Share of the events whose item the user has."""
    size = int(log.items.max()) + 1
    return float(np.isin(users[histories.owners] * size + histories.items, log.owners * size + log.items).mean())


def test_the_page_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recipe that fails, or finds less than the unpopular, would send its reader away with nothing."""
    monkeypatch.chdir(tmp_path)
    log = events(users=150, tastes=3)
    split, catalog = sr.leave_one_out(log), sr.Catalog(log.items)
    names: dict[str, Any] = {"events": log, "split": split, "catalog": catalog, "model": sr.fit(sr.Popularity(), split)}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "noise.md", "exec"), names)
    assert (tmp_path / "weighted.parquet").exists()
    assert "a detector that is not of this library" in (tmp_path / "noise.html").read_text("utf-8")
    areas = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[-3:]]
    assert areas[0] > areas[2] + 0.1
    frame = sr.judge(split.log, catalog, detector=sr.Cooccurrence()).to_frame(split.log, split.users, split.items)
    assert frame.columns == ["row", "user", "item", "noise", "flagged", "evidence", "weight"]
