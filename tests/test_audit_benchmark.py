"""The cells of benchmarks/audit.py: what they are made of, and what other libraries' models are given."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import peer
import pytest
import verdict_tables
from datasets import Data

import audit
from methods.kinds import KIND, mixed
from siftrec.data.catalog import Catalog
from siftrec.data.split import TEST, TRAIN, Split
from siftrec.noise.inject import inject

SPLIT = mixed(True)


def data_of(split: Split) -> Data:
    events: Any = SimpleNamespace()
    return Data(events, split, Catalog(split.items.ids))


def test_a_cell_says_what_it_was_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A verdict on another draw of the noise, or by other code, would pass for that of this one."""
    said: Any = SimpleNamespace(
        to_json=lambda: {"log": {}, "modalities": {}}, verdict=SimpleNamespace(answer="leave it alone")
    )
    monkeypatch.setattr(audit, "RESULTS", tmp_path)
    monkeypatch.setattr(datasets, "load", lambda name, folder: data_of(SPLIT))
    monkeypatch.setattr(audit, "audit_of", lambda data, quick: said)
    monkeypatch.setattr(audit, "judged", lambda cell, data, audited, peers: iter(()))
    for cell, split in (
        (audit.Cell("ml100k", "clean", 0.0, True), SPLIT),
        (audit.Cell("ml100k", "replace", 0.3, True), inject(SPLIT, "replace", 0.3, audit.SEED).split),
    ):
        audit.run_cell(cell, tmp_path, peers=False)
        told = json.loads(cell.result.read_text())
        assert told["log_sha256"] == split.log.fingerprint
        assert len(told["commit"]) >= 12


class RecTools:
    """Stands for weighted.py: keeps what it was called with, and recommends items 1, 2, 3, …"""

    def __init__(self) -> None:
        self.called: list[tuple[str, ...]] = []
        self.given: list[dict[str, np.ndarray]] = []

    def __call__(self, script: str, *arguments: str) -> dict[str, Any]:
        train, asked, out = (Path(each) for each in arguments if each.endswith(".npz"))
        with np.load(train) as one, np.load(asked) as two:
            self.given.append(dict(one) | {"histories": two["items"]})
            np.savez(out, items=np.tile(np.arange(1, 61), (len(two["users"]), 1)))
        self.called.append((script, *(each for each in arguments if not each.endswith(".npz"))))
        return {}


@pytest.fixture
def audited() -> Any:
    """What is not of the first kind of items is noise, for sure, and flagged."""
    log = SPLIT.log.where(SPLIT.role < TEST)
    other = log.items > KIND
    return SimpleNamespace(scores=SimpleNamespace(weight=np.where(other, 0.25, 1).astype(np.float32), flagged=other))


def test_rectools_is_given_weights_and_the_log_without_what_is_flagged(
    audited: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weights of 1 in both arms, or noise left in the histories, nothing of the verdict would be tested."""
    library = RecTools()
    monkeypatch.setattr(peer, "call", library)
    monkeypatch.setattr(peer, "installed", lambda script: script.startswith("rectools"))
    monkeypatch.setattr(audit, "trained", lambda proxy, split: [])
    monkeypatch.setattr(audit, "implicit", lambda model, data, train: [])
    cell = audit.Cell("microlens50k", "clean", 0.0, True)
    arms = dict(audit.judged(cell, data_of(SPLIT), audited, peers=True))[audit.RECTOOLS]
    assert {name: len(found) for name, found in arms.items()} == dict.fromkeys(("raw", "weighted", "dropped"), 3)
    train = SPLIT.log.items[SPLIT.role == TRAIN]
    raw, weighted, dropped = (library.given[seed * 3] for seed in range(3))
    assert "weights" not in raw
    assert (raw["items"] == train).all()
    assert (weighted["items"] == train).all()
    assert (weighted["weights"] == np.where(train > KIND, 0.25, 1)).all()
    assert "weights" not in dropped
    assert (dropped["items"] == train[train <= KIND]).all()
    assert len(dropped["histories"]) < len(raw["histories"]) == len(weighted["histories"])
    (compared,) = (each for each in audit.compared(audit.RECTOOLS, arms) if each["arm"] == "dropped")
    assert compared["seeds"] == 3


def test_rectools_is_called_with_the_settings_of_its_accuracy_cell() -> None:
    """Where histories are longer than MicroLens' it reads more of them: of 20 interactions most weights would be unused."""
    short, long = audit.weighted_sasrec("microlens50k"), audit.weighted_sasrec("ml1m")
    assert short.script == "rectools/weighted.py"
    assert (peer.HERE / short.script).exists()
    assert short.grid[0][:-2] == long.grid[0][:-2] == peer.PEERS["rectools-sasrec"].grid[0]
    assert (short.grid[0][-2:], long.grid[0][-2:]) == (("--length", "20"), ("--length", "50"))


def test_rectools_keeps_nobody_waiting_who_has_it_not(audited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "call", RecTools())
    monkeypatch.setattr(audit, "trained", lambda proxy, split: [])
    monkeypatch.setattr(audit, "implicit", lambda model, data, train: [])
    cell = audit.Cell("ml100k", "clean", 0.0, True)
    for installed, peers, ran in ((False, True, False), (True, False, False), (True, True, True)):
        monkeypatch.setattr(peer, "installed", lambda script, installed=installed: installed)
        assert (audit.RECTOOLS in dict(audit.judged(cell, data_of(SPLIT), audited, peers))) == ran


def test_the_page_speaks_of_rectools_where_it_has_run(tmp_path: Path) -> None:
    """Cells of before, without it, stay as they are."""
    stored = audit.RESULTS / "ml100k.clean.rho0.quick.json"
    told = json.loads(stored.read_text("utf-8"))
    for name, relative in ((None, 0.0), (audit.RECTOOLS, 0.123)):
        if name:
            arm = told["truth"][-1] | {"model": name, "relative": relative, "interval": [0.1, 0.2], "seeds": 3}
            told["truth"] += [arm | {"arm": "weighted"}, arm | {"arm": "dropped"}]
        (tmp_path / stored.name).write_text(json.dumps(told))
        assert audit.is_current(told)
        page = "\n".join(verdict_tables.sections(tmp_path))
        assert (f"{audit.RECTOOLS} +12.3% [+10.0%, +20.0%]" in page) == (name is not None)
        assert ("multiplied by the weights" in page) == (name is not None)


@pytest.mark.slow
def test_rectools_itself_learns_less_from_targets_of_less_weight() -> None:
    """Targets of one kind of items weigh nothing: unless the weights arrive, either kind is recommended as often."""
    asked = audit.weighted_sasrec("microlens50k")
    if not peer.installed(asked.script):
        pytest.skip("the environment of RecTools is missing: make peer-rectools")
    split, settings = mixed(planted=False), (*asked.grid[0], "--epochs", "60", "--seed", "1")
    wanted = {}
    for kind in (False, True):
        weights = ((split.train.items > KIND) == kind).astype(np.float32)
        train = SimpleNamespace(items=split.train.items, offsets=split.train.offsets, weights=weights)
        lists, _ = peer.answers(asked, train, split.test, Catalog(split.items.ids), settings)  # type: ignore[arg-type]
        wanted[kind] = float((lists[:, :10] > KIND).mean())
    assert wanted[True] > wanted[False] + 0.2
