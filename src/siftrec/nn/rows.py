"""Rows of a table by index, with a gradient that is the same for any number of threads."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F  # noqa: N812  the usual name


def rows_of(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The rows `table[index]`, of the shape of `index` and a row together.

    The gradient of plain indexing adds up repeated rows in whatever order threads arrive at them.
    """
    if not table.is_floating_point():
        return table[index]
    shape = table.shape[1:]
    return F.embedding(index, table.reshape(len(table), math.prod(shape))).view(*index.shape, *shape)
