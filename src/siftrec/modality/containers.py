"""Arrays inside files, memory-mapped, without ever unpickling."""

from __future__ import annotations

import json
import math
import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from siftrec.data.readers.arrow import framed, sound
from siftrec.data.readers.columns import recognised, refuse_twice
from siftrec.data.readers.text import readable
from siftrec.errors import DataError
from siftrec.settings import nearest

_SAFETENSORS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "BOOL": "|b1", "U8": "|u1"}
_DAMAGE = (
    *(ValueError, TypeError, KeyError, AttributeError, OverflowError, EOFError, SyntaxError, RuntimeError),
    *(zipfile.BadZipFile, tokenize.TokenError, MemoryError),
)
"""What the parsers of these formats raise on hostile bytes."""


@dataclass(frozen=True)
class Contents:
    """What a feature file holds.

    Attributes:
        vectors: (n, F), not yet checked.
        ids: (n,) ids stored beside them, or None.
        mask: (n,) stored beside them, or None.
        wide: whether they were the columns of a table, whose order is then not the catalog's but its own.
    """

    vectors: np.ndarray
    ids: pl.Series | None = None
    mask: np.ndarray | None = None
    wide: bool = False


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


@dataclass(frozen=True)
class _Columns:
    """Which columns of a table are read.

    Attributes:
        id: of the ids, or None.
        vectors: the column of lists; or columns of numbers, side by side.
        wide: whether it is the latter.
    """

    id: str | None
    vectors: list[str]
    wide: bool

    @property
    def all(self) -> list[str]:
        return [*self.vectors, *([] if self.id is None or self.id in self.vectors else [self.id])]


def _table(path: Path, id_column: str | None, vector_column: str | None) -> Contents:
    """The vectors and ids of a file; see `frame_contents`."""
    with readable(path):
        try:
            table, columns = _arrow(path, id_column, vector_column)
            sound(table.select(columns.all))
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            kind = "Parquet" if path.suffix == ".parquet" else "Arrow"
            raise DataError(f"is not a complete {kind} file: {str(error).splitlines()[0]}", str(path)) from None
    return _of_columns(table, columns, path)


def frame_contents(table: pa.Table, path: Path, id_column: str | None, vector_column: str | None) -> Contents:
    """The vectors and ids of a table in memory; `path` stands for its name.

    A vector that is null, or all of whose columns are, is a missing feature, so its row is left out.

    Raises:
        DataError: no vectors, or more than one column that could be.
    """
    return _of_columns(table, _columns(table.schema, path, id_column, vector_column), path)


def _of_columns(table: pa.Table, columns: _Columns, path: Path) -> Contents:
    ids = _range_ids(table) if columns.id is None else pl.Series("id", pl.from_arrow(table.column(columns.id)))
    if columns.wide:
        return _side_by_side(table.select(columns.vectors), ids, path)
    vectors = table.column(columns.vectors[0])
    if vectors.null_count and ids is None:
        present = vectors.is_valid().to_numpy()
        raise DataError(f"row {int(np.argmin(present)) + 1} has no vector; add an id column", str(path))
    if vectors.null_count:
        kept = vectors.is_valid()
        assert ids is not None
        ids, vectors = ids.filter(pl.Series(kept.to_numpy())), vectors.filter(kept)
    return Contents(_matrix(vectors, path), ids)


def _side_by_side(table: pa.Table, ids: pl.Series | None, path: Path) -> Contents:
    """Vectors that have a column for each of their numbers; a single number that is missing is NaN."""
    if not table.num_rows:
        raise DataError("holds no vectors", str(path))
    short = all(pa.types.is_float16(field.type) or pa.types.is_float32(field.type) for field in table.schema)
    frame = framed(table).cast(pl.Float32 if short else pl.Float64)
    if ids is not None:
        known = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
        frame, ids = frame.filter(known), ids.filter(known)
    return Contents(np.array(frame.to_numpy()), ids, wide=True)


def _arrow(path: Path, id_column: str | None, vector_column: str | None) -> tuple[pa.Table, _Columns]:
    if path.suffix == ".parquet":
        columns = _columns(pa.parquet.read_schema(path), path, id_column, vector_column)
        return pa.parquet.read_table(path, columns=columns.all, memory_map=True), columns
    file = pa.memory_map(str(path))
    magic = file.read(6)
    file.seek(0)
    table = (pa.ipc.open_file(file) if magic == b"ARROW1" else pa.ipc.open_stream(file)).read_all()
    return table, _columns(table.schema, path, id_column, vector_column)


def _columns(schema: pa.Schema, path: Path, id_column: str | None, vector_column: str | None) -> _Columns:
    refuse_twice(schema.names, str(path))
    index = [name for name in _index(schema) if isinstance(name, str) and name in schema.names]
    names = [name for name in schema.names if name not in index]
    for name in (id_column, vector_column):
        if name is not None and name not in schema.names:
            raise DataError(f"has no column {name!r}{nearest(name, names)}", str(path))
    id_column = id_column or recognised("item", names, str(path)) or ("id" if "id" in names else None)
    id_column = id_column or (index[0] if len(index) == 1 else None)
    lists = [name for name in names if _is_list(schema.field(name).type)]
    if vector_column is not None or len(lists) == 1:
        return _Columns(id_column, [vector_column or lists[0]], wide=False)
    numbers = [name for name in names if name != id_column]
    if lists or not numbers:
        raise DataError(f"has {len(lists)} columns of lists; name the vectors with vector_column=", str(path))
    for name in numbers:
        kind = schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            problem = f"column {name!r} holds {kind} where every column but the ids must be numbers; leave it out"
            raise DataError(f"{problem}, or name a column of lists with vector_column=", str(path))
    return _Columns(id_column, numbers, wide=True)


def _index(schema: pa.Schema) -> list[Any]:
    """What pandas says its index was: names of columns, or the numbers of a range."""
    try:
        found = (schema.pandas_metadata or {}).get("index_columns")
    except (ValueError, AttributeError):  # anybody may have written it
        return []
    return found if isinstance(found, list) else []


def _range_ids(table: pa.Table) -> pl.Series | None:
    """The ids that a range of pandas holds; one from 0 on is no ids, but what a table has that was given none."""
    for each in _index(table.schema):
        if isinstance(each, dict) and each.get("kind") == "range":
            start, stop, step = (each.get(name) for name in ("start", "stop", "step"))
            if type(start) is int and type(stop) is int and type(step) is int and step:
                ids, given = range(start, stop, step), each.get("name") is not None or (start, step) != (0, 1)
                return pl.Series("id", ids) if given and len(ids) == table.num_rows else None
    return None


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
