"""Whose ids count: those inside a file of vectors, or those beside it; and what float32 makes of wider numbers."""

import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec.data.catalog import Catalog
from siftrec.data.layout import sniff
from siftrec.errors import DataError
from siftrec.modality.precomputed import features

ROWS = np.array([[3.0], [2.0], [1.0]], np.float32)  # of c, b, a


def first_numbers(path: Path) -> dict[str, float]:
    """What the items a, b, c get of the vectors that a folder's layout finds."""
    (found,) = sniff(path).modalities
    aligned = Catalog(["a", "b", "c"], text=features(found.path, ids=found.ids, mask=found.mask)).modalities["text"]
    return {item: float(aligned.modality.features[row, 0]) for item, row in zip("abc", aligned.row[1:], strict=True)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ratings.csv").write_text("user,item,time\nu,a,1\nu,b,2\nu,c,3\n")
    return tmp_path


def test_ids_inside_a_file_come_before_those_beside_it(folder: Path) -> None:
    """Every vector would stand with another item, and nothing would say so."""
    (folder / "items.tsv").write_text("item\na\nb\nc\n")
    np.savez(folder / "feat_text.npz", vectors=ROWS, ids=np.array(["c", "b", "a"]))
    assert first_numbers(folder) == {"a": 1, "b": 2, "c": 3}


def test_a_table_without_ids_takes_those_beside_it(folder: Path) -> None:
    (folder / "items.tsv").write_text("item\nc\nb\na\n")
    pl.DataFrame({"vector": ROWS}).write_parquet(folder / "feat_text.parquet")
    assert first_numbers(folder) == {"a": 1, "b": 2, "c": 3}


def test_ids_in_memory_must_be_those_of_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=ROWS, ids=np.array(["c", "b", "a"]))
    assert features(tmp_path / "v.npz", ids=["c", "b", "a"]).ids is not None
    with pytest.raises(DataError, match="holds ids of its own, which are not those given"):
        features(tmp_path / "v.npz", ids=["a", "b", "c"])


def test_a_row_is_there_if_neither_mask_leaves_it_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=ROWS, mask=np.array([True, True, False]))
    np.save(tmp_path / "mask.npy", np.array([True, False, True]))
    assert features(tmp_path / "v.npz", mask=tmp_path / "mask.npy").present.tolist() == [True, False, False]


@pytest.mark.parametrize(("value", "says"), [(1e39, "NaN or infinity"), (1e-60, "all zeros")])
def test_numbers_are_judged_as_they_are_computed_with(value: float, says: str) -> None:
    """As float32 one 1e39 makes a column NaN for every item, and training ends in a loss that is not finite."""
    with pytest.raises(DataError, match=says):
        features(np.array([[value], [2.0], [1.0]]))


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["a", "b", "c"])])
def test_ids_that_are_categories_are_text_as_they_are_in_a_log(kind: pl.DataType, tmp_path: Path) -> None:
    frame = pl.DataFrame({"item": ["c", "a"], "vector": [[1.0, 2.0], [3.0, 4.0]]}).with_columns(
        pl.col("item").cast(kind)
    )
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    for source in (frame, frame.to_pandas(), tmp_path / "a.parquet", tmp_path / "a.arrow"):
        known = features(source)
        assert known.ids is not None
        assert (known.ids.dtype, known.ids.to_list()) == (pl.String, ["c", "a"])
        assert Catalog(frame["item"], text=known).coverage == {"text": 1}
    with pytest.raises(DataError, match="id 'a' occurs twice, again in row 2"):
        features(frame.with_columns(pl.lit("a").cast(kind).alias("item")))


@pytest.mark.parametrize(("known", "warned"), [(2, True), (3, False)])
def test_content_that_next_to_no_item_has_is_warned_of(
    known: int, warned: bool, recwarn: pytest.WarningsRecorder
) -> None:
    """Ids of another kind meet a few items by chance, and a model of content was trained on noise."""
    warnings.simplefilter("always")
    vectors = features(np.ones((known, 2), np.float32), ids=list(range(known)))
    Catalog(list(range(60)), text=vectors)
    told = [(str(each.message), Path(each.filename).name) for each in recwarn]
    says = "modality 'text' has vectors for only 3.33% of the catalog's 60 items; are its ids right?"
    assert told == ([(says, Path(__file__).name)] if warned else [])
