"""Raw ids and codes."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftrec.data.vocab import Vocab
from siftrec.errors import DataError

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5)
columns = st.lists(texts, min_size=1, max_size=20) | st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20)


@given(columns)
def test_codes_follow_the_sorted_order_and_decode_back(ids):
    series = pl.Series(ids)
    vocab = Vocab.of(series)
    assert vocab.ids.to_list() == sorted(set(ids))
    codes = vocab.encode(series)
    assert codes.dtype == np.int32
    assert codes.tolist() == [1 + sorted(set(ids)).index(one) for one in ids]
    assert vocab.decode(codes).to_list() == ids
    assert len(vocab) == len(set(ids)) + 1


@given(columns, st.randoms())
def test_fingerprint_depends_on_the_set_of_ids_alone(ids, random):
    shuffled = random.sample(ids, len(ids))
    assert Vocab.of(pl.Series(ids)) == Vocab.of(pl.Series(shuffled))
    other = max(ids) + (1 if isinstance(ids[0], int) else "x")
    assert Vocab.of(pl.Series([*ids, other])) != Vocab.of(pl.Series(ids))


def test_the_type_is_part_of_a_vocabulary():
    assert Vocab.of(pl.Series([1, 2])) != Vocab.of(pl.Series(["1", "2"]))


def test_unknown_ids_are_refused_unless_asked():
    vocab = Vocab.of(pl.Series(["a", "b"]))
    assert vocab.encode(pl.Series(["b", "zzz", None]), unknown=0).tolist() == [2, 0, 0]
    with pytest.raises(DataError, match="id 'zzz' is not in the catalog of 2 ids"):
        vocab.encode(pl.Series(["b", "zzz"]))


def test_ids_of_another_type_match_only_where_the_cast_is_exact():
    numbers = Vocab.of(pl.Series([7, 9]))
    assert numbers.encode(pl.Series(["7", "007", "9", "x", "7.0"]), unknown=0).tolist() == [1, 0, 2, 0, 0]
    assert numbers.encode(pl.Series([7.0, 7.5]), unknown=0).tolist() == [1, 0]
    assert Vocab.of(pl.Series(["7", "07"])).encode(pl.Series([7, 8]), unknown=0).tolist() == [2, 0]
    assert numbers.encode(pl.Series([], dtype=pl.Null), unknown=0).tolist() == []
