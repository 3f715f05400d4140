"""Feature files: every container gives the same vectors; everything odd is refused with its file."""

import io
import json
import pickle
import uuid
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from safetensors.numpy import save_file

import hostile
from commanded import refused
from siftrec.data.catalog import Catalog
from siftrec.data.read import read
from siftrec.errors import DataError
from siftrec.files import sha256
from siftrec.modality.precomputed import features

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not SHARED.exists(), reason="the real data sets are not beside the project")

VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float16)
IDS = ["a", "007", "c", "d", "é"]


def listed(dtype, vectors=VECTORS):
    flat = pa.array(vectors.reshape(-1))
    if dtype == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.ListArray.from_arrays(np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32), flat)


def containers(folder: Path):
    np.save(folder / "a.npy", VECTORS)
    yield folder / "a.npy", {"ids": IDS}
    np.save(folder / "fortran.npy", np.asfortranarray(VECTORS))
    yield folder / "fortran.npy", {"ids": IDS}
    np.savez(folder / "a.npz", vectors=VECTORS, ids=np.array(IDS))
    yield folder / "a.npz", {}
    np.savez_compressed(folder / "b.npz", x=VECTORS, y=VECTORS[::-1], names=np.array(IDS))
    yield folder / "b.npz", {"vector_column": "x", "id_column": "names"}
    save_file({"vectors": VECTORS}, folder / "a.safetensors", metadata={"by": "test"})
    yield folder / "a.safetensors", {"ids": IDS}
    for name in ("fixed", "list"):
        table = pa.table({"title": IDS, "item": IDS, "vector": listed(name)})
        pa.parquet.write_table(table, folder / f"{name}.parquet", row_group_size=2)
        yield folder / f"{name}.parquet", {}
        with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        yield folder / f"{name}.arrow", {"id_column": "title", "vector_column": "vector"}


def test_every_container_gives_the_same_vectors(tmp_path):
    for path, arguments in containers(tmp_path):
        modality = features(path, **arguments)
        assert modality.features.dtype == np.float16, path
        assert np.array_equal(modality.features, VECTORS), path
        assert modality.ids.to_list() == IDS, path
        assert modality.present.all(), path
        assert (modality.source, modality.sha256) == (str(path), sha256(path))


def test_vectors_stay_on_disk(tmp_path):
    for path, arguments in containers(tmp_path):
        if path.name in ("a.npy", "fortran.npy", "a.npz", "a.safetensors"):
            assert isinstance(features(path, **arguments).features, np.memmap), path


def id_files(folder: Path):
    (folder / "i.tsv").write_text(
        "row\titem\ttext\n" + "".join(f'{n}\t{i}\t"odd\n' for n, i in enumerate(IDS)), "utf-8"
    )
    yield folder / "i.tsv", {}
    (folder / "i.csv").write_text("key,title\n" + "".join(f'{i},"x, y"\n' for i in IDS), "utf-8")
    yield folder / "i.csv", {"id_column": "key"}
    (folder / "above.csv").write_text("\n" + (folder / "i.csv").read_text("utf-8"), "utf-8")
    yield folder / "above.csv", {"id_column": "key"}
    (folder / "i.txt").write_text("\n".join(IDS) + "\n", "utf-8")
    yield folder / "i.txt", {}
    (folder / "i.json").write_text(json.dumps(IDS), "utf-8")
    yield folder / "i.json", {}
    np.save(folder / "i.npy", np.array(IDS))
    yield folder / "i.npy", {}


def test_ids_come_from_any_list(tmp_path):
    np.save(tmp_path / "a.npy", VECTORS)
    for path, arguments in id_files(tmp_path):
        assert features(tmp_path / "a.npy", ids=path, **arguments).ids.to_list() == IDS, path
    np.save(tmp_path / "numbers.npy", np.arange(5, dtype=np.int32))
    assert features(tmp_path / "a.npy", ids=str(tmp_path / "numbers.npy")).ids.to_list() == [0, 1, 2, 3, 4]
    assert features(tmp_path / "a.npy").ids is None


def test_masked_rows_may_hold_anything(tmp_path):
    vectors = VECTORS.copy()
    vectors[1], vectors[3] = np.nan, 0
    np.save(tmp_path / "a.npy", vectors)
    mask = np.array([True, False, True, False, True])
    np.save(tmp_path / "m.npy", mask)
    np.save(tmp_path / "n.npy", mask.astype(np.uint8))
    for given in (tmp_path / "m.npy", str(tmp_path / "n.npy"), mask):
        assert features(tmp_path / "a.npy", mask=given).present.tolist() == mask.tolist()


def test_a_null_vector_is_a_missing_row(tmp_path):
    column = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2))
    pa.parquet.write_table(pa.table({"item": [7, 8, 9], "v": column}), tmp_path / "a.parquet")
    modality = features(tmp_path / "a.parquet")
    assert modality.ids.to_list() == [7, 9]
    assert modality.features.tolist() == [[1, 2], [3, 4]]


def with_value(value):
    vectors = VECTORS.astype(np.float64)
    vectors[3, 1] = value
    return vectors


BAD_ARRAYS = {
    "1-D": (VECTORS[0], {}, "has 1 dimensions"),
    "3-D": (VECTORS[None], {}, "has 3 dimensions"),
    "no dimension": (np.float32(1.0), {}, "has 0 dimensions"),
    "no rows": (VECTORS[:0], {}, "holds no vectors"),
    "object": (np.array([[hostile.Hostile()]], dtype=object), {}, "never unpickled"),
    "complex": (VECTORS.astype(np.complex64), {}, "holds complex64; float16, float32 or float64 is needed"),
    "text": (np.array([["1.0"]]), {}, "holds <U3"),
    "integers": (np.ones((2, 2), np.int64), {}, "holds int64"),
    "long double": (VECTORS.astype(np.longdouble), {}, "float16, float32 or float64 is needed"),
    "structured": (np.zeros(2, dtype=[("x", "f4")]), {}, "float16, float32 or float64 is needed"),
    "NaN": (with_value(np.nan), {"ids": IDS}, "row 4 (item 'd') holds NaN or infinity"),
    "Inf": (with_value(np.inf), {}, "row 4 holds NaN or infinity"),
    "float16 overflow": (with_value(-np.inf).astype(np.float16), {}, "row 4 holds NaN or infinity"),
    "zero norm": (VECTORS * np.array([[1], [0], [1], [1], [1]], np.float16), {}, "row 2 is all zeros; give it a value"),
    "two of zeros": (
        VECTORS * np.array([[1], [0], [1], [0], [1]], np.float16),
        {"mask": np.array([True, True, True, True, False])},
        "2 of 5 rows are all zeros, the first of them row 2; give them values or mask them",
    ),
    "three wrong": (
        with_value(np.nan) * np.array([[1], [0], [np.inf], [1], [1]]),
        {"ids": IDS},
        "2 of 5 rows hold NaN or infinity, the first of them row 3 (item 'c'), and row 2 (item '007') is all zeros;",
    ),
    "mixed ids": (VECTORS, {"ids": ["a", 3, "c", "d", "e"]}, "ids: ['a', 3, 'c', 'd', 'e'] must all be text"),
    "objects as ids": (VECTORS, {"ids": [uuid.UUID(int=n) for n in range(5)]}, "[str(each) for each in ids] is text"),
    "too few ids": (VECTORS, {"ids": IDS[:4]}, "has 5 rows but 4 ids"),
    "too many ids": (VECTORS, {"ids": [*IDS, "f"]}, "has 5 rows but 6 ids"),
    "duplicate ids": (VECTORS, {"ids": ["a", "b", "a", "d", "b"]}, "id 'a' occurs twice, again in row 3"),
    "empty id": (VECTORS, {"ids": ["a", "b", "", "d", "e"]}, "the id of row 3 is empty"),
    "null id": (VECTORS, {"ids": [1, None, 2, 3, 4]}, "the id of row 2 is empty"),
    "short mask": (VECTORS, {"mask": np.ones(4, bool)}, "the mask has shape (4,); (5,)"),
    "mask of numbers": (VECTORS, {"mask": np.arange(5)}, "other than true and false"),
    "fractional mask": (VECTORS, {"mask": np.ones(5)}, "the mask holds float64"),
    "nothing present": (VECTORS, {"mask": np.zeros(5, bool)}, "marks no row as present"),
}


def refusal(path, **arguments) -> str:
    with pytest.raises(DataError) as caught:
        features(path, **arguments)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith((f"{path}", "ids: "))
    return str(caught.value)


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_are_no_features_are_refused(name, tmp_path):
    array, arguments, problem = BAD_ARRAYS[name]
    np.save(tmp_path / "a.npy", array)
    before = sorted(tmp_path.iterdir())
    assert problem in refusal(tmp_path / "a.npy", **arguments)
    assert sorted(tmp_path.iterdir()) == before


ONLY_IN_MEMORY = ("mixed ids", "objects as ids", "null id")


@pytest.mark.parametrize("name", sorted(BAD_ARRAYS.keys() - set(ONLY_IN_MEMORY)))
def test_training_refuses_them_in_one_line(name, tmp_path, capsys):
    array, beside, problem = BAD_ARRAYS[name]
    np.save(tmp_path / "a.npy", array)
    rows = "".join(f"{user},{item},{time}\n" for user in "xyz" for time, item in enumerate(IDS))
    (tmp_path / "log.csv").write_text(f"user,item,time\n{rows}", "utf-8")
    if "ids" in beside:
        (tmp_path / "ids.json").write_text(json.dumps(beside["ids"]), "utf-8")
    if "mask" in beside:
        np.save(tmp_path / "mask.npy", beside["mask"])
    files = "".join(f"{key} = '{key}.{'json' if key == 'ids' else 'npy'}'\n" for key in beside)
    (tmp_path / "exp.toml").write_text(
        f"[data]\npath = 'log.csv'\n[modality.text]\npath = 'a.npy'\n{files}[method]\nuse = 'siftrec:SASRec'\n"
    )
    line = refused(["train", str(tmp_path / "exp.toml"), "-o", str(tmp_path / "run")], 3, tmp_path, capsys)
    assert line.startswith(tuple(str(tmp_path / file) for file in ("a.npy", "ids.json", "mask.npy")))
    assert problem in line


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "b.npz", "a.safetensors", "list.parquet", "fixed.arrow"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_truncated_files_are_refused(name, share, tmp_path):
    arguments = next(arguments for path, arguments in containers(tmp_path) if path.name == name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    refusal(tmp_path / name, **arguments)


def written(write, thing) -> bytes:
    stream = io.BytesIO()
    write(stream, thing)
    return stream.getvalue()


OBJECTS = np.array([[hostile.Hostile()]], dtype=object)
NO_FEATURES = {
    "a pickle": pickle.dumps(hostile.Hostile()),
    "an old pickle": hostile.PICKLE,
    "a pickle cut off": b"\x80\x04cos\nsystem\n.",
    "an array of objects": written(np.save, OBJECTS),
    "an archive of objects": written(np.savez, OBJECTS),
    "a compressed archive of objects": written(np.savez_compressed, OBJECTS),
    "torch's file": written(lambda stream, thing: torch.save(thing, stream), [hostile.Hostile()]),
    "torch's file of numbers": written(lambda stream, thing: torch.save(thing, stream), torch.ones(5, 3)),
    "torch's old file": written(
        lambda stream, thing: torch.save(thing, stream, _use_new_zipfile_serialization=False), [hostile.Hostile()]
    ),
    "YAML": b"!!python/object/apply:siftrec_hostile.canary ['x']\n",
    "JSON": b"[1]" * 99,
    "noise": b"\xff" * 999,
    "an archive cut off": b"PK\x03\x04",
}
SUFFIXES = (".npy", ".npz", ".safetensors", ".parquet", ".arrow", ".feather", ".pt", ".pth", ".pkl", ".yaml", ".joblib")


@pytest.mark.parametrize("name", NO_FEATURES)
def test_what_holds_no_numbers_is_refused_unopened_whatever_its_name(name, tmp_path):
    """A feature file is often somebody else's: to read it must not be to run it."""
    with hostile.nothing_unpickled():
        for suffix in SUFFIXES:
            path = tmp_path / f"a{suffix}"
            path.write_bytes(NO_FEATURES[name])
            problem = refusal(path)
            if name.endswith("of objects") and suffix == (".npz" if "archive" in name else ".npy"):
                assert "never unpickled" in problem


@pytest.mark.parametrize("place", ["ids", "mask"])
def test_pickles_beside_the_vectors_are_refused_unopened(place, tmp_path):
    np.save(tmp_path / "a.npy", VECTORS)
    np.save(tmp_path / "b.npy", np.array([hostile.Hostile()] * len(VECTORS), dtype=object))
    np.savez(tmp_path / "c.npz", vectors=VECTORS, **{place: np.array([hostile.Hostile()] * len(VECTORS), dtype=object)})
    with hostile.nothing_unpickled():
        with pytest.raises(DataError, match="never unpickled"):
            features(tmp_path / "a.npy", **{place: tmp_path / "b.npy"})
        assert "never unpickled" in refusal(tmp_path / "c.npz")


def test_safetensors_outside_the_file_and_odd_types(tmp_path):
    path = tmp_path / "a.safetensors"
    for entry, problem in (
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 99]}, "does not lie inside"),
        ({"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}, "safetensors file"),
        ({"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}, "tensor 'x' is BF16; save it as float16"),
        ([], "is not a complete safetensors file"),
    ):
        header = json.dumps({"x": entry}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 16)
        assert problem in refusal(path)


@pytest.mark.parametrize(
    ("columns", "arguments", "problem"),
    [
        ({"item": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}, {}, "row 2 has 2 numbers, the first row 1"),
        ({"item": ["a", "b"], "v": [[1.0, 2.0], [1.0, None]]}, {}, "row 2 has an empty place inside its vector"),
        ({"item": ["a", "b"], "v": [["x"], ["y"]]}, {}, "the vectors hold"),
        ({"item": ["a", "a"], "v": [[1.0], [2.0]]}, {}, "id 'a' occurs twice"),
        ({"item": ["a", "b"]}, {}, "has 0 columns of lists"),
        (
            {"item": ["a", "b"], "v": [1.0, 2.0], "title": ["x", "y"]},
            {},
            "column 'title' holds string where every column",
        ),
        ({"key": ["a", "b"], "v": [1.0, 2.0]}, {}, "column 'key' holds string where every column but the ids"),
        ({"key": [7, 8], "v": [1.0, 2.0]}, {}, "has no column or index of item ids; name one with id_column="),
        ({"item": ["a", "b"], "v": [1.0, None], "w": [1.0, 2.0]}, {}, "row 2 (item 'b') holds NaN or infinity"),
        ({"item": ["a", "b"], "v": [1.0, 2.0]}, {"vector_column": "v"}, "one list of numbers per row is needed"),
        ({"item": ["a"], "v": [[1.0]], "w": [[1.0]]}, {}, "has 2 columns of lists; name the vectors"),
        ({"item": ["a"], "v": [[1.0]]}, {"vector_column": "vv"}, "has no column 'vv'; did you mean 'v'?"),
        ({"item": ["a"], "v": [[1.0]]}, {"id_column": "itm"}, "has no column 'itm'; did you mean 'item'?"),
        ({"other": ["a", "b"], "v": [[1.0], None]}, {}, "row 2 has no vector; add an id column"),
        ({"item": [1.5, 2.5], "v": [[1.0], [2.0]]}, {}, "ids are Float64"),
    ],
)
def test_tables_that_are_no_features_are_refused(columns, arguments, problem, tmp_path):
    pa.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert problem in refusal(tmp_path / "a.parquet", **arguments)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("i.tsv", "row\titem\n0\ta\n2\tb\n1\tc\n", "its column 'row' does not count 0, 1, 2"),
        ("i.tsv", "thing\nb\n", "has no item column among ['thing']"),
        ("i.csv", "item,title\na\n", ":2:1: 1 fields where 2 are needed"),
        ("i.json", "[1,", ":1:4: broken JSON"),
        ("i.json", '[1, "a"]', "must be a list of ids, all text or all whole numbers"),
        ("i.json", "{}", "must be a list of ids"),
        ("i.json", "[" * 9999, "its brackets are nested too deep"),
        ("i.json", r'["\ud800", "a"]', "holds half a letter among its ids"),
        ("i.json", f"[{10**50}, 1]", "holds a number that is too large among its ids"),
        ("i.txt", "", "is empty"),
        ("i.xlsx", "a", "unknown kind of id file"),
        ("i.npy", "no array", "is not a complete NumPy file"),
    ],
)
def test_id_files_that_are_none_are_refused(name, text, problem, tmp_path):
    np.save(tmp_path / "a.npy", VECTORS)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        features(tmp_path / "a.npy", ids=tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert problem in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    assert refusal(tmp_path / "gone.npy") == f"{tmp_path / 'gone.npy'}: does not exist"
    (tmp_path / "d.npy").mkdir()
    assert "is a folder" in refusal(tmp_path / "d.npy")


@real
@pytest.mark.parametrize(
    ("folder", "name", "coverage"),
    [
        ("microlens50k", "caption", 0.87),
        ("microlens50k", "hashtags", 0.89),
        ("microlens50k", "text", 1.0),
        ("ml1m", "image", 0.95),
        ("ml1m", "text", 1.0),
    ],
)
def test_real_features_cover_their_catalog(folder, name, coverage):
    base = SHARED / folder
    mask = base / f"mask_{name}.npy"
    modality = features(base / f"feat_{name}.npy", ids=base / "items.tsv", mask=mask if mask.exists() else None)
    assert isinstance(modality.features, np.memmap)
    items = pl.read_csv(base / "items.tsv", separator="\t", quote_char=None, infer_schema=False)["item"]
    assert Catalog(items, x=modality).coverage["x"] == pytest.approx(coverage, abs=0.005)


@real
def test_real_features_are_those_of_their_item():
    log = read(SHARED / "ml1m")
    modality = features(SHARED / "ml1m" / "feat_text.npy", ids=SHARED / "ml1m" / "items.tsv")
    aligned = Catalog(log.items, text=modality).modalities["text"]
    code = Catalog(log.items).vocab.encode(pl.Series(["3"]))
    expected = np.load(SHARED / "ml1m" / "feat_text.npy", mmap_mode="r")[2].astype(np.float32)
    assert np.array_equal(aligned.vectors(code)[0], expected)


def test_a_table_in_memory_is_what_a_file_of_it_would_be(tmp_path):
    """`sr.read` takes frames; who has the vectors in one should not have to write it down first."""
    frame = pl.DataFrame({"item": ["a", "b", "c"], "vector": [[1.0, 2.0], None, [3.0, 4.0]]})
    frame.write_parquet(tmp_path / "a.parquet")
    stored = features(tmp_path / "a.parquet")
    for table in (frame, frame.lazy(), frame.to_arrow(), frame.to_pandas()):
        known = features(table)
        assert np.array_equal(known.features, stored.features)
        assert known.ids.to_list() == stored.ids.to_list() == ["a", "c"]
    with pytest.raises(DataError, match="table: row 2 has 1 numbers, the first row 2"):
        features(pl.DataFrame({"item": ["a", "b"], "vector": [[1.0, 2.0], [1.0]]}))
    with pytest.raises(DataError, match="int is no path and no table"):
        features(3)


def test_vectors_in_memory_are_what_a_file_of_them_would_be(tmp_path):
    """Who computes embeddings in the same process should not have to write them down first, nor escape a check."""
    vectors, ids = np.arange(12, dtype=np.float16).reshape(4, 3) + 1, ["a", "b", "c", "d"]
    np.save(tmp_path / "a.npy", vectors)
    mask = np.array([True, True, False, True])
    known, stored = (features(each, ids=ids, mask=mask) for each in (vectors, tmp_path / "a.npy"))
    assert np.array_equal(known.features, stored.features)
    assert known.present.tolist() == stored.present.tolist() == mask.tolist()
    assert known.ids.to_list() == ids
    assert known.sha256 != features(vectors.reshape(3, 4), ids=ids[:3]).sha256
    vectors[1, 1] = np.nan
    assert np.isfinite(known.features).all(), "what was checked must not change afterwards"
    with pytest.raises(DataError, match=r"array: row 2 \(item 'b'\) holds NaN"):
        features(vectors, ids=ids)
    with pytest.raises(DataError, match="array: holds int64; float16, float32 or float64 is needed"):
        features(np.ones((4, 3), np.int64))
