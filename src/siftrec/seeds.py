"""One seed, many independent named generators.

Every random decision names itself: `generator(7, "views", epoch, step)`. The stream depends on the names alone, never on
what was drawn before, so a resumed run needs no saved generator state and adding a new consumer changes no old one.
This is the only file that may touch torch's global generator, and it puts it back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Name = str | int


def derive(seed: int, *names: Name) -> int:
    """A 63-bit seed for the stream called `names`, by SHA-256 of the seed and the names."""
    text = "\x1f".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def rng(seed: int, *names: Name) -> np.random.Generator:
    """NumPy generator of the stream called `names`."""
    return np.random.default_rng(derive(seed, *names))


def generator(seed: int, *names: Name) -> torch.Generator:
    """Torch CPU generator of the stream called `names`."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *names))


@contextmanager
def initialised(seed: int, *names: Name) -> Iterator[None]:
    """Inside the block, torch's own layers initialise from the stream called `names`; outside, nothing has changed."""
    import torch

    # Not `torch.manual_seed`: it also tells every accelerator, which takes twenty times as long, and fits draw on the CPU.
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(derive(seed, *names))
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
