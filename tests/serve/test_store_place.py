"""Where the store of a service lies: whoever serves a folder and whoever reads its feedback agree."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from serve.running import ask, running
from serve.test_store import events, users
from siftrec.cli.main import run as command
from siftrec.cli.serve import store_of
from siftrec.serve.limits import Guard
from siftrec.serve.store import Event, Store


def test_artifacts_side_by_side_have_a_store_each_and_feedback_finds_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """News learned from what was clicked among videos, and nobody saw it."""
    models = run.parent / "models"
    for name in ("news", "videos"):
        shutil.copytree(run / "artifact", models / name)
    Store(models / "service.sqlite").close()  # what both shared before
    capsys.readouterr()

    def answer(app: Guard, host: str, port: int, limits: object, ready: object) -> None:
        assert callable(ready)
        ready("http://here")
        with TestClient(app, base_url="http://127.0.0.1") as client:
            assert client.post("/v1/feedback", json=events(str(port))).status_code == 201

    monkeypatch.setattr(importlib.import_module("siftrec.serve.server"), "run", answer)
    monkeypatch.chdir(run.parent)
    served = ("models/news", "models/videos", "run", "run/artifact")
    stores = ("models/news.service.sqlite", "models/videos.service.sqlite", "run/service.sqlite", "run/service.sqlite")
    for port, (folder, store) in enumerate(zip(served, stores, strict=True), start=1):
        assert command(["serve", folder, "--port", str(port)]) == 0
        said = capsys.readouterr().err.splitlines()
        assert f"store {store})" in said[0]
        assert said[1:] == (
            [
                "note: models/service.sqlite is not read, for each artifact has a store of its own; "
                "--store models/service.sqlite would read it"
            ]
            if folder.startswith("models")
            else []
        )
        assert command(["feedback", folder, "-o", f"{port}.parquet"]) == 0
        capsys.readouterr()
        assert str(port) in pl.read_parquet(f"{port}.parquet")["user"]
    assert users(models / "news.service.sqlite") == ["1"]
    assert users(run / "service.sqlite") == ["3", "4"]


def test_the_store_does_not_depend_on_where_one_stands(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(run / "artifact", run.parent / "news")
    for folder, inside in (
        (run, run),
        (run / "artifact", run / "artifact"),
        (run.parent / "news", run.parent / "news"),
    ):
        monkeypatch.chdir(inside)
        assert store_of(Path(".")).resolve() == store_of(folder).resolve()
    (run / "artifact").rename(run / "away")  # half-way through a change of models
    assert store_of(run) == run / "service.sqlite"


def test_a_missing_store_names_the_one_that_was_shared(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "artifact").rename(run / "news")
    Store(run / "service.sqlite").close()
    assert command(["feedback", str(run / "news"), "-o", str(run / "log.parquet")]) == 3
    assert f"{run / 'service.sqlite'} is there" in capsys.readouterr().err


def test_a_note_of_an_old_store_does_not_hide_the_address(run: Path) -> None:
    """Whoever starts a service reads its address from the first line."""
    (run / "artifact").rename(run / "news")
    Store(run / "service.sqlite").close()
    with running(run / "news") as process:
        connection = process.connect()
        assert ask(connection, "/health/ready")[0] == 200
        connection.close()
        assert process.end()[1].startswith("note: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_a_backup_in_a_read_only_folder_is_read_unless_something_may_be_missing() -> None:
    # Not tmp_path: its parents are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "store")
        store.add_events([Event("u", "v", 1, 1)], 9)
        shutil.copyfile(folder / "store-wal", folder / "log")
        store.close()
        folder.chmod(0o555)
        os.seteuid(65534)
        try:
            assert users(folder / "store") == ["u"]
            assert sorted(each.name for each in folder.iterdir()) == ["log", "store"]
        finally:
            os.seteuid(0)
        (folder / "log").rename(folder / "store-wal")
        os.seteuid(65534)
        try:
            with pytest.raises(Exception, match="cannot be used as a store"):
                users(folder / "store")
        finally:
            os.seteuid(0)
