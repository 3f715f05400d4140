"""Content vectors that somebody computed before, from a file, checked once and memory-mapped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from siftrec.data.catalog import Modality, give_back
from siftrec.data.readers.columns import recognised
from siftrec.data.readers.delimited import CSV, header_of, table
from siftrec.data.readers.recbole import ATOMIC
from siftrec.data.readers.text import open_text, readable, scan
from siftrec.data.vocab import listed_ids
from siftrec.errors import DataError
from siftrec.files import sha256
from siftrec.modality.containers import contents, id_series, npy
from siftrec.modality.memory import held
from siftrec.settings import nearest

_BLOCK_BYTES = 1 << 24

Ids = Path | str | Sequence[Any] | pl.Series


def features(
    path: Path | str | np.ndarray | Any,
    *,
    ids: Ids | None = None,
    mask: Path | str | np.ndarray | None = None,
    id_column: str | None = None,
    vector_column: str | None = None,
) -> Modality:
    """A modality from a file of vectors, one row per item, or from vectors in memory.

    Args:
        path: `.npy`, `.npz`, `.safetensors`, or Parquet / Arrow with a list column. Vectors stay on disk; only
            Parquet and compressed `.npz` must be unpacked into memory. Or the vectors themselves: an (n, F) array or
            torch tensor, n lists of numbers, a dict of id → vector, or a polars, pandas or pyarrow table with a column
            of lists. A table without lists holds a number of the vector in each of its columns but the ids.
        ids: the item of each row: a `.tsv` or `.csv` with an item column, `.npy`, `.txt` (one per line), `.json` (a
            list), read where `path` holds no ids itself; or the ids themselves. None: ids inside `path`, where a table of
            pandas may have them as its index; or rows in the order of the ids that the catalog is made of.
        mask: (n,) true where the row is present, as `.npy` or array; rows that are not present, here or by a mask inside
            `path`, are never read.
        id_column: name of the id column of `path` (Parquet, Arrow, `.npz`, `.safetensors`) or else of `ids`.
        vector_column: name of the vectors' column or array in `path`.

    Returns:
        The modality with the SHA-256 of the file, or of the vectors in memory. float16 stays float16 and is cast where it
        is used.

    Raises:
        DataError: damaged or pickled files, shapes other than (n, F), types other than float, wrong row counts,
            duplicate ids, ids in memory for a file that holds others, and present rows with NaN, infinity or nothing
            but zeros: a missing vector is a mask's job, not a zero's.
    """
    inside = id_column if ids is None else None
    if isinstance(path, str | Path):
        path = Path(path)
        found, digest = contents(path, inside, vector_column), sha256(path)
    else:
        if ids is not None and isinstance(path, Mapping):
            raise DataError("its keys are the ids; leave out ids=", "dict")
        found, path = held(path, inside, vector_column)
        digest = ""
    vectors = _matrix(found.vectors, path)
    names = _names(found.ids, ids, id_column, path)
    if names is not None:
        names = _checked_ids(names, len(vectors), path)
    elif found.wide:
        raise DataError("has no column or index of item ids; name one with id_column=, or give ids=", str(path))
    present = _mask(mask, len(vectors), path) & _mask(found.mask, len(vectors), path)
    _check_rows(vectors, present, names, path)
    return Modality(vectors, present, names, str(path), digest or _digest(vectors))


def _digest(vectors: np.ndarray) -> str:
    """SHA-256 of the type, the shape and the rows."""
    found = hashlib.sha256(f"{vectors.dtype.str} {vectors.shape}".encode())
    step = max(1, _BLOCK_BYTES // (vectors.shape[1] * vectors.itemsize))
    for start in range(0, len(vectors), step):
        found.update(vectors[start : start + step].tobytes())
        give_back(vectors)
    return found.hexdigest()


def _matrix(vectors: np.ndarray, path: Path) -> np.ndarray:
    if vectors.dtype.kind != "f":
        problem = f"holds {vectors.dtype}; float16, float32 or float64 is needed (array.astype('float32'))"
        raise DataError(problem, str(path))
    if vectors.dtype.itemsize > 8:
        raise DataError(f"holds {vectors.dtype}; float16, float32 or float64 is needed", str(path))
    if vectors.ndim != 2:
        raise DataError(f"has {vectors.ndim} dimensions, shape {vectors.shape}; (items, width) is needed", str(path))
    if 0 in vectors.shape:
        raise DataError(f"holds no vectors, shape {vectors.shape}", str(path))
    return vectors


def _names(inside: pl.Series | None, ids: Ids | None, column: str | None, path: Path) -> pl.Series | None:
    """The item of each row: who wrote the vectors knows best, so a file of ids that lies beside them comes second."""
    if ids is None or (inside is not None and isinstance(ids, str | Path)):
        return inside
    given = _ids(ids, column)
    if inside is not None and given.cast(pl.String).to_list() != inside.cast(pl.String).to_list():
        raise DataError("holds ids of its own, which are not those given; leave out ids=", str(path))
    return given


def _ids(ids: Ids, column: str | None) -> pl.Series:
    if isinstance(ids, str | Path):
        return _ids_of_file(Path(ids), column)
    return listed_ids(ids)


def _ids_of_file(path: Path, column: str | None) -> pl.Series:
    kinds = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = kinds[-1] if kinds else ""
    if kind == ".npy":
        return id_series(npy(path), path)
    if kind not in (".tsv", ".csv", ".txt", ".json"):
        raise DataError("unknown kind of id file; known are .tsv, .csv, .npy, .txt, .json", str(path))
    found = scan(path)
    if kind == ".txt":
        with readable(path), open_text(path) as file:
            return pl.Series("id", [line.rstrip("\r\n") for line in file], dtype=pl.String)
    if kind == ".json":
        return _ids_of_json(path)
    dialect = CSV if kind == ".csv" else ATOMIC
    header = header_of(path, dialect)
    column = column or recognised("item", header, str(path)) or ("id" if "id" in header else "")
    if column not in header:
        named = f"no column {column!r}{nearest(column, header)}" if column else f"no item column among {header[:8]}"
        raise DataError(f"has {named}; its first line names the columns (ids alone, one per line: .txt)", str(path))
    order = ["row"] if "row" in header and column != "row" else []
    frame = table(path, header, [column, *order], dialect, found)
    if order and frame["row"].to_list() != [str(row) for row in range(frame.height)]:
        raise DataError("its column 'row' does not count 0, 1, 2 …; sort the file by it", str(path))
    return frame[column].rename("id")


def _ids_of_json(path: Path) -> pl.Series:
    try:
        with open_text(path) as file:
            ids = json.load(file)
    except RecursionError:
        raise DataError("broken JSON: its brackets are nested too deep", str(path)) from None
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise DataError(f"broken JSON: {getattr(error, 'msg', error)}", f"{path}:{line}:{column}") from None
    kinds = {type(one) for one in ids} if isinstance(ids, list) else {type(ids)}
    if kinds not in ({str}, {int}):
        raise DataError("must be a list of ids, all text or all whole numbers", str(path))
    try:
        return pl.Series("id", ids)
    except (UnicodeEncodeError, OverflowError, TypeError):
        odd = "half a letter" if kinds == {str} else "a number that is too large"
        raise DataError(f"holds {odd} among its ids", str(path)) from None


def _checked_ids(ids: pl.Series, rows: int, path: Path) -> pl.Series:
    """The ids as text or whole numbers, one per row, no two alike; categories become the text that they stand for."""
    if isinstance(ids.dtype, pl.Categorical | pl.Enum):
        ids = ids.cast(pl.String)
    if len(ids) != rows:
        raise DataError(f"has {rows} rows but {len(ids)} ids; one id per row is needed", str(path))
    if ids.dtype != pl.String and not ids.dtype.is_integer():
        raise DataError(f"ids are {ids.dtype}; ids are text or whole numbers", str(path))
    empty = ids.is_null() if ids.dtype != pl.String else ids.is_null() | (ids == "")
    if empty.any():
        raise DataError(f"the id of row {int(empty.arg_max() or 0) + 1} is empty", str(path))
    again = ~ids.is_first_distinct()
    if again.any():
        row = int(again.arg_max() or 0)
        raise DataError(f"id {ids[row]!r} occurs twice, again in row {row + 1}; an item has one vector", str(path))
    return ids


def _mask(mask: Path | str | np.ndarray | None, rows: int, path: Path) -> np.ndarray:
    if mask is None:
        return np.ones(rows, dtype=bool)
    where = str(mask) if isinstance(mask, str | Path) else str(path)
    values = npy(Path(mask)) if isinstance(mask, str | Path) else np.asarray(mask)
    if values.shape != (rows,):
        raise DataError(f"the mask has shape {values.shape}; ({rows},), one value per feature row, is needed", where)
    if values.dtype.kind not in "biu" or (values.dtype.kind != "b" and not np.isin(values, (0, 1)).all()):
        raise DataError(f"the mask holds {values.dtype} other than true and false", where)
    present = values.astype(bool)
    if not present.any():
        raise DataError("the mask marks no row as present", where)
    return present


def _check_rows(vectors: np.ndarray, present: np.ndarray, ids: pl.Series | None, path: Path) -> None:
    step = max(1, _BLOCK_BYTES // (vectors.shape[1] * vectors.dtype.itemsize))
    odd, zero = np.zeros((2, len(vectors)), dtype=bool)
    for start in range(0, len(vectors), step):
        with np.errstate(over="ignore"):  # as it is computed with: 1e39 is infinite then, and 1e-60 zero
            block = np.asarray(vectors[start : start + step]).astype(np.float32, copy=False)
        odd[start : start + step] = ~np.isfinite(block).all(axis=1)
        zero[start : start + step] = ~block.any(axis=1)
        give_back(vectors)
    told = [
        _told(bad & present, ids, words)
        for bad, words in ((odd, ("holds", "hold", "NaN or infinity")), (zero, ("is", "are", "all zeros")))
        if (bad & present).any()
    ]
    if told:
        one = np.count_nonzero((odd | zero) & present) == 1
        remedy = "give it a value or mask it" if one else "give them values or mask them"
        raise DataError(f"{', and '.join(told)}; {remedy} as missing", str(path))


def _told(bad: np.ndarray, ids: pl.Series | None, words: tuple[str, str, str]) -> str:
    """`row 4 (item 'd') holds NaN`, or `3 of 9 rows hold NaN, the first of them row 4 (item 'd')`."""
    one, many, what = words
    row, count = int(bad.argmax()), int(bad.sum())
    named = f"row {row + 1}" + ("" if ids is None else f" (item {ids[row]!r})")
    if count == 1:
        return f"{named} {one} {what}"
    return f"{count:,} of {len(bad):,} rows {many} {what}, the first of them {named}"
