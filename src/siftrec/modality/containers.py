"""Arrays inside files, memory-mapped, without ever unpickling."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from siftrec.data.readers.columns import recognised
from siftrec.data.readers.text import readable
from siftrec.errors import DataError
from siftrec.settings import nearest

_SAFETENSORS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "BOOL": "|b1", "U8": "|u1"}
_DAMAGE = (
    *(ValueError, TypeError, KeyError, AttributeError, OverflowError, EOFError, SyntaxError, RuntimeError),
    zipfile.BadZipFile,
)
"""What the parsers of these formats raise on hostile bytes."""


@dataclass(frozen=True)
class Contents:
    """What a feature file holds.

    Attributes:
        vectors: (n, F), not yet checked.
        ids: (n,) ids stored beside them, or None.
        mask: (n,) stored beside them, or None.
    """

    vectors: np.ndarray
    ids: pl.Series | None = None
    mask: np.ndarray | None = None


def contents(path: Path, id_column: str | None, vector_column: str | None) -> Contents:
    """The arrays of a feature file.

    Raises:
        DataError: an unknown kind of file, one that is damaged, or one that needs unpickling.
    """
    if path.suffix == ".npy":
        return Contents(npy(path))
    if path.suffix in (".npz", ".safetensors"):
        arrays = _npz(path) if path.suffix == ".npz" else _safetensors(path)
        return _chosen(arrays, path, id_column, vector_column)
    if path.suffix in (".parquet", ".arrow", ".feather"):
        return _table(path, id_column, vector_column)
    raise DataError("unknown kind of feature file; known are .npy, .npz, .safetensors, .parquet, .arrow", str(path))


@contextmanager
def _intact(path: Path, kind: str) -> Iterator[None]:
    with readable(path):
        try:
            yield
        except _DAMAGE as error:
            if "Python objects" in str(error):
                raise DataError("holds Python objects, which are never unpickled; save numbers", str(path)) from None
            reason = str(error).splitlines()[0] if str(error) else "it ends too early"
            raise DataError(f"is not a complete {kind} file: {reason}", str(path)) from None


def npy(path: Path) -> np.ndarray:
    """A `.npy` array, memory-mapped."""
    with _intact(path, "NumPy"):
        if path.stat().st_size == 0:
            raise DataError("is empty", str(path))
        mapped: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        return mapped


def _npz(path: Path) -> dict[str, np.ndarray]:
    """Uncompressed members are mapped where they lie in the archive; compressed ones must be unpacked into memory."""
    arrays = {}
    with _intact(path, "NumPy archive"), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, fortran, dtype = read(stream)
                if dtype.hasobject:
                    raise ValueError("Python objects")
                if member.compress_type == zipfile.ZIP_STORED and 0 not in shape:
                    offset = _data_offset(path, member.header_offset) + stream.tell()
                    order = "F" if fortran else "C"
                    array: np.ndarray = np.memmap(path, dtype, "r", offset, shape, order)  # type: ignore[call-overload]
                else:
                    stream.seek(0)
                    array = np.lib.format.read_array(stream, allow_pickle=False)
            arrays[member.filename.removesuffix(".npy")] = array
    return arrays


def _data_offset(path: Path, header: int) -> int:
    # A zip member's local header is 30 bytes, then the name and an extra field whose lengths stand at byte 26 and 28.
    with path.open("rb") as file:
        file.seek(header + 26)
        name, extra = np.frombuffer(file.read(4), "<u2")
    return header + 30 + int(name) + int(extra)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors mapped where they lie: 8 bytes of header length, a JSON header, the data."""
    arrays: dict[str, np.ndarray] = {}
    with _intact(path, "safetensors"):
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, 100_000_000):
                raise ValueError("the header is cut off")
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype = _SAFETENSORS.get(entry["dtype"])
            if dtype is None:
                raise ValueError(f"tensor {name!r} is {entry['dtype']}; save it as float16, float32 or float64")
            begin, end = entry["data_offsets"]
            shape = tuple(int(n) for n in entry["shape"])
            length_fits = end - begin == math.prod(list(shape)) * np.dtype(dtype).itemsize
            if not length_fits or not 0 <= begin <= end <= size - 8 - length:
                raise ValueError(f"tensor {name!r} does not lie inside the file")
            at = 8 + length + begin
            arrays[name] = np.memmap(path, dtype, "r", at, shape) if end > begin else np.empty(shape, dtype)
    return arrays


def _chosen(arrays: dict[str, np.ndarray], path: Path, id_name: str | None, vector_name: str | None) -> Contents:
    for name in (id_name, vector_name):
        if name is not None and name not in arrays:
            raise DataError(f"holds no array {name!r}{nearest(name, arrays)}", str(path))
    ids = arrays.get(id_name or "ids")
    mask = arrays.get("mask", arrays.get("present"))
    if vector_name is None:
        found = [name for name in arrays if name not in (id_name, "ids", "mask", "present")]
        if len(found) != 1:
            raise DataError(f"holds {len(found)} arrays that could be vectors; name one with vector_column=", str(path))
        vector_name = found[0]
    return Contents(arrays[vector_name], None if ids is None else id_series(ids, path), mask)


def id_series(ids: np.ndarray, path: Path) -> pl.Series:
    """Ids out of an array of text or whole numbers."""
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        problem = f"ids must be one row of text or whole numbers, not {ids.dtype} of shape {ids.shape}"
        raise DataError(problem, str(path))
    return pl.Series("id", ids.tolist() if ids.dtype.kind == "U" else np.ascontiguousarray(ids))


def _table(path: Path, id_column: str | None, vector_column: str | None) -> Contents:
    """Id and vector columns; a null vector is a missing feature, so its row is left out."""
    with readable(path):
        try:
            table = _arrow(path, id_column, vector_column)
        except pa.ArrowException as error:
            kind = "Parquet" if path.suffix == ".parquet" else "Arrow"
            raise DataError(f"is not a complete {kind} file: {str(error).splitlines()[0]}", str(path)) from None
    return _of_columns(table, path)


def frame_contents(table: pa.Table, path: Path, id_column: str | None, vector_column: str | None) -> Contents:
    """The arrays of a table in memory, as those of a Parquet file; `path` stands for its name."""
    return _of_columns(table.select(_columns(table.schema, path, id_column, vector_column)), path)


def _of_columns(table: pa.Table, path: Path) -> Contents:
    ids = pl.Series("id", pl.from_arrow(table.column(0))) if table.num_columns == 2 else None
    vectors = table.column(table.num_columns - 1)
    if vectors.null_count and ids is None:
        present = vectors.is_valid().to_numpy()
        raise DataError(f"row {int(np.argmin(present)) + 1} has no vector; add an id column", str(path))
    if vectors.null_count:
        kept = vectors.is_valid()
        assert ids is not None
        ids, vectors = ids.filter(pl.Series(kept.to_numpy())), vectors.filter(kept)
    return Contents(_matrix(vectors, path), ids)


def _arrow(path: Path, id_column: str | None, vector_column: str | None) -> pa.Table:
    if path.suffix == ".parquet":
        schema = pa.parquet.read_schema(path)
        return pa.parquet.read_table(path, columns=_columns(schema, path, id_column, vector_column), memory_map=True)
    file = pa.memory_map(str(path))
    magic = file.read(6)
    file.seek(0)
    table = (pa.ipc.open_file(file) if magic == b"ARROW1" else pa.ipc.open_stream(file)).read_all()
    return table.select(_columns(table.schema, path, id_column, vector_column))


def _columns(schema: pa.Schema, path: Path, id_column: str | None, vector_column: str | None) -> list[str]:
    for name in (id_column, vector_column):
        if name is not None and name not in schema.names:
            raise DataError(f"has no column {name!r}{nearest(name, schema.names)}", str(path))
    lists = [f.name for f in schema if _is_list(f.type)]
    if vector_column is None and len(lists) != 1:
        raise DataError(f"has {len(lists)} columns of lists; name the vectors with vector_column=", str(path))
    id_column = id_column or recognised("item", schema.names, str(path)) or ("id" if "id" in schema.names else None)
    return [name for name in (id_column, vector_column or lists[0]) if name is not None]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _matrix(vectors: pa.ChunkedArray, path: Path) -> np.ndarray:
    if not _is_list(vectors.type):
        raise DataError(f"the vector column holds {vectors.type}; one list of numbers per row is needed", str(path))
    if not len(vectors):
        raise DataError("holds no vectors", str(path))
    lengths = pa.compute.list_value_length(vectors).to_numpy()
    if (lengths != lengths[0]).any():
        row = int(np.argmax(lengths != lengths[0]))
        raise DataError(f"row {row + 1} has {lengths[row]} numbers, the first row {lengths[0]}", str(path))
    flat = vectors.combine_chunks().flatten() if vectors.num_chunks != 1 else vectors.chunk(0).flatten()
    if flat.null_count:
        row = int(np.argmin(flat.is_valid().to_numpy(zero_copy_only=False))) // int(lengths[0])
        raise DataError(f"row {row + 1} has an empty place inside its vector", str(path))
    if not pa.types.is_primitive(flat.type):
        raise DataError(f"the vectors hold {flat.type}; numbers are needed", str(path))
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(vectors), int(lengths[0]))
