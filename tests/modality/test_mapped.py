"""Content in a file larger than memory: it is mapped, and what was read of it is given back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec.data.catalog import Catalog, Modality
from siftrec.modality.precomputed import features

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and takes back single pages")
ROWS, WIDTH = 8192, 1024
MAPPED = 4 * ROWS * WIDTH


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "feat.npy", np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32))
    return tmp_path / "feat.npy"


def mapped_bytes() -> int:
    """Of files, resident in this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssFile"))


def test_reading_and_checking_a_file_leaves_nothing_of_it_resident(path: Path) -> None:
    """Scattered rows too: the system maps what stands around each, and so the whole file after a while."""
    ids = pl.Series(range(ROWS))
    features(path, ids=ids)  # what is imported on the way is mapped as well
    before = mapped_bytes()
    catalog = Catalog(ids, text=features(path, ids=ids))
    assert mapped_bytes() - before < MAPPED / 4
    codes = np.random.default_rng(1).permutation(ROWS)[: ROWS // 2] + 1
    vectors = catalog.modalities["text"].vectors(codes)
    assert mapped_bytes() - before < MAPPED / 4
    np.testing.assert_array_equal(vectors, np.load(path)[codes - 1])


def test_a_map_that_was_changed_in_memory_keeps_its_changes(path: Path) -> None:
    """They are nowhere but in the pages that would be given back; the vectors would silently be the file's again."""
    own = np.load(path, mmap_mode="c")
    own[:] = 2.0
    catalog = Catalog(pl.Series(range(ROWS)), text=Modality(own, np.ones(ROWS, bool)))
    for _ in range(2):
        assert (catalog.modalities["text"].vectors(np.arange(1, 100)) == 2.0).all()
    assert (features(own).features == 2.0).all()
    view = np.load(path, mmap_mode="r")[1:, ::2]
    known = Catalog(pl.Series(range(ROWS - 1)), text=Modality(view, np.ones(ROWS - 1, bool)))
    np.testing.assert_array_equal(known.modalities["text"].vectors(np.array([1])), np.load(path)[1:2, ::2])


SCRIPT = """
import sys
import numpy as np, polars as pl, torch
torch.set_num_threads(1)
import siftrec as sr
from siftrec.train.estimate import peak_memory

items, users, length = 1_000_000, 2_000, 12
rng = np.random.default_rng(0)
log = {"user": np.repeat(np.arange(users), length), "item": rng.integers(0, items, users * length)}
events = sr.read(pl.DataFrame(log | {"time": np.tile(np.arange(length), users)}))
ids = pl.Series(np.arange(items))
content = {"text": sr.features(path, ids=ids) for path in sys.argv[1:]}
method = sr.SASRec(dim=16, length=length, negatives=64)
sr.fit(method, sr.leave_one_out(events), sr.Catalog(ids, **content), epochs=1, patience=0, validate_users=16, seed=1)
print(peak_memory())
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_vectors_train_within_400_mb(tmp_path: Path) -> None:
    """More than the same training takes without them; the file has 1 GB. Who has a laptop trains on it, too."""
    path, block = tmp_path / "feat.npy", np.random.default_rng(0).standard_normal((50_000, 512)).astype(np.float16)
    file = np.lib.format.open_memmap(path, "w+", np.float16, (1_000_000, 512))
    for number, start in enumerate(range(0, len(file), len(block))):
        file[start : start + len(block)] = np.roll(block, number, axis=1)
    file.flush()
    assert path.stat().st_size > 1_000_000_000
    assert peak(path) - peak() < 400e6


def peak(*content: Path) -> int:
    """Bytes, of a process of its own, for a peak is never given back."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, content)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return int(found.stdout)
