"""Planted logs on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from oracles import OnDisk, Oracle

from siftrec.data.readers.arrow import write
from siftrec.data.vocab import Vocab
from siftrec.synthetic import behaviours


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., OnDisk]:
    """`behaviours(...)`, written to `events.parquet`."""

    def make(**arguments: object) -> OnDisk:
        planted = behaviours("easy", seed=3, **arguments)  # type: ignore[arg-type]
        path = tmp_path / "events.parquet"
        write(planted.events, path)
        # An audit knows only the items that occur, so its codes are of these.
        codes = Vocab.of(planted.events.items).encode(planted.events.frame["item"])
        return OnDisk(planted, path, Oracle(codes, planted.noisy, []))

    return make
