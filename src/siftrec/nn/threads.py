"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside the block, or a function it decorates, torch computes with so many threads; outside nothing has changed.

    One is what small models want: beside other work on the same processors, threads that wait for each other at every one of
    many short operations take several times as long together as one of them alone.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
