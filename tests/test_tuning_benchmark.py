"""The tuning budget of benchmarks/tuning.py is equal, blind to the test part, and leaves the cells of defaults alone."""

from __future__ import annotations

import json
from dataclasses import replace

import accuracy
import numpy as np
import pytest
import service_tables
import tuning
import tuning_tables
import variants
from datasets import DEFAULT, LOGS
from render import table

from methods.kinds import mixed
from siftrec.data.split import TEST
from siftrec.errors import SettingsError
from siftrec.evaluate.evaluation import evaluate
from siftrec.methods.base import Learned
from siftrec.methods.sasrec import SASRec
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
        variants.changed(*tuning.Trial("ml1m", 0, "cl4srec", "default").made, {"method.base.dropuot": 0.5})


def test_every_opponent_is_tuned() -> None:
    """A method left out would be beaten at its default by ours at their best."""
    ours = ("ccl4rec", "late", "demure", "oracle")
    learned = {name for name, variant in variants.VARIANTS.items() if isinstance(variant.make(), Learned)}
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
    """Planted: one configuration is better by a tenth. Null: all are the default and noise of their own."""
    rng = np.random.default_rng(3)
    default = rng.random(2000) * (rng.random(2000) < 0.1)
    null = [
        tuning.choice({"default": default} | {name: default + rng.normal(0, 0.05, 2000) for name in "abc"})[0]
        for _ in range(200)
    ]
    assert null.count("default") > 170
    better = {"default": default, "a": default + rng.normal(0, 0.05, 2000), "b": 1.1 * default}
    config, found = tuning.choice(better)
    assert config == "b"
    assert found["b"]["difference"] == pytest.approx(0.1 * default.mean())
    assert tuning.choice({"default": default, "a": default.copy()})[0] == "default", "a tie"


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """More dropout for CL4SRec under noise, the default for SASRec; results go to a folder of their own."""
    more = {"config": "dropout", "changes": {"method.base.dropout": 0.5}}
    choices = {"microlens50k.rho0.3": {"cl4srec": more, "sasrec": {"config": "default", "changes": {}}}}
    monkeypatch.setattr(variants, "CHOSEN", tmp_path / "chosen.json")
    variants.CHOSEN.write_text(json.dumps({"choices": choices}))
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path)
    monkeypatch.setattr(accuracy, "VALUES", tmp_path)
    return choices


def test_chosen_settings_have_cells_of_their_own(chosen) -> None:
    """Defaults' cells keep name and settings, or hours of stored figures would be stale."""
    tuned = [cell for cell in accuracy.cells() if cell.tuned]
    names = [f"microlens50k.rho0.3.tuned.{name}.seed{seed}" for seed in (1, 2, 3) for name in ("sasrec", "cl4srec")]
    assert list(map(str, tuned)) == names
    defaults = [accuracy.settings_of(replace(cell, tuned=False)) for cell in tuned[:2]]
    assert accuracy.settings_of(tuned[0]) == defaults[0]
    settings = accuracy.settings_of(tuned[1])
    assert (settings["method"]["base"].pop("dropout"), defaults[1]["method"]["base"].pop("dropout")) == (0.5, 0.2)
    assert settings == defaults[1]
    variants.CHOSEN.unlink()
    assert not any(cell.tuned for cell in accuracy.cells())


def test_a_default_that_was_kept_is_not_trained_again(chosen, tmp_path) -> None:
    tuned = accuracy.cells(["*.tuned.sasrec.seed1"])[0]
    default = replace(tuned, tuned=False)
    stored = {"cell": {}, "settings": accuracy.settings_of(default), "evaluation": {"run": str(default), "metrics": 7}}
    default.result.write_text(json.dumps(stored))
    default.values.write_bytes(b"values")
    accuracy.run_cell(tuned, tmp_path / "no data here")
    told = json.loads(tuned.result.read_text())
    assert tuned.done
    assert (told["same_as"], told["evaluation"]["run"]) == (str(default), str(tuned))
    assert accuracy.Cell(**told["cell"]) == tuned


def test_the_page_shows_every_trial_and_the_choice(chosen, tmp_path) -> None:
    (tmp_path / "trials").mkdir()
    found = {"ndcg@20": 0.05, "difference": 0.01, "standard_error": 0.002}
    chosen["microlens50k.rho0.3"]["cl4srec"]["trials"] = {"default": found, "dropout": found}
    variants.CHOSEN.write_text(json.dumps({"choices": chosen}))
    for config in tuning.GRID["cl4srec"]:
        told = {"trial": {"data": "microlens50k", "rho": 0.3, "method": "cl4srec", "config": config}, "epochs": 9}
        told |= {"best_epoch": 6, "validation": {"ndcg@20": 0.05}, "training": {"epochs": 40}, "cpu_s": 60.0}
        (tmp_path / "trials" / f"{config}.json").write_text(json.dumps(told))
    page = "\n\n".join(tuning_tables.sections(tmp_path / "trials", table))
    assert "4 of 184 trials are done" in page
    assert "|  | dropout: base.dropout 0.5 | 0.0500 | +0.0100 ± 0.0020 | 7, 9, 40 | 60 | **yes** |" in page
    assert "| CL4SRec | default | 0.0500 |  | 7, 9, 40 | 60 |  |" in page
    assert not tuning_tables.sections(tmp_path / "nothing", table)


def test_the_page_shows_what_the_service_did_and_a_dash_for_what_was_not_measured(tmp_path) -> None:
    about = {"items": 1000, "dim": 8, "history": 20, "clients": 4, "commit": "abc"}
    row = {"requests": 286, "not_200": 2, "cpu_ms": 5.2098, "per_second": 28.5, "p50_ms": 141.9, "p99_ms": 280.2}
    rates = [{"gemm_gflops": 170.4, "copy_gb_per_s": 14.6}]
    (tmp_path / "service.json").write_text(json.dumps(about | {"rates": rates, "rows": {"recommend": row}}))
    page = "\n\n".join(service_tables.sections(tmp_path, table))
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
