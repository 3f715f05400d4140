"""Ranking never holds users × items. Each case runs in its own process, for a peak is never given back."""

import subprocess
import sys

import pytest

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


def peak_mib(users: int, items: int, pytestconfig: pytest.Config) -> tuple[float, float]:
    command = [sys.executable, "-c", SCRIPT, str(users), str(items)]
    found = subprocess.run(command, cwd=pytestconfig.rootpath / "tests", capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    before, peak = map(float, found.stdout.split())
    return before, peak


def test_ranking_adds_less_than_its_budget(pytestconfig: pytest.Config) -> None:
    # All scores at once would be .75 GiB.
    before, peak = peak_mib(1_000, 200_000, pytestconfig)
    assert peak - before < 256


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_100k_users_by_100k_items_within_1500_mb(pytestconfig: pytest.Config) -> None:
    _, peak = peak_mib(100_000, 100_000, pytestconfig)
    assert peak < 1500e6 / 2**20
