"""Vectors that stand in memory already: arrays, tensors, lists, vectors by id, tables."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siftrec.data.readers.arrow import in_memory
from siftrec.data.vocab import listed_ids
from siftrec.errors import DataError
from siftrec.modality.containers import Contents, frame_contents


def held(given: Any, id_column: str | None, vector_column: str | None) -> tuple[Contents, Path]:
    """The arrays of vectors in memory, and what stands for the name of a file in messages.

    What is checked afterwards must stay what was checked, so it is copied; a memory map is left where it is.

    Args:
        given: a NumPy array or torch tensor (n, F), n lists of numbers, a mapping of id → vector, or a table.
        id_column: of a table; None: recognised.
        vector_column: of a table; None: recognised.

    Raises:
        DataError: none of these, or one that holds no vectors.
    """
    if isinstance(given, np.ndarray):
        return Contents(given if isinstance(given, np.memmap) else given.copy()), Path("array")
    if _is_tensor(given):
        return Contents(_array(given, "tensor").copy()), Path("tensor")
    if isinstance(given, Mapping):
        known = {each: vector for each, vector in given.items() if vector is not None}
        return Contents(_stacked(known.values(), known, "dict"), listed_ids(known)), Path("dict")
    if isinstance(given, list | tuple):
        return Contents(_stacked(given, range(1, len(given) + 1), "list")), Path("list")
    return frame_contents(in_memory(given, "table"), Path("table"), id_column, vector_column), Path("table")


def _is_tensor(given: Any) -> bool:
    """A torch tensor; torch itself is not imported for those who have none."""
    return hasattr(given, "detach") and hasattr(given, "cpu")


def _array(tensor: Any, where: str) -> np.ndarray:
    try:
        array: np.ndarray = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError):  # NumPy has no such type, or it is no block of numbers
        kind = f"{tensor.dtype}, {tensor.layout}"
        problem = f"holds {kind}; float16, float32 or float64 is needed (tensor.to_dense().float())"
        raise DataError(problem, where) from None
    return array


def _stacked(rows: Iterable[Any], names: Iterable[Any], where: str) -> np.ndarray:
    """(n, F) of n lists of numbers; whole numbers become floats, which for Python are the same.

    Args:
        rows: the lists.
        names: of the rows, for messages.
        where: what they stand in, likewise.
    """
    arrays: list[np.ndarray] = []
    for name, row in zip(names, rows, strict=True):
        try:
            array = _array(row, where) if _is_tensor(row) else np.asarray(row)
        except ValueError:  # lists of several lengths within the row
            array = np.empty(())
        if array.ndim != 1 or array.dtype.kind not in "fiub":
            raise DataError(f"row {name!r} is no list of numbers: {' '.join(reprlib.repr(row).split())}", where)
        if arrays and len(array) != len(arrays[0]):
            raise DataError(f"row {name!r} has {len(array)} numbers, the first row {len(arrays[0])}", where)
        arrays.append(array if array.dtype.kind == "f" else array.astype(np.float64))
    if not arrays:
        raise DataError("holds no vectors", where)
    return np.stack(arrays)
