"""A small run that the tests of the commands share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec.cli import main


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained popularity run on 40 users and 30 items, item 1 the most popular."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(1)
    rows = [(u, int(i) + 1, t) for u in range(40) for t, i in enumerate([0, *(rng.permutation(29)[:6] + 1)])]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(folder / "events.csv")
    pl.DataFrame({"item": ["1", "2"], "title": ["One", "Two, too"]}).write_csv(folder / "titles.csv")
    (folder / "exp.toml").write_text(
        '[data]\npath = "events.csv"\ntitles = "titles.csv"\n[method]\nuse = "siftrec:Popularity"\n'
        "[evaluate]\ncutoffs = [3]\n"
    )
    assert main.run(["train", str(folder / "exp.toml"), "-o", str(folder / "run")]) == 0
    return folder / "run"
