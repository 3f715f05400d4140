import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siftrec.nn.topk import top_k


def loop_oracle(scores: torch.Tensor, k: int) -> tuple[list[list[float]], list[list[int]]]:
    values, codes = [], []
    for row in scores.tolist():
        best = sorted(range(len(row)), key=lambda column: (-row[column], column))[:k]
        values.append([row[column] for column in best])
        codes.append([column if row[column] > -float("inf") else 0 for column in best])
    return values, codes


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 6), width=st.integers(1, 40), levels=st.integers(1, 30))
def test_equals_a_full_sort_by_score_then_column(seed: int, rows: int, width: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(0, levels, (rows, width)).astype(np.float32))
    scores[torch.from_numpy(rng.random((rows, width)) < 0.2)] = -torch.inf
    for k in {1, max(1, width // 2), width}:
        values, codes = top_k(scores, k)
        expected_values, expected_codes = loop_oracle(scores, k)
        assert values.tolist() == expected_values
        assert codes.tolist() == expected_codes


def test_constant_scores_give_the_first_columns_in_order() -> None:
    _, codes = top_k(torch.full((3, 5000), 0.25), 7)
    assert codes.tolist() == [list(range(7))] * 3


def test_a_tie_across_the_boundary_goes_to_the_lower_column() -> None:
    values, codes = top_k(torch.tensor([[1.0, 5.0, 3.0, 3.0, 3.0, 0.0]]), 2)
    assert codes.tolist() == [[1, 2]]
    assert values.tolist() == [[5.0, 3.0]]


def test_a_tie_above_the_boundary_is_ordered_by_column() -> None:
    _, codes = top_k(torch.tensor([[9.0, 1.0, 9.0, 0.5, 9.0, 1.0]]), 4)
    assert codes.tolist() == [[0, 2, 4, 1]]


def test_rows_of_minus_infinity_choose_nothing() -> None:
    scores = torch.full((2, 4), -torch.inf)
    scores[1, 3] = -2.0
    values, codes = top_k(scores, 3)
    assert values.tolist() == [[-torch.inf] * 3, [-2.0, -torch.inf, -torch.inf]]
    assert codes.tolist() == [[0, 0, 0], [3, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_input_is_left_alone(dtype: torch.dtype) -> None:
    scores = torch.tensor([[2.0, 2.0, 1.0], [0.0, 3.0, 3.0]], dtype=dtype)
    before = scores.clone()
    top_k(scores, 1)
    assert torch.equal(scores, before)
