from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from cli.modal import modal_run
from serve.running import Process, running
from siftrec.serve.app import create_app
from siftrec.serve.model import Serving
from siftrec.serve.store import Store


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of Demure over two modalities on 40 items; not to be written to."""
    return modal_run(tmp_path_factory.mktemp("served"))


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """The same, to be written to."""
    shutil.copytree(trained_run / "artifact", tmp_path / "run" / "artifact")
    return tmp_path / "run"


@pytest.fixture
def client(run: Path) -> Iterator[TestClient]:
    store = Store(run / "store")
    with TestClient(create_app(Serving(run, store), store), base_url="http://127.0.0.1") as client:
        yield client


SHORT = {"head_seconds": 1.0, "body_seconds": 1.0, "answer_seconds": 1.0, "in_flight": 4, "poll_seconds": 0.05}


@pytest.fixture(scope="session")
def process(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service of its own process whose patience is short."""
    folder = tmp_path_factory.mktemp("process") / "run"
    shutil.copytree(trained_run / "artifact", folder / "artifact")
    with running(folder, limits=SHORT) as process:
        yield process
