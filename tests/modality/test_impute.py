"""Imputed vectors are the stated means of training neighbours, and nothing that was there changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec import config
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.errors import UsageError
from siftrec.modality.impute import Impute, impute, without

ITEMS = 8


def log(*rows: list[int]) -> Sequences:
    return Sequences.from_items(np.concatenate(rows), np.array([len(row) for row in rows]))


def catalog(has: list[bool], kind: str = "f4") -> Catalog:
    vectors = np.arange(1, ITEMS + 1)[:, None] * np.array([[1.0, 100.0]])
    vectors[~np.array(has)] = np.nan  # never read
    present = np.array(has)
    ids = pl.Series([f"v{n}" for n in range(ITEMS)])
    return Catalog(ids, cover=Modality(vectors.astype(kind), present, ids, "covers.npy", "abc"))


def vector(of: Catalog, code: int) -> np.ndarray:
    return of.modalities["cover"].vectors(np.array([code]))[0]


TRAIN = log([1, 2, 3], [1, 2, 2, 2, 4], [1, 5], [6, 7], [6, 1])
HAS = [False, True, True, True, True, False, False, True]


def test_mean_is_over_training_items_that_have_it() -> None:
    """Item 8 has one, but nobody had item 8 in training: it may stand in the test part only."""
    full, imputed = impute(catalog(HAS), TRAIN, {"cover": "mean"})
    for code in (1, 6, 7):
        np.testing.assert_allclose(vector(full, code), np.mean([2, 3, 4, 5]) * np.array([1, 100]))
    assert np.flatnonzero(imputed["cover"]).tolist() == [1, 6, 7]


def test_neighbours_are_those_most_users_had_with_it() -> None:
    """Item 1 was had with 2 by two users (one had 2 thrice), with 3, 4 and 5 by one each; ties go to the lower code."""
    full, imputed = impute(catalog(HAS), TRAIN, {"cover": "neighbours"}, k=2)
    np.testing.assert_allclose(vector(full, 1), np.mean([2, 3]) * np.array([1, 100]))
    assert np.flatnonzero(imputed["cover"]).tolist() == [1]
    assert not full.modalities["cover"].present[[6, 7]].any()
    np.testing.assert_array_equal(full.modalities["cover"].present[1:], [True] * 5 + [False, False, True])


@pytest.mark.parametrize("how", ["mean", "neighbours"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_what_was_there_stays_bit_by_bit(how: Impute, kind: str) -> None:
    before = catalog(HAS, kind)
    full, _ = impute(before, TRAIN, {"cover": how})
    had = np.flatnonzero(before.modalities["cover"].present)
    kept, given = (each.modalities["cover"].vectors(had) for each in (full, before))
    assert kept.dtype == given.dtype == np.dtype(kind)
    assert kept.tobytes() == given.tobytes()
    assert full.modalities["cover"].modality.sha256 not in ("", "abc")
    assert before.coverage["cover"] == 5 / 8


@pytest.mark.parametrize("how", ["none", "mean", "neighbours"])
def test_nothing_to_impute_from_or_nothing_asked_leaves_it_absent(how: Impute) -> None:
    nobody = [False] * 7 + [True]  # item 8 is in no training history
    before = catalog(nobody)
    full, imputed = impute(before, TRAIN, {"cover": how})
    assert full.modalities["cover"] is before.modalities["cover"]
    assert not imputed["cover"].any()
    assert impute(catalog(HAS), TRAIN, {})[0].coverage == {"cover": 5 / 8}


def test_refuses_an_unknown_modality() -> None:
    with pytest.raises(UsageError, match=r"no modality 'cver' to impute; did you mean 'cover'"):
        impute(catalog(HAS), TRAIN, {"cver": "mean"})


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(1, ITEMS), min_size=1, max_size=6), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS).filter(any),
    st.integers(1, 4),
)
def test_neighbours_equal_a_loop(rows: list[list[int]], has: list[bool], k: int) -> None:
    before, train = catalog(has), log(*rows)
    full, imputed = impute(before, train, {"cover": "neighbours"}, k=k)
    for code in range(1, ITEMS + 1):
        together = {o: sum(o in row and code in row for row in rows) for o in range(1, ITEMS + 1) if has[o - 1]}
        best = sorted((o for o in together if together[o]), key=lambda o: (-together[o], o))[:k]
        assert imputed["cover"][code] == (not has[code - 1] and bool(best))
        if imputed["cover"][code]:
            np.testing.assert_allclose(vector(full, code), np.mean(best) * np.array([1, 100]), rtol=1e-6)


@pytest.mark.parametrize("how", ["mean", "neighbours"])
def test_an_experiment_imputes_from_its_training_part_alone(how: Impute, tmp_path: Path) -> None:
    """Two logs that differ in what comes for validation and test only, down to which items occur together."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "cover.npy", rng.standard_normal((20, 4)).astype("f4"))
    np.save(tmp_path / "mask.npy", np.arange(20) % 3 > 0)
    pl.DataFrame({"item": [f"i{n:02d}" for n in range(20)]}).write_csv(tmp_path / "ids.csv")
    (tmp_path / "exp.toml").write_text(
        f'[data]\npath = "events.csv"\n[modality.cover]\npath = "cover.npy"\nmask = "mask.npy"\nids = "ids.csv"\n'
        f'impute = "{how}"\n[method]\nuse = "siftrec:Popularity"\n[evaluate]\ncutoffs = [5]\n'
    )
    vectors = []
    for last in ([0, 1], [19, 18]):
        drawn = [rng.permutation(np.arange(2, 18))[:5].tolist() + last for rng in map(np.random.default_rng, range(30))]
        drawn.append([0, 1, 19, 18, *range(2, 9)])  # every item occurs in both logs
        rows = [(f"u{u}", f"i{i:02d}", t) for u, items in enumerate(drawn) for t, i in enumerate(items)]
        pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(tmp_path / "events.csv")
        prepared = config.load(tmp_path / "exp.toml").prepare()
        vectors.append(prepared.catalog.modalities["cover"].vectors(np.arange(len(prepared.catalog))))
        assert prepared.notes[f"items whose cover is imputed ({how})"] > 4
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize("how", ["mean", "neighbours"])
def test_without_gives_back_what_was_shown(how: Impute) -> None:
    """Whoever judges content must not judge what nobody saw."""
    before = catalog(HAS)
    full, imputed = impute(before, TRAIN, {"cover": how})
    plain = without(full, imputed)
    for name, aligned in before.modalities.items():
        np.testing.assert_array_equal(plain.modalities[name].present, aligned.present)
        codes = np.arange(len(before))
        np.testing.assert_array_equal(plain.modalities[name].vectors(codes), aligned.vectors(codes))
    assert full.modalities["cover"].present.sum() > before.modalities["cover"].present.sum()
