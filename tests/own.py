"""Code that somebody keeps beside their experiment: methods and a split of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

METHODS = '''
from siftrec import SASRec, LeaveOneOut
from siftrec.settings import settings

@settings
class Mine:
    """SASRec, small, as a method of one's own."""
    dim: int = 8
    length: int = 6
    rows = "sequence"

    def build(self, catalog):
        return SASRec(dim=self.dim, length=self.length).build(catalog)

    def start_epoch(self, model, data, epoch, seed):
        SASRec(dim=self.dim, length=self.length).start_epoch(model, data, epoch, seed)

    def loss(self, model, batch, rng):
        return SASRec(dim=self.dim, length=self.length).loss(model, batch, rng)

@settings
class Last:
    """Leave-one-out by another name."""
    leaks_time = True

    def __call__(self, events):
        return LeaveOneOut()(events)
'''


@contextmanager
def beside(folder: Path, **modules: str) -> Iterator[None]:
    """Work in a folder that holds these modules; afterwards Python has forgotten all that it found there."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(folder))])
        yield
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
            del sys.modules[name]
