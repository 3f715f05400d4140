"""The controls of benchmarks/judges.py are what they are called."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import judges
import noise_tables
import numpy as np
import pytest

import noise
from methods.kinds import KIND, mixed
from siftrec.data.catalog import Catalog
from siftrec.data.split import TEST
from siftrec.detectors.likelihood import Likelihood
from siftrec.detectors.slots import pieces, replaced
from siftrec.methods.adt import ADT
from siftrec.methods.sasrec import SASRec
from siftrec.noise.measure import auroc
from siftrec.train.settings import Training

ROOT = Path(__file__).parents[1]
TYPED = {
    "decisions/0011-likelihood-normalised-in-place.md": {
        "normalised, cross-fitted": "likelihood",
        "the same, by models that have seen the user": "not cross-fitted",
        "−log p, by models that have seen the user": "loss of the interaction",
    },
    "noise.md": {
        "blend": "blend",
        "likelihood": "likelihood",
        "co-occurrence": "cooccurrence",
        "content agreement": "agreement",
        "likelihood, not cross-fitted": "not cross-fitted",
        "loss of the interaction": "loss of the interaction",
        "mean loss of the history": "mean loss of the history",
        "similarity to the next item": "similarity to the next item",
        "control: popularity alone": "popularity",
        "ceiling: likelihood fitted on the clean log (one seed)": "ceiling",
    },
}
"""Page → row of its table of MicroLens-50k, 30 % replaced → scorer."""


@pytest.mark.parametrize("file", TYPED)
def test_typed_figures_are_the_stored_ones(file: str) -> None:
    """A page that is written by hand would go on telling what was measured before."""
    found = noise_tables.cases(noise.RESULTS)["microlens50k", "replace", 0.3]
    lines = (ROOT / "docs" / file).read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    for what, scorer in TYPED[file].items():
        (told,) = (row[1:] for row in rows if row[0] == what)
        measures = ("auroc", "auroc_6", "rho_upper", "brier")[: len(told)]
        means = (statistics.mean(run[measure] for run in found[scorer]) for measure in measures)
        assert told == [f"{value:.3f}".removeprefix("0") for value in means], what


@pytest.mark.parametrize("folds", [2, 4])
def test_a_model_that_has_seen_the_user_is_of_another_fold(folds: int) -> None:
    """The next row shares the fold half of the time; then the control would be ours under another name."""
    fitted, users = Likelihood(folds=folds, dim=2).build(5000, 0), np.arange(3000)
    own, other = (fitted.fold(judges.torch.from_numpy(rows)) for rows in (users, judges.strangers(fitted, users)))
    assert (own != other).all()
    assert (other.bincount() > 0.8 * len(users) / folds).all()


def test_a_unit_says_which_fold_judges_whom_or_how_denoisers_were_trained() -> None:
    scorers, denoisers = noise.units(["microlens50k.replace.rho0.3.[sd]*.seed1"])
    assert set(noise.settings(scorers)) == {"likelihood", "seen"}
    assert set(noise.settings(denoisers)) == {"tce", "rce", "hsd"}


def kinds(planted: bool) -> judges.Case:
    """What a user does not like is noise."""
    split = mixed(planted)
    log = split.log.where(split.role < TEST)
    liked = split.users.to_numpy().astype(np.int64)[log.owners] % 2
    truth = (split.items.decode(log.items).to_numpy() >= KIND) != liked
    background = replaced(pieces(log, 20), log.owners, 500, 1)
    return judges.Case(log, log, truth, Catalog(split.items.ids), "replace", background, split)


def test_denoisers_are_judged_by_what_they_took_away_and_left() -> None:
    """Users who like one of two kinds, and a log without kinds: there genuine interactions and noise are taken alike."""
    for planted in (True, False):
        case = kinds(planted)
        truth = case.truth
        training = Training(epochs=6, batch_size=32, learning_rate=0.01, schedule="constant", patience=0)
        method = ADT(base=SASRec(dim=16, length=10, blocks=1, heads=1), share=0.2, ramp=40)
        judged = judges.denoisers(case, {"tce": (method, training)}, 1)
        figures = judges.figures_of(case, judged, 1)["tce"]
        at = np.flatnonzero(~np.isnan(judged["tce"].score))
        assert figures["auroc_score"] == pytest.approx(auroc(truth[at], -judged["tce"].score[at]))
        dropped = 1 - judged["tce"].kept
        assert figures["over_denoising"] == pytest.approx(dropped[~truth].mean())
        assert figures["under_denoising"] == pytest.approx(1 - dropped[truth].mean())
        difference = 1 - figures["under_denoising"] - figures["over_denoising"]
        assert difference > 0.08 if planted else abs(difference) < 0.05


def test_the_librarys_scores_are_judged_as_denoisers_are() -> None:
    """By what they leave: opponents' ratios beside nothing of ours would say nothing. Null: a score that knows nothing."""
    case, rng = kinds(planted=True), np.random.default_rng(1)
    for known in (3.0, 0.0):
        score = rng.normal(size=len(case.truth)) + known * np.where(case.truth, -1, 1)
        drawn = rng.normal(size=len(case.background.slots)) - known
        judged = judges.Judged(score, drawn, 0.0)
        figures = judges.figures_of(case, {"likelihood": judged, "popularity": judged}, 1)
        scores = judges.calibrated(case, judged, 1)
        likelihood = figures["likelihood"]
        assert likelihood["over_denoising"] == pytest.approx((1 - scores.weight)[~case.truth].mean())
        assert likelihood["under_denoising"] == pytest.approx(scores.weight[case.truth].mean())
        targets = likelihood["weighted targets"]
        left = 1 - np.minimum(1, 1.8 * np.minimum(1, scores.rho_upper * np.exp(-score)))
        assert targets["over_denoising"] == pytest.approx((1 - left)[~case.truth].mean())
        for each in (likelihood, targets):
            told = 1 - each["under_denoising"] - each["over_denoising"]
            assert told > 0.7 if known else abs(told) < 0.03
        assert not {"over_denoising", "weighted targets"} & figures["popularity"].keys(), "a control takes nothing"


@pytest.fixture
def unit(monkeypatch, tmp_path):
    """A stored unit as if it had been made now, in a folder of its own."""
    unit = noise.units(["ml100k.replace.rho0.3.scorers.seed1"])[0]
    told = json.loads(unit.result.read_text()) | {"settings": noise.settings(unit)}
    for each in told["figures"].values():
        for name in ("over_denoising", "under_denoising", "weighted targets"):
            each.pop(name, None)
    told["figures"]["likelihood"] |= {"over_denoising": 0.25, "under_denoising": 0.5}
    monkeypatch.setattr(noise, "RESULTS", tmp_path)
    unit.result.write_text(json.dumps(told))
    return unit


def test_units_of_other_settings_are_neither_done_nor_shown(unit, tmp_path) -> None:
    """A detector of before beside those of now would be compared with them."""
    assert unit.done
    page = "\n".join(noise_tables.sections(tmp_path, tmp_path / "plots"))
    assert "likelihood, cross-fitted | 0.250 | 0.500 |" in page
    told = json.loads(unit.result.read_text())
    told["settings"]["likelihood"]["dim"] = 7
    unit.result.write_text(json.dumps(told))
    assert not unit.done
    assert noise_tables.sections(tmp_path, tmp_path / "plots") == []


def test_a_unit_that_lacks_what_is_measured_now_is_shown_but_not_done(unit, tmp_path) -> None:
    told = json.loads(unit.result.read_text())
    del told["figures"]["likelihood"]["over_denoising"]
    unit.result.write_text(json.dumps(told))
    assert not unit.done
    page = "\n".join(noise_tables.sections(tmp_path, tmp_path / "plots"))
    assert "likelihood, cross-fitted" in page
    assert "over-denoising" not in page


def test_every_aim_that_is_asked_is_shown() -> None:
    """Whoever flags at another q than .2 would have to read the JSON, where q = .05 is missed."""
    found, wrong = {"0.05": 0.01, "0.2": 0.12, "0.4": 0.4}, {"0.05": 0.1, "0.2": 0.2, "0.4": None}
    head, _, row = noise_tables.flagged({"blend": [{"recall_at_fdr": found, "fdr_reached": wrong}]}).splitlines()
    assert [each.strip() for each in head.split("|")[2:5]] == ["found, q = 0.05", "found, q = 0.2", "found, q = 0.4"]
    assert row.endswith("| 0.010 | 0.120 | 0.400 | 0.100 | 0.200 | – |")


def test_rows_of_several_seeds_have_an_interval_by_user_that_seeds_do_not_narrow() -> None:
    """± between seeds says nothing of other users, and an interval that shrinks with seeds would take them for others."""
    runs = [{"auroc": middle, "auroc_interval": [middle - 0.02, middle + 0.02]} for middle in (0.7, 0.71, 0.72)]
    assert noise_tables.interval(runs) == "0.710 ± 0.010 [0.690, 0.730]"
    assert noise_tables.interval(runs[:1]) == "0.700 [0.680, 0.720]"
    assert noise_tables.interval([{"auroc": 0.7, "auroc_interval": [None, None]}]) == "0.700"


def test_a_unit_says_what_it_was_made_of(monkeypatch, tmp_path) -> None:
    """Figures of another data file, or of another draw of the noise, would pass for those of this one."""
    case, told = kinds(planted=True), {}
    other = replace(case, log=replace(case.log, items=case.log.items[::-1].copy()))
    monkeypatch.setattr(noise, "RESULTS", tmp_path)
    monkeypatch.setattr(judges, "scorers", lambda case, seed: {"popularity": popularity})
    popularity = judges.Judged(np.ones(len(case.truth)), np.ones(len(case.background.slots)), 0.0)
    unit = noise.units(["ml100k.replace.rho0.3.scorers.seed1"])[0]
    for each in (case, other):
        monkeypatch.setattr(judges, "noisy_log", lambda *_, each=each: each)
        noise.run_unit(unit, tmp_path)
        told[each.log.fingerprint] = json.loads(unit.result.read_text())
    assert [each["log_sha256"] for each in told.values()] == list(told)
    assert len(told) == 2
    assert all(len(each["commit"]) >= 12 for each in told.values())
