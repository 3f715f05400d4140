"""What people give the commands in place of what is meant: files, ids, folders; each is taken or named."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.modal import modal_run
from siftrec.cli import main
from siftrec.cli.doctor import EXTRAS
from siftrec.cli.runs import folder


def batch(run_folder: Path, histories: pl.DataFrame, folder: Path) -> pl.DataFrame:
    histories.write_parquet(folder / "h.parquet")
    told = [
        "recommend",
        str(run_folder),
        "--file",
        str(folder / "h.parquet"),
        "-o",
        str(folder / "o.parquet"),
        "-k",
        "3",
    ]
    assert main.run(told) == 0
    return pl.read_parquet(folder / "o.parquet")


def test_ids_in_a_file_may_have_any_type_that_spells_them(run_folder: Path, tmp_path: Path) -> None:
    """pandas makes floats of whole numbers where one is missing; all users would get what is popular, without a word."""
    asked = {"user": ["a", "b"], "history": [["7", "5"], ["3", "9"]]}
    usual = batch(run_folder, pl.DataFrame(asked), tmp_path)
    floats = pl.DataFrame(asked | {"history": [[7.0, 5.0], [3.0, 9.0]]})
    assert batch(run_folder, floats, tmp_path).equals(usual)
    array = floats.with_columns(pl.col("history").cast(pl.List(pl.Int64)).list.to_array(2))
    assert batch(run_folder, array, tmp_path).equals(usual)


def test_a_file_of_unknown_ids_and_users_named_twice_are_said(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(run_folder, pl.DataFrame({"user": ["a", "a"], "history": [["x1"], ["x2"]]}), tmp_path)
    said = capsys.readouterr().err
    assert "2 answered by popularity" in said
    assert "no id of any history is in the catalog, whose ids are String like" in said
    assert "1 histories are of a user who has one already" in said
    batch(run_folder, pl.DataFrame({"user": ["a", "b"], "history": [["7"], ["x2"]]}), tmp_path)
    assert "no id of any history" not in capsys.readouterr().err


def test_a_file_of_histories_is_not_written_over(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "h.parquet"
    pl.DataFrame({"user": ["a"], "history": [["7"]]}).write_parquet(file)
    before = file.read_bytes()
    assert (
        main.run(["recommend", str(run_folder), "--file", str(file), "-o", f"{tmp_path}/../{tmp_path.name}/h.parquet"])
        == 2
    )
    assert "is the file of histories itself; name another" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_run_may_be_called_as_the_model_in_it_is(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder `artifact` was looked for in its parent, and `.` in a run's artifact was a model alone."""
    run = tmp_path / "artifact"
    shutil.copytree(run_folder, run)
    assert folder(run) == run
    assert folder(run / "artifact") == run
    monkeypatch.chdir(run)
    assert folder(Path()) == Path()
    monkeypatch.chdir(run / "artifact")
    assert folder(Path()) == run
    (run / "artifact").rename(run / ".artifact.old")
    assert folder(run / "artifact") == run  # killed while the model was replaced


def test_what_stands_in_place_of_a_run_is_named(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["--history", "7,5", "-k", "2", "--json", "-"]
    assert main.run(["recommend", str(run_folder), *ask]) == 0
    usual = capsys.readouterr().out
    monkeypatch.chdir(run_folder / "artifact")
    assert main.run(["recommend", ".", *ask]) == 0
    assert capsys.readouterr().out == usual
    monkeypatch.chdir(tmp_path)
    assert main.run(["recommend", ".", *ask]) == 4
    assert "no manifest.json" in capsys.readouterr().err
    assert main.run(["recommend", "nowhere", *ask]) == 4
    assert "nowhere: no such folder" in capsys.readouterr().err
    (tmp_path / "h.parquet").write_bytes(b"")
    assert main.run(["recommend", "h.parquet", *ask]) == 4
    assert "h.parquet: is a file, not a folder" in capsys.readouterr().err


def test_a_run_that_has_not_ended_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed = modal_run(tmp_path)
    shutil.rmtree(killed / "artifact")
    assert main.run(["recommend", str(killed), "--history", "v01"]) == 4
    said = capsys.readouterr().err
    assert "its training has not ended" in said
    again = said.split("`")[1].split()
    assert main.run(again[1:]) == 0
    assert main.run(["recommend", str(killed), "--history", "v01"]) == 0


def test_a_model_alone_has_no_log_to_look_a_user_up_in(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run_folder / "artifact", tmp_path / "model")
    assert main.run(["recommend", str(tmp_path / "model"), "--user", "1"]) == 3
    assert "is a model alone, without the config.toml that says what it was trained on" in capsys.readouterr().err


def test_a_file_that_may_not_be_read_is_one_line(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Permissions are the commonest fault of a deployment. Root may read everything, so the refusal is played here."""
    weights = run_folder / "artifact" / "weights.safetensors"
    opened = Path.open

    def refused(path: Path, *given: Any, **named: Any) -> Any:
        if path == weights:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *given, **named)

    monkeypatch.setattr(Path, "open", refused)
    assert main.run(["recommend", str(run_folder), "--history", "7"]) == 6
    assert capsys.readouterr().err == f"error: {weights}: Permission denied\n"


def test_doctor_names_versions_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    """Whether the service and the export can run is what people ask it before they deploy."""
    assert main.run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"python", "torch", "extra", "memory"} <= {line.split()[0] for line in lines}
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    needs = {
        extra: tuple(re.split("[><=]", each)[0] for each in names)
        for extra, names in project["optional-dependencies"].items()
        if extra != "dev"
    }
    assert needs == EXTRAS
    assert {line.split()[1] for line in lines if line.startswith("extra")} == set(EXTRAS)
