"""Rows by index: what breaks here makes two runs of one seed differ."""

import pytest
import torch

from siftrec import seeds
from siftrec.nn.rows import rows_of


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3)])
def test_it_equals_plain_indexing_and_so_does_its_gradient(shape: tuple[int, ...]) -> None:
    rng = seeds.generator(1, "rows")
    table = torch.randn(shape, generator=rng).requires_grad_()
    index = torch.randint(0, 7, (4, 5), generator=rng)
    factor = torch.randn(index.shape + shape[1:], generator=rng)
    found = [torch.autograd.grad((rows * factor).sum(), table)[0] for rows in (rows_of(table, index), table[index])]
    assert torch.equal(rows_of(table, index), table[index])
    torch.testing.assert_close(*found)
    assert torch.equal(rows_of(table.detach() > 0, index), table[index] > 0)
