"""Rows of tables: by index, with a gradient that is the same for any number of threads; and more of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

M = TypeVar("M", bound=nn.Module)


def rows_of(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The rows `table[index]`, of the shape of `index` and a row together.

    The gradient of plain indexing adds up repeated rows in whatever order threads arrive at them.
    """
    if not table.is_floating_point():
        return table[index]
    shape = table.shape[1:]
    return F.embedding(index, table.reshape(len(table), math.prod(shape))).view(*index.shape, *shape)


def products(table_ND: torch.Tensor, codes_BC: torch.Tensor, vectors_BD: torch.Tensor) -> torch.Tensor:
    """products_BC of each vector with the rows of its own codes, without gradient.

    Several times faster than indexing and a batched product: both are slow for a matrix and a vector.
    """
    return rows_of(table_ND, codes_BC).mul_(vectors_BD.unsqueeze(1)).sum(dim=2)


def with_rows(module: M, names: Collection[str], count: int) -> M:
    """A copy of a module that shares everything with it but some tables, which have `count` more rows, of zeros.

    Args:
        module: stays as it is.
        names: of the buffers to copy, whose first dimension are rows.
        count: of rows.
    """
    wider = copy.copy(module)
    for store in ("_parameters", "_buffers", "_modules"):
        setattr(wider, store, dict(getattr(module, store)))
    for name in names:
        table = module.get_buffer(name)
        setattr(wider, name, torch.cat([table, table.new_zeros(count, *table.shape[1:])]))
    return wider
