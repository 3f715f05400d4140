"""Vectors as a notebook holds them: tensors, lists, dicts, tables with a column for each number."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from siftrec.errors import DataError
from siftrec.modality.precomputed import features

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
WIDE = pd.DataFrame(ROWS, columns=["x", "y"], index=["c", "a", "b"])
NAMED = WIDE.rename_axis("video").reset_index()
HELD = {
    "tensor": (torch.tensor(ROWS, requires_grad=True), "cab"),
    "lists": (ROWS, "cab"),
    "tuple of arrays": (tuple(np.array(row) for row in ROWS), "cab"),
    "list of tensors": ([torch.tensor(row, requires_grad=True) for row in ROWS], "cab"),
    "dict": (dict(zip("cab", ROWS, strict=True)) | {"missing": None}, None),
    "dict of whole numbers": ({"c": [1, 2], "a": (3, 4), "b": np.array([5, 6])}, None),
    "index": (WIDE, None),
    "index with a name": (WIDE.rename_axis("my key"), None),
    "column": (NAMED, None),
    "column beside columns that are counted": (pd.DataFrame(ROWS).assign(item=["c", "a", "b"]), None),
    "column of polars": (pl.DataFrame(NAMED.to_dict("list")), None),
    "column among rows that were chosen": (pd.concat([NAMED[:1], NAMED])[1:].iloc[[0, 1, 2]], None),
    "whole numbers": (WIDE.astype({"x": int, "y": np.float16}), None),
    "missing": (pd.concat([WIDE, pd.DataFrame({"x": [np.nan], "y": [np.nan]}, index=["d"])]), None),
    "ids beside it": (WIDE.reset_index(drop=True), "cab"),
    "index beside lists": (pd.DataFrame({"vector": ROWS}, index=["c", "a", "b"]), None),
}


@pytest.mark.parametrize("name", HELD)
def test_whatever_a_notebook_holds_is_read(name):
    given, ids = HELD[name]
    known = features(given, ids=None if ids is None else list(ids))
    assert known.features.tolist() == ROWS
    assert known.ids.to_list() == ["c", "a", "b"]
    assert known.present.all()


@pytest.mark.parametrize("ids", [[4, 9, 7], range(1, 4), range(4, 10, 2)])
def test_an_index_of_numbers_holds_ids(ids):
    """pandas keeps what it can as a range, of which the table itself knows nothing."""
    assert features(WIDE.set_axis(ids)).ids.to_list() == list(ids)


def test_the_index_that_every_table_of_pandas_has_holds_no_ids():
    """The order of the rows is not that of the catalog unless somebody says so."""
    plain = WIDE.reset_index(drop=True)
    with pytest.raises(DataError, match="has no column or index of item ids; name one with id_column=, or give ids="):
        features(plain)
    assert features(plain.rename_axis("key")).ids.to_list() == [0, 1, 2]


def test_a_wide_table_in_a_file_is_read_as_in_memory(tmp_path):
    WIDE.to_parquet(tmp_path / "a.parquet")
    stored = features(tmp_path / "a.parquet")
    assert (stored.features.tolist(), stored.ids.to_list()) == (ROWS, ["c", "a", "b"])
    table = pa.table({"item": ["a"], "x": [1.0]})
    for told in (b"[]", b"{", b'{"index_columns": [{"kind": "range"}, "gone", 3]}'):
        pa.parquet.write_table(table.replace_schema_metadata({"pandas": told}), tmp_path / "b.parquet")
        assert features(tmp_path / "b.parquet").ids.to_list() == ["a"]


def test_what_was_checked_in_a_tensor_does_not_change_afterwards():
    tensor = torch.tensor(ROWS)
    known = features(tensor)
    tensor[0, 0] = torch.nan
    assert known.features.tolist() == ROWS


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (torch.ones(2, 2, dtype=torch.bfloat16), "tensor: holds torch.bfloat16"),
        (torch.ones(2, 2).to_sparse(), "tensor: holds torch.float32, torch.sparse_coo"),
        (torch.ones(2, 2, dtype=torch.int64), "tensor: holds int64; float16"),
        ([[1.0, 2.0], [1.0]], "list: row 2 has 1 numbers, the first row 2"),
        ([[1.0, 2.0], None], "list: row 2 is no list of numbers: None"),
        ([[[1.0], [1.0, 2.0]]], "list: row 1 is no list of numbers"),
        (["a title"], "list: row 1 is no list of numbers: 'a title'"),
        ([1.0, 2.0], "list: row 1 is no list of numbers: 1.0"),
        ([], "list: holds no vectors"),
        ({"a": None}, "dict: holds no vectors"),
        ({"item": ["a"], "vector": [[1.0]]}, "dict: row 'item' is no list of numbers"),
        ({"a": [1.0], 3: [1.0]}, "ids: ['a', 3] must all be text, or all whole numbers"),
        (pd.DataFrame({"x": [1.0]}, index=pd.MultiIndex.from_tuples([("a", 1)])), "has no column or index of item ids"),
        (pd.DataFrame([[1.0, 2.0]], columns=["x", "x"], index=["a"]), "Duplicate column names"),
    ],
)
def test_what_a_notebook_holds_is_refused_in_one_line(given, problem):
    with pytest.raises(DataError) as caught:
        features(given)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dict_has_its_ids():
    with pytest.raises(DataError, match="dict: its keys are the ids; leave out ids="):
        features({"a": [1.0]}, ids=["a"])
