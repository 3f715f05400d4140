import sys

import numpy as np
import polars as pl
import pytest

from siftrec.errors import DataError, EnvironmentProblem
from siftrec.modality.text import encode

TEXTS = [
    f"{kind} {number}" for kind in ("harbour at night", "knitting socks", "volcano erupts") for number in range(20)
]


def ids(count: int) -> pl.Series:
    return pl.Series("item", [f"i{i}" for i in range(count)])


def test_texts_on_one_subject_are_closest_to_each_other() -> None:
    modality = encode(TEXTS, ids(60), dim=8)
    assert modality.features.shape == (60, 8)
    cosine = modality.features @ modality.features.T
    np.fill_diagonal(cosine, -1)
    assert (cosine.argmax(axis=1) // 20 == np.arange(60) // 20).all()


def test_vectors_have_unit_length_and_a_missing_text_is_absent() -> None:
    modality = encode([None, *TEXTS, " \n"], ids(62), dim=8)
    assert modality.present.tolist() == [False, *[True] * 60, False]
    assert np.linalg.norm(modality.features[modality.present], axis=1) == pytest.approx(1, abs=1e-5)
    assert not modality.features[~modality.present].any()
    assert np.allclose(np.abs(modality.features[1:-1]), np.abs(encode(TEXTS, ids(60), dim=8).features), atol=1e-4)


def test_the_same_seed_gives_the_same_vectors() -> None:
    first, again = encode(TEXTS, ids(60), dim=4, seed=1), encode(TEXTS, ids(60), dim=4, seed=1)
    assert (first.features == again.features).all()


@pytest.mark.parametrize("texts", [["a"], ["same", "same"], ["日本", "東京 タワー", "🌋"]])
def test_small_collections_give_fewer_dimensions(texts: list[str]) -> None:
    modality = encode(texts, ids(len(texts)), dim=64)
    assert 1 <= modality.width <= 64
    assert modality.present.any()
    assert np.isfinite(modality.features).all()


def test_no_text_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="every text is empty"):
        encode(["", None, "  "], ids(3))


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'siftrec\[demo\]'"):
        encode(TEXTS, ids(60))
