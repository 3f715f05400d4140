"""The cells of benchmarks/audit.py: what they are made of."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
from datasets import Data

import audit
from methods.kinds import mixed
from siftrec.data.catalog import Catalog
from siftrec.data.split import Split
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
    monkeypatch.setattr(audit, "judged", lambda data, audited, quick, peers: iter(()))
    for cell, split in (
        (audit.Cell("ml100k", "clean", 0.0, True), SPLIT),
        (audit.Cell("ml100k", "replace", 0.3, True), inject(SPLIT, "replace", 0.3, audit.SEED).split),
    ):
        audit.run_cell(cell, tmp_path, peers=False)
        told = json.loads(cell.result.read_text())
        assert told["log_sha256"] == split.log.fingerprint
        assert len(told["commit"]) >= 12
