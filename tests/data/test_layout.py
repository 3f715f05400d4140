"""Recognising folders."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from siftrec.data.catalog import Catalog, Modality
from siftrec.data.layout import sniff
from siftrec.errors import DataError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.exists(), reason="the real data sets are not beside the project")
def test_real_folders():
    layout = sniff(SHARED / "microlens50k")
    assert (layout.kind, layout.log.name) == ("pairs", "MicroLens-50k_pairs.tsv")
    assert layout.titles == SHARED / "microlens50k" / "MicroLens-50k_titles.csv"
    assert [modality.name for modality in layout.modalities] == ["caption", "hashtags", "text"]
    assert {modality.ids.name for modality in layout.modalities} == {"items.tsv"}
    assert [modality.mask and modality.mask.name for modality in layout.modalities] == [
        "mask_caption.npy",
        "mask_hashtags.npy",
        None,
    ]
    assert sniff(SHARED / "microlens50k" / "MicroLens-50k_pairs.tsv") == layout
    for name, kind, log in (
        ("ml1m", "pairs", "sequences.tsv.gz"),
        ("ml100k", "recbole", "ml-100k.inter"),
        ("ml_latest_small", "delimited", "ratings.csv"),
    ):
        assert (sniff(SHARED / name).kind, sniff(SHARED / name).log.name) == (kind, log)
    with pytest.raises(DataError, match="tiktok: holds no log"):
        sniff(SHARED / "tiktok")


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.tsv", "user\titem\n1\t2\n", "delimited"),
        ("a.tsv", "1\t2 3\n", "pairs"),
        ("a_pairs.tsv", "1\t2\n", "pairs"),
        ("a_pairs.tsv", "user\titem\n1\t2\n", "delimited"),
        ("events.csv", "user,item\n", "delimited"),
        ("u.data", "1\t2\t3\t4\n", "movielens"),
        ("a.jsonl.gz", "", "jsonl"),
    ],
)
def test_kinds(tmp_path, name, text, kind):
    (tmp_path / name).write_text(text)
    assert sniff(tmp_path).kind == sniff(tmp_path / name).kind == kind


def test_one_table_beside_vectors_is_the_log(tmp_path):
    pl.DataFrame({"user": [1], "item": [1]}).write_parquet(tmp_path / "events.parquet")
    for name in ("image_feat.npy", "mask_image.npy", "feat_clip-b32.npz", "feat_text.parquet", "items.tsv"):
        (tmp_path / name).write_bytes(b"")
    layout = sniff(tmp_path)
    assert layout.log.name == "events.parquet"
    found = {one.name: (one.ids and one.ids.name, one.mask and one.mask.name) for one in layout.modalities}
    assert found == {
        "clip_b32": ("items.tsv", None),
        "text": ("items.tsv", None),
        "image": ("items.tsv", "mask_image.npy"),
    }


@pytest.mark.parametrize(
    ("name", "text", "titled"),
    [
        ("items.tsv", "row\titem\n0\tv1\n", False),
        ("items.tsv", "item\ttitle\nv1\tOne\n", True),
        ("some_titles.csv", "", False),
        ("u.item", "1|Toy Story (1995)|01-Jan-1995\n", False),
        ("u.item", b"item\ttitle\n1\tMis\xe9rables\n", False),
    ],
)
def test_titles_are_named_only_where_they_can_be_read(tmp_path, name, text, titled):
    pl.DataFrame({"user": [1], "item": [1]}).write_parquet(tmp_path / "events.parquet")
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert sniff(tmp_path).titles == (tmp_path / name if titled else None)


def features(rows, **kwargs):
    return Modality(np.arange(rows * 2, dtype=np.float32).reshape(rows, 2) + 1, np.ones(rows, bool), **kwargs)


def test_catalog_aligns_by_id():
    modality = features(3, ids=pl.Series(["c", "zzz", "a"]))
    catalog = Catalog(pl.Series(["b", "a", "c", "a"]), image=modality)
    aligned = catalog.modalities["image"]
    assert aligned.row.tolist() == [-1, 2, -1, 0]
    assert aligned.vectors(np.array([0, 1, 2, 3])).tolist() == [[0, 0], [5, 6], [0, 0], [1, 2]]
    assert catalog.coverage == {"image": pytest.approx(2 / 3)}


def test_catalog_without_ids_needs_a_row_per_item():
    ids = pl.Series(["b", "a"])
    assert Catalog(ids, x=features(2)).modalities["x"].row.tolist() == [-1, 1, 0]
    with pytest.raises(DataError, match="modality 'x' has 3 rows and no ids, but the catalog has 2 items"):
        Catalog(ids, x=features(3))
    with pytest.raises(DataError, match="has no row for any item of the catalog"):
        Catalog(ids, x=features(2, ids=pl.Series(["q", "r"])))


ORDERED = [["c", "a", "b"], np.array(["c", "a", "b"]), pd.Series(["c", "a", "b"]), pl.Series(["c", "a", "b"])]


@pytest.mark.parametrize(
    "ids", [*ORDERED, dict.fromkeys("cab").keys(), iter("cab")], ids=lambda ids: type(ids).__module__
)
def test_rows_without_ids_are_those_of_the_ids_as_they_were_given(ids):
    """Taken in sorted order, every item would have another one's content, and nothing would say so."""
    aligned = Catalog(ids, x=features(3)).modalities["x"]
    assert aligned.vectors(np.array([1, 2, 3])).tolist() == [[3, 4], [5, 6], [1, 2]]
    masked = Modality(features(3).features, np.array([True, False, True]))
    assert Catalog(["c", "a", "b"], x=masked).modalities["x"].row.tolist() == [-1, -1, 2, 0]


@pytest.mark.parametrize("ids", [{"a", "b", "c"}, ["c", "a", "b", "c"], pl.Series(["c", "a", "b", "a"])])
def test_rows_without_ids_are_refused_where_the_ids_have_no_order(ids):
    with pytest.raises(DataError, match=r"have no order of their own .* ids=") as caught:
        Catalog(ids, x=features(3))
    assert "\n" not in str(caught.value)
    named = features(3, ids=pl.Series(["b", "c", "a"]))
    assert Catalog(ids, x=named).modalities["x"].row.tolist() == [-1, 2, 0, 1]


def test_rows_without_ids_follow_a_sorted_column_that_repeats_itself():
    assert Catalog(pl.Series([1, 1, 2, 3, 3]), x=features(3)).modalities["x"].row.tolist() == [-1, 0, 1, 2]


def test_items_are_in_a_catalog_and_modalities_are_what_it_iterates_over():
    catalog = Catalog(["i1", "i2", "text"], content=features(3))
    assert "i1" in catalog
    assert "text" in catalog
    assert [each for each in ("content", "i3", 1, None, ["i1"], object()) if each in catalog] == []
    assert list(catalog) == ["content"]
    assert 7 in Catalog([7, 9])
    assert 7 not in Catalog(["07"])
    assert 2**80 not in Catalog([7, 9])
    assert "i1" in catalog.vocab


def test_a_masked_row_is_never_read():
    modality = Modality(np.array([[1.0], [np.nan]], np.float32), np.array([True, False]), pl.Series(["a", "b"]))
    aligned = Catalog(pl.Series(["a", "b"]), x=modality).modalities["x"]
    assert aligned.present.tolist() == [False, True, False]
    assert aligned.vectors(np.array([1, 2])).tolist() == [[1.0], [0.0]]
