"""Arrays inside files: headers that are damaged, and numbers as other machines write them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from siftrec.data.catalog import Catalog
from siftrec.errors import DataError
from siftrec.modality.precomputed import features

VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float16)
IDS = ["a", "007", "c", "d", "é"]


@pytest.mark.parametrize("odd", [b"{'descr': ", b"(" * 300, b"{'shape': (" + b"9" * 5000])
def test_headers_that_are_damaged_are_refused(odd: bytes, tmp_path: Path) -> None:
    """Python reads them as Python, and has more ways to say no than ValueError."""
    np.save(tmp_path / "a.npy", VECTORS)
    np.savez(tmp_path / "a.npz", VECTORS)
    for name in ("a.npy", "a.npz"):
        data = (tmp_path / name).read_bytes()
        start, end = data.index(b"{'descr'"), data.index(b"\n", data.index(b"{'descr'"))
        changed = data[:start] + (odd + b" " * (end - start))[: end - start] + data[end:]
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(DataError, match="is not a complete NumPy"):
            features(tmp_path / name)


def test_numbers_of_the_other_byte_order_are_trained_on_as_others(tmp_path: Path) -> None:
    """Files of Java and of HDF5 tools have them, and torch takes none."""
    for order in "<>":
        np.save(tmp_path / "a.npy", VECTORS.astype(f"{order}f2"))
        aligned = Catalog(pl.Series(IDS), text=features(tmp_path / "a.npy", ids=IDS)).modalities["text"]
        vectors = torch.from_numpy(aligned.vectors(np.arange(1, 6)))
        assert vectors.tolist() == VECTORS[np.argsort(IDS)].tolist()
