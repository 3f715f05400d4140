"""`siftrec audit` as a person meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles import OnDisk

from siftrec.cli import main

Stored = Callable[..., OnDisk]


@pytest.fixture
def log(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> OnDisk:
    """A log that the library's own judge knows the truth of."""
    made = stored(rho=0.5, users=400, items=400, length=10)
    monkeypatch.setattr("siftrec.noise.judge.judge", made.oracle)
    return made


def test_results_go_to_stdout_and_progress_to_stderr(
    log: OnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main.run(["audit", str(log.path), "--quick", "-o", str(out)]) == 0
    told = capsys.readouterr()
    sentences = json.loads((out / "audit.json").read_text())["verdict"]["sentences"]
    assert sentences.startswith("Weight it: ")
    assert told.out.rstrip().endswith(sentences)
    assert "planted replace" in told.out
    assert told.err.startswith("about ")
    assert "[6/6] write the results" in told.err
    assert sentences.partition(":")[0] in (out / "audit.html").read_text()
    held = {each.name for each in out.iterdir()}
    assert held == {"audit.json", "weighted.parquet", "audit.html", "events.parquet", "manifest.json"}


def test_json_alone_on_stdout(log: OnDisk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", str(log.path), "--quick", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["verdict"]["answer"]) == (1, "weight it")
    assert all(isinstance(each["user"], str) for each in told["log"]["looks"][1]["examples"])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--features", "text"], 2, "--features 'text' is not NAME=PATH"),
        (["--features", "a=x.npy", "--features", "a=y.npy"], 2, "names 'a' twice"),
        (["--features", "a=x.npy"], 3, "x.npy"),
    ],
)
def test_wrong_features_are_refused_in_one_line(
    log: OnDisk, arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["audit", str(log.path), *arguments]) == code
    assert says in capsys.readouterr().err


def test_a_full_folder_and_a_missing_log_are_refused(
    log: OnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["audit", str(log.path), "-o", str(tmp_path)]) == 2
    assert "already holds 'events.parquet'" in capsys.readouterr().err
    assert main.run(["audit", str(tmp_path / "none.csv")]) == 3
    assert "does not exist" in capsys.readouterr().err
