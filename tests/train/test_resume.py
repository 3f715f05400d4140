"""A run that goes on must be the run it was; what it cannot go on with is refused by name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siftrec.data.catalog import Catalog, Modality
from siftrec.errors import (
    ArtifactError,
    SettingsError,
    UsageError,
)
from siftrec.train.events import Warned
from siftrec.train.fit import fit
from train.tiny import Collected, Tiny, split, tiny_fit, weights_hash


def test_resume_names_what_differs(tmp_path: Path) -> None:
    tiny_fit(tmp_path, epochs=1)
    with pytest.raises(ArtifactError, match=r"method\.dim = 8, now it is 4"):
        tiny_fit(tmp_path, epochs=1, resume=True, method=Tiny(dim=4))
    with pytest.raises(ArtifactError, match=r"train\.batch_size = 32, now it is 16"):
        tiny_fit(tmp_path, epochs=1, resume=True, batch_size=16)
    with pytest.raises(
        ArtifactError, match=r"train\.schedule = 'cosine over 1 epochs', now it is 'cosine over 2 epochs'"
    ):
        tiny_fit(tmp_path, epochs=2, resume=True)
    with pytest.raises(ArtifactError, match="seed = 7, now it is 8"):
        tiny_fit(tmp_path, epochs=1, resume=True, seed=8)
    with pytest.raises(ArtifactError, match=r"data\.training"):
        fit(Tiny(), split(seed=3), folder=tmp_path, resume=True, epochs=1, batch_size=32, learning_rate=0.01)


def test_resume_with_fewer_epochs_than_were_trained_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """The checkpoint was taken as it stood: a finished model gave way to one that its settings did not describe."""
    steady: dict[str, Any] = {"schedule": "constant", "learning_rate": 0.01}
    right, log = weights_hash(tiny_fit(tmp_path, epochs=3, **steady)), (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(SettingsError, match=r"train\.epochs: is 1, but .* has trained 3; resume with 3 or more"):
        tiny_fit(tmp_path, epochs=1, resume=True, **steady)
    assert (tmp_path / "log.jsonl").read_bytes() == log
    assert weights_hash(tiny_fit(tmp_path, epochs=3, resume=True, **steady)) == right


def test_resume_tells_content_by_its_vectors_and_rows_not_by_its_place(tmp_path: Path) -> None:
    whole = split()
    n = len(whole.items) - 1
    vectors = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    read = Modality(vectors, np.ones(n, bool), whole.items.ids, "old/feat.npy", "5ha")

    def go_on(content: Modality, resume: bool = True) -> None:
        catalog = Catalog(whole.items.ids, text=content)
        fit(Tiny(), whole, catalog, folder=tmp_path / content.sha256, resume=resume, epochs=1)

    go_on(read, resume=False)
    go_on(replace(read, source="new/feat.npy"))
    missing = np.arange(n) != 2
    for other in (replace(read, ids=read.ids.reverse()), replace(read, present=missing)):
        with pytest.raises(ArtifactError, match=r"modality\.text\.rows"):
            go_on(other)
    made = replace(read, sha256="")
    go_on(made, resume=False)
    go_on(replace(made, features=vectors.copy()))
    with pytest.raises(ArtifactError, match=r"modality\.text\.vectors"):
        go_on(replace(made, features=vectors + 1))


def test_a_used_folder_is_refused_and_resume_needs_one(tmp_path: Path) -> None:
    tiny_fit(tmp_path, epochs=1)
    with pytest.raises(UsageError, match="holds a run already"):
        tiny_fit(tmp_path, epochs=1)
    with pytest.raises(UsageError, match="resume needs"):
        tiny_fit(resume=True)


def test_resume_without_a_checkpoint_starts(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"event": "started", "half a li')
    assert weights_hash(tiny_fit(tmp_path, resume=True)) == weights_hash(tiny_fit())
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines].count("started") == 1


def test_a_lost_log_is_said(tmp_path: Path) -> None:
    tiny_fit(tmp_path)
    (tmp_path / "log.jsonl").unlink()
    seen = Collected()
    tiny_fit(tmp_path, resume=True, on_event=seen)
    lost = next(event for event in seen if isinstance(event, Warned))
    assert lost.message == f"{tmp_path / 'log.jsonl'}: is shorter than it was; its first lines are lost"
