"""Ranking never holds users × items, reading an evaluation not its table. A process for each: a peak is never given back."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec.evaluate.evaluation import About, Evaluation
from siftrec.evaluate.rank import FILTERS

SCRIPT = """
import resource, sys
import numpy as np, polars as pl, torch
torch.set_num_threads(1)
from evaluate.stubs import Vectors, ragged
from siftrec.data.sequences import Sequences
from siftrec.data.split import Part
from siftrec.evaluate.rank import rank

users, items = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
lengths = np.full(users, 6)
histories = Sequences.from_items(rng.integers(1, users, 6 * users), lengths)
targets = Sequences.from_items(rng.integers(1, items, users), np.ones(users, np.int64))
seen = Sequences.from_items(rng.integers(1, items, 6 * users), lengths)
part = Part(np.arange(users), pl.Series(np.arange(users)), histories, targets, seen)
vectors = Vectors(torch.from_numpy(rng.normal(size=(users, 64)).astype(np.float32)),
                  torch.from_numpy(rng.normal(size=(items, 64)).astype(np.float32)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ranking = rank(vectors, 6, part, 50)
assert len(ranking.ranks["seen"]) == users and ranking.top["seen"].min() > 0
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(before / 1024, peak / 1024)
"""


READ = """
import resource, sys
from siftrec.evaluate.evaluation import Evaluation
Evaluation.read(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(Evaluation.read(sys.argv[1]).users) == 20_000
print(before / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak_mib(script: str, *given: object, pytestconfig: pytest.Config) -> tuple[float, float]:
    command = [sys.executable, "-c", script, *map(str, given)]
    found = subprocess.run(command, cwd=pytestconfig.rootpath / "tests", capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    before, peak = map(float, found.stdout.split())
    return before, peak


def test_ranking_adds_less_than_its_budget(pytestconfig: pytest.Config) -> None:
    # All scores at once would be .75 GiB.
    before, peak = peak_mib(SCRIPT, 1_000, 200_000, pytestconfig=pytestconfig)
    assert peak - before < 256


def test_an_evaluation_of_many_users_is_read_in_little_more_than_its_values(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """265,786 users were 3.8 GB to read for 33 MB on disk, and `siftrec compare` reads several."""
    metrics, about = tuple(f"hr@{k}" for k in range(1, 33)), About("m", 7, "test", "by hand", 99, {}, 0.0, {}, {})
    paths = [tmp_path / "many.parquet", tmp_path / "few.parquet"]
    for path, users in zip(paths, (20_000, 2), strict=True):
        values = np.random.default_rng(0).random((2, len(metrics), users)).round(2)
        ids = pl.Series(np.arange(users)).cast(pl.String)
        Evaluation(ids, metrics, dict(zip(FILTERS, values, strict=True)), about).write(path)
    before, peak = peak_mib(READ, *paths, pytestconfig=pytestconfig)
    assert peak - before < 60  # the values are 10 MB


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_100k_users_by_100k_items_within_1500_mb(pytestconfig: pytest.Config) -> None:
    _, peak = peak_mib(SCRIPT, 100_000, 100_000, pytestconfig=pytestconfig)
    assert peak < 1500e6 / 2**20
