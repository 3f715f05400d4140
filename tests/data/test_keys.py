import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siftrec.data.keys import distinct_keys


@given(st.lists(st.integers(-5, 5)), st.sampled_from([np.int32, np.int64]))
def test_distinct_keys_are_those_of_a_set_in_order(keys: list[int], kind: type[np.generic]) -> None:
    """Ranking takes each row's items once: one too many is counted twice, one too few is recommended again."""
    assert distinct_keys(np.array(keys, kind)).tolist() == sorted(set(keys))


def test_a_table_of_keys_is_read_as_a_whole() -> None:
    assert distinct_keys(np.array([[3, 1], [1, 2]])).tolist() == [1, 2, 3]
