"""The tuning budget of benchmarks/tuning.py is equal, blind to the test part, and leaves the cells of defaults alone."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import accuracy
import choices
import comparisons
import machine
import numpy as np
import per_user
import polars as pl
import pytest
import service_tables
import tuning
import tuning_tables
import variants
from datasets import DEFAULT, LOGS

from methods.kinds import mixed
from siftrec.data.split import TEST
from siftrec.errors import SettingsError
from siftrec.evaluate.evaluation import About, Evaluation, evaluate
from siftrec.methods.base import Learned
from siftrec.methods.demure import Demure
from siftrec.methods.late import LateFusion
from siftrec.methods.sasrec import SASRec
from siftrec.methods.slots import SlotViews
from siftrec.noise.inject import inject
from siftrec.train.fit import fit

SMALL = SASRec(dim=8, length=10, blocks=1, heads=1)


def test_every_method_has_four_configurations_that_differ_in_more_than_name() -> None:
    """A value that is the default's already, or a misspelt key, would give that method a smaller budget."""
    for method, configs in tuning.GRID.items():
        settings = [json.dumps(tuning.Trial("microlens50k", 0.3, method, config).settings) for config in configs]
        assert len(set(settings)) == 4, method
        assert next(iter(configs.values())) == {}
    assert len(tuning.trials()) == 2 * 4 * len(tuning.GRID)
    with pytest.raises(SettingsError, match=r"method\.base\.dropuot: no such setting; did you mean 'dropout'"):
        choices.changed(*tuning.Trial("ml1m", 0, "cl4srec", "default").made, {"method.base.dropuot": 0.5})


def test_every_opponent_is_tuned() -> None:
    """A method left out would be beaten at its default by ours at their best."""
    ours = ("ccl4rec", "late", "demure", "oracle")
    there = {
        name: each for name, each in variants.VARIANTS.items() if "microlens50k" in (each.data or accuracy.DATASETS)
    }
    learned = {name for name, variant in there.items() if isinstance(variant.make(), Learned)}
    assert {name for name in learned if not name.startswith(ours)} <= set(tuning.GRID) <= learned


def test_tuning_is_blind_to_the_test_part() -> None:
    """Two logs that differ in nothing but every test item: whatever is tuned on them is the same, noise included."""
    split = mixed(planted=True)
    test = split.role == TEST
    items = np.where(test, 1 + (split.log.items + 6) % (len(split.items) - 1), split.log.items).astype(np.int32)
    other = replace(split, log=replace(split.log, items=items))
    assert (other.log.items != split.log.items)[test].all()
    blind, twin = (inject(tuning.without_test(each), "replace", 0.3, 0).split for each in (split, other))
    assert not len(blind.test)
    assert blind.log.fingerprint == twin.log.fingerprint
    assert blind.fitting.fingerprints == twin.fitting.fingerprints
    assert tuning.without_test(split).fitting.fingerprints == split.fitting.fingerprints
    figures = [evaluate(fit(SMALL, each, epochs=1), each.valid, (20,)).means() for each in (blind, twin)]
    assert figures[0] == figures[1]


def test_the_default_stays_unless_another_is_clearly_better() -> None:
    """Planted: one configuration is better by a fifth. Null: all are the default, with noise of users and of training."""
    rng = np.random.default_rng(3)
    users = 50_000
    default = rng.random(users) * (rng.random(users) < 0.1)

    def trained() -> np.ndarray:
        return default * (1 + rng.normal(0, tuning.BETWEEN_SEEDS)) + rng.normal(0, 0.05, users)

    null = [tuning.choice({name: trained() for name in ("default", "a", "b", "c")})[0] for _ in range(200)]
    assert null.count("default") > 170
    better = {"default": default, "a": default + rng.normal(0, 0.05, users), "b": 1.2 * default}
    config, found = tuning.choice(better)
    assert config == "b"
    assert found["b"]["difference"] == pytest.approx(0.2 * default.mean())
    assert tuning.choice({"default": default, "a": default.copy()})[0] == "default", "a tie"


def test_the_spread_between_seeds_is_that_of_stored_validation() -> None:
    """A constant smaller than what was measured would let the training seed choose; one from test figures would leak."""
    curves: dict[str, list[list[float]]] = {}
    for path in sorted(accuracy.RESULTS.glob("microlens50k.rho0.*.seed[123].json")):
        figures = json.loads(path.read_text())
        cell = accuracy.Cell(**figures["cell"])
        plain = str(cell.setting) == "microlens50k.rho0" and accuracy.current(cell, figures)
        if plain and (validated := figures.get("validation")):
            curves.setdefault(cell.method, []).append(validated)
    shares: list[float] = []
    for three in (each for each in curves.values() if len(each) == 3):
        together = min(map(len, three))
        after = np.array([curve[together - 3 : together] for curve in three])
        shares += (after.std(axis=0, ddof=1) / after.mean(axis=0)).tolist()
    assert len(shares) >= 12
    measured = float(np.sqrt(np.mean(np.square(shares))))
    assert 0.8 < tuning.BETWEEN_SEEDS / measured < 1.25


def test_slower_training_may_take_twice_as_long_for_every_method() -> None:
    """Twice for some and as long for others would be two budgets."""
    for method in tuning.GRID:
        own, slower = (tuning.Trial("microlens50k", 0.3, method, config).made[1] for config in ("default", "slower"))
        assert slower.epochs == 2 * own.epochs, method
        assert slower.learning_rate == 1e-3


def test_choices_that_the_grid_or_the_settings_no_longer_have_are_dropped(chosen, monkeypatch, tmp_path) -> None:
    """A value taken out of the grid would be judged for ever; a renamed setting would end `choose` in a traceback."""
    setting = "microlens50k.rho0.3"
    for name, choice in chosen[setting].items():
        choice["settings"] = tuning.Trial("microlens50k", 0.3, name, choice["config"]).settings
    hsd = tuning.Trial("microlens50k", 0.3, "hsd", "own")
    chosen[setting]["hsd"] = {"config": "own", "changes": {"method.heat": 0.5}, "settings": hsd.settings}
    chosen[setting]["gru4rec"] = {"config": "warmer", "changes": {}, "settings": {}}
    chosen[setting]["tce"] = chosen[setting]["cl4srec"] | {"config": "own"}
    choices.CHOSEN.write_text(json.dumps({"choices": chosen}))
    monkeypatch.setattr(tuning, "RESULTS", tmp_path)
    monkeypatch.setitem(tuning.GRID, "hsd", {"default": {}, "own": {"method.heat": 0.5}})
    stale = [cell for cell in accuracy.cells() if cell.tuned and cell.method == "hsd"]
    assert stale
    for cell in stale:
        cell.result.write_text(json.dumps({"settings": {}}))
        cell.values.write_bytes(b"")
    assert not any(cell.done for cell in stale)
    monkeypatch.setattr(tuning, "trials", lambda: [])
    tuning.choose(argparse.Namespace())
    assert set(choices.chosen()[setting]) == {"cl4srec", "sasrec"}
    monkeypatch.setitem(tuning.GRID["cl4srec"], "dropout", {"method.base.dropout": 0.4})
    tuning.choose(argparse.Namespace())
    assert set(choices.chosen()[setting]) == {"sasrec"}


def test_what_came_to_be_a_setting_counts_with_what_was_done_before() -> None:
    """Views were for every row before `row_share`: such a cell is not what its default of today would give."""
    training = variants.training_of("microlens50k", "demure")
    now = {share: choices.described(Demure(views=SlotViews(row_share=share)), training) for share in (1.0, 0.125)}
    stored = json.loads(json.dumps(now[0.125]))
    del stored["method"]["views"]["row_share"]
    assert machine.unchanged(stored, now[1.0])
    assert not machine.unchanged(stored, now[0.125])
    plain = choices.described(Demure(), training)
    assert machine.unchanged({**plain, "method": {"use": "siftrec:Demure"}}, plain)
    lifted = {how: choices.described(Demure(base=LateFusion(lift=how)), training) for how in ("none", "ids")}
    stored = json.loads(json.dumps(lifted["ids"]))
    del stored["method"]["base"]["lift"]
    assert machine.unchanged(stored, lifted["none"])
    assert not machine.unchanged(stored, lifted["ids"])


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """More dropout for CL4SRec under noise, the default for SASRec; results go to a folder of their own."""
    more = {"config": "dropout", "changes": {"method.base.dropout": 0.5}}
    picked = {"microlens50k.rho0.3": {"cl4srec": more, "sasrec": {"config": "default", "changes": {}}}}
    monkeypatch.setattr(choices, "CHOSEN", tmp_path / "chosen.json")
    choices.CHOSEN.write_text(json.dumps({"choices": picked}))
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path)
    monkeypatch.setattr(accuracy, "VALUES", tmp_path)
    return picked


def test_chosen_settings_have_cells_of_their_own(chosen) -> None:
    """Defaults' cells keep name and settings, or hours of stored figures would be stale; nor is a kept default run again."""
    tuned = [cell for cell in accuracy.cells() if cell.tuned]
    assert list(map(str, tuned)) == [f"microlens50k.rho0.3.tuned.cl4srec.seed{seed}" for seed in (1, 2, 3)]
    assert accuracy.cells(["*.tuned.*"]) == tuned
    default = accuracy.settings_of(replace(tuned[0], tuned=False))
    settings = accuracy.settings_of(tuned[0])
    assert (settings["method"]["base"].pop("dropout"), default["method"]["base"].pop("dropout")) == (0.5, 0.2)
    assert settings == default
    choices.CHOSEN.unlink()
    assert not any(cell.tuned for cell in accuracy.cells())


def test_tuned_opponents_meet_ours_at_their_defaults(chosen) -> None:
    """Ours need no trials to be compared, and a default that tuning kept needs no cell: both have the figures they had."""
    rng = np.random.default_rng(1)
    setting = accuracy.Setting("microlens50k", 0.3, tuned=True)
    made = {"ccl4rec": False, "sasrec": False, "cl4srec": True, "gru4rec": False}
    for method, tuned in made.items():
        cell = accuracy.Cell("microlens50k", 0.3, method, 1, tuned=tuned)
        cell.result.write_text(json.dumps({"settings": accuracy.settings_of(cell)}))
        values = rng.random((4, 300)) * (0.5 if tuned else 1)
        about = About("siftrec:X", 1, "test", "leave-one-out", 500, {"train": "t", "test": "q"}, 0.0, {}, {}, "m")
        users = pl.Series([f"u{i}" for i in range(300)])
        per_user.write(Evaluation(users, accuracy.MAIN, {"seen": values}, about), accuracy.MAIN, cell.values)
    made_all = comparisons.compare_all({})["settings"]
    found = next(each for each in made_all if comparisons._setting(each) == setting)
    pairs = {(each["a"], each["b"]): each for each in found["comparisons"] if each["metric"] == "ndcg@20"}
    assert set(pairs) == {("ccl4rec", "sasrec"), ("ccl4rec", "cl4srec")}, "gru4rec was not tuned, nor was ours"
    assert pairs["ccl4rec", "cl4srec"]["relative"] > 0.5, "the tuned cell, which is half as good"
    assert found["settings"]["cl4srec"]["method"]["base"]["dropout"] == 0.5
    tuned = accuracy.Cell("microlens50k", 0.3, "cl4srec", 1, tuned=True)
    del chosen["microlens50k.rho0.3"]["cl4srec"]
    choices.CHOSEN.write_text(json.dumps({"choices": chosen}))
    assert not tuned.stands, "a choice that is gone leaves no figures behind"


def test_the_page_shows_every_trial_and_the_choice(chosen, tmp_path) -> None:
    (tmp_path / "trials").mkdir()
    found = {"ndcg@20": 0.05, "difference": 0.01, "standard_error": 0.002}
    chosen["microlens50k.rho0.3"]["cl4srec"]["trials"] = {"default": found, "dropout": found}
    choices.CHOSEN.write_text(json.dumps({"choices": chosen}))
    for config in tuning.GRID["cl4srec"]:
        told = {"trial": {"data": "microlens50k", "rho": 0.3, "method": "cl4srec", "config": config}, "epochs": 9}
        told |= {"best_epoch": 6, "validation": {"ndcg@20": 0.05}, "training": {"epochs": 40}, "cpu_s": 60.0}
        (tmp_path / "trials" / f"{config}.json").write_text(json.dumps(told))
    page = "\n\n".join(tuning_tables.sections(tmp_path / "trials"))
    assert f"4 of {len(tuning.trials())} trials are done" in page
    assert "|  | dropout: base.dropout 0.5 | 0.0500 | +0.0100 ± 0.0020 | 7, 9, 40 | 60 | **yes** |" in page
    assert "| CL4SRec | default | 0.0500 |  | 7, 9, 40 | 60 |  |" in page
    assert (
        "other settings than the default: cl4srec; tuned, and the default stayed: sasrec; not tuned: sasrec-pre" in page
    )
    assert not tuning_tables.sections(tmp_path / "nothing")


def test_the_page_shows_what_the_service_did_and_a_dash_for_what_was_not_measured(tmp_path) -> None:
    about = {"items": 1000, "dim": 8, "history": 20, "clients": 4, "commit": "abc"}
    row = {"requests": 286, "not_200": 2, "cpu_ms": 5.2098, "per_second": 28.5, "p50_ms": 141.9, "p99_ms": 280.2}
    rates = [{"gemm_gflops": 170.4, "copy_gb_per_s": 14.6}]
    (tmp_path / "service.json").write_text(json.dumps(about | {"rates": rates, "rows": {"recommend": row}}))
    page = "\n\n".join(service_tables.sections(tmp_path))
    assert "| recommend | 286 | 2 | – | 5.21 | 28 | 141.9 | 280.2 | – | – |" in page
    assert "Product and copy rates of the machine, as under *Speed*: 170, 15." in page
    assert "What an answer costs" not in page


@pytest.mark.skipif(not (DEFAULT / LOGS["ml100k"]).exists(), reason="needs ml100k in ../shared/data")
def test_a_trial_leaves_its_figures_and_is_stale_when_a_default_changes(monkeypatch, tmp_path) -> None:
    """Real data, a model that is hardly trained."""
    from siftrec.train.settings import Training

    for module in (tuning, accuracy):
        monkeypatch.setattr(module, "VALUES", tmp_path)
    monkeypatch.setattr(tuning, "RESULTS", tmp_path)
    quick = Training(epochs=1, batch_size=2048, validate_users=100)
    monkeypatch.setattr(variants, "training_of", lambda data, name: quick)
    monkeypatch.setattr(variants, "method_of", lambda data, name: SMALL)
    trial = tuning.Trial("ml100k", 0.3, "sasrec", "default")
    assert not trial.done
    tuning.run_trial(trial, DEFAULT)
    told = json.loads(trial.result.read_text())
    assert 0 < told["validation"]["ndcg@20"] < 0.1
    assert told["users"] == 943
    assert trial.done
    monkeypatch.setattr(variants, "method_of", lambda data, name: replace(SMALL, dropout=0.3))
    assert not trial.done
