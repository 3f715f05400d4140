"""The contract tests accept what keeps the contract and name the promise that is broken."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import siftrec.train.fit
from siftrec.data.catalog import Catalog
from siftrec.data.interactions import Interactions
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting, Split
from siftrec.methods.base import Losses, Model, Scorer
from siftrec.methods.popularity import Popularity
from siftrec.settings import settings
from siftrec.testing import check_method, check_reader

Bend = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
CALLS = itertools.count()


@dataclass(frozen=True)
class Bent:
    """A popularity scorer whose answers `bend` changes: (scores_BN, items_BL) → scores_BN."""

    share_N: torch.Tensor
    bend: Bend

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        return self.bend(self.share_N.expand(len(items_BL), -1).clone(), items_BL)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"share": self.share_N}


BENDS: dict[str, tuple[Bend, str]] = {
    "shape": (lambda s, i: s[:, 1:], "shape"),
    "kind": (lambda s, i: s.double(), "float32"),
    "infinite": (lambda s, i: s.index_fill(1, torch.tensor([3]), torch.inf), "infinity for a real item"),
    "nan padding": (lambda s, i: s.index_fill(1, torch.tensor([0]), torch.nan), "padding column"),
    "restless": (lambda s, i: s + next(CALLS), "asking twice"),
    "order": (lambda s, i: s * torch.arange(1, len(s) + 1)[:, None], "order of the batch"),
    "company": (lambda s, i: s * (1 + i.sum() % 7), "alone"),
    "padding": (lambda s, i: s * i.shape[1], "padding matters"),
    "empty": (lambda s, i: s / (i > 0).sum(dim=1, keepdim=True), "an empty history"),
    "backwards": (lambda s, i: -s, "learning"),
    "constant": (lambda s, i: s * 0, "learning"),
}


@settings
class Broken:
    """A method that breaks the promise it is named after."""

    bend: str = "none"

    @property
    def length(self) -> int:
        return 20

    def fit(self, data: Fitting) -> Scorer:
        counts = data.train.counts(len(data.items)).astype(np.float32)
        if self.bend == "vandal":
            data.train.items.sort()
        extra = next(CALLS) if self.bend == "seed" else 0
        return self.restore({"share": torch.from_numpy(counts) + extra})

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> Scorer:
        return Bent(tensors["share"], BENDS.get(self.bend, (lambda s, i: s, ""))[0])


@settings
class Forgetful:
    """Restores something else."""

    @property
    def length(self) -> int:
        return 1

    def fit(self, data: Fitting) -> Scorer:
        return Popularity().fit(data)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> Scorer:
        return Popularity().restore({"share": tensors["share"].flip(0)})


def test_accepts_a_method_that_keeps_the_contract() -> None:
    check_method(Broken())


@pytest.mark.parametrize("name", BENDS)
def test_names_the_broken_promise(name: str) -> None:
    with pytest.raises(AssertionError, match=BENDS[name][1]):
        check_method(Broken(bend=name))


def test_notices_an_unstable_state() -> None:
    with pytest.raises(AssertionError, match="same seed"):
        check_method(Broken(bend="seed"))


def test_notices_changed_training_data() -> None:
    with pytest.raises(AssertionError, match="in place"):
        check_method(Broken(bend="vandal"))


def test_notices_a_forgetful_restore() -> None:
    with pytest.raises(AssertionError, match="restored scorer"):
        check_method(Forgetful())


def test_notices_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = siftrec.train.fit.fit

    def leaky(method: Any, split: Split, *args: Any, **named: Any) -> Any:
        return honest(method, replace(split, role=np.zeros_like(split.role)), *args, **named)

    monkeypatch.setattr(siftrec.train.fit, "fit", leaky)
    with pytest.raises(AssertionError, match="leak"):
        check_method(Markovian())


@settings
class Markovian:
    """Counts which item ended a user's training, so that dealing the test targets anew would show."""

    @property
    def length(self) -> int:
        return 1

    def fit(self, data: Fitting) -> Scorer:
        ends = data.train.take(np.arange(0, len(data.train), 2))
        return self.restore({"share": torch.from_numpy(ends.counts(len(data.items)).astype(np.float32))})

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> Scorer:
        return Bent(tensors["share"], lambda s, i: s)


class Table(Model):
    """Item vectors; a user is the mean of theirs."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(size, 8) * 0.1)

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        real = (items_BL > 0)[..., None]
        return (self.table[items_BL] * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)

    def items(self) -> torch.Tensor:
        return self.table


@settings
class Learner:
    """The smallest learned method; `fault` breaks one promise."""

    fault: str = ""
    length: int = 20

    @property
    def rows(self) -> str:
        return "prefix"

    def build(self, catalog: Catalog) -> Model:
        model = Table(len(catalog))
        if self.fault == "seed":
            torch.nn.init.ones_(model.table)
        return model

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        pass

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        targets = batch.targets_BP[:, -1]
        logits = model.users(batch.items_BL) @ model.items().T
        if self.fault == "seed":
            logits = logits * 0
        part = torch.nn.functional.cross_entropy(logits, targets)
        if self.fault == "shape":
            return {"next": part[None]}
        if self.fault == "nan":
            return {"next": part, "bad": part * torch.tensor(torch.nan)}
        return {"next": part}


def test_accepts_the_smallest_learned_method() -> None:
    check_method(Learner())


def test_notices_a_seed_that_does_nothing() -> None:
    with pytest.raises(AssertionError, match="another seed gives the same"):
        check_method(Learner(fault="seed"))


@pytest.mark.parametrize(("fault", "message"), [("shape", "scalar is due"), ("nan", "'bad' is nan")])
def test_notices_a_broken_loss(fault: str, message: str) -> None:
    import siftrec.testing

    data = siftrec.testing._Data.planted(7)
    with pytest.raises(AssertionError, match=message):
        siftrec.testing._check_loss(Learner(fault=fault), data.catalog, data.split.fitting, 7)


GOOD = pl.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "time": [1, 2, 1], "row": [0, 1, 2]})
BAD: dict[str, tuple[pl.DataFrame, str]] = {
    "missing": (GOOD.drop("row"), "no column row"),
    "empty": (GOOD.head(0), "no interaction"),
    "null": (GOOD.with_columns(item=pl.Series(["x", None, "x"])), "nulls in item"),
    "kind": (GOOD.with_columns(pl.col("time").cast(pl.Float64)), "time is Float64"),
    "ids": (GOOD.with_columns(user=pl.Series([0.5, 0.5, 1.5])), "user is Float64"),
    "order": (GOOD.reverse(), "not ordered"),
    "row": (GOOD.with_columns(pl.col("row") - 1), "negative"),
    "label": (GOOD.with_columns(label=pl.Series([0, 1, 2])), "label"),
    "weight": (GOOD.with_columns(weight=pl.Series([0.0, 1.0, 1.5])), "weight"),
}


def test_accepts_a_reader_that_keeps_its_promises() -> None:
    check_reader(lambda path: Interactions(GOOD, "order"), "log.tsv")


@pytest.mark.parametrize("name", BAD)
def test_names_what_a_reader_breaks(name: str) -> None:
    with pytest.raises(AssertionError, match=BAD[name][1]):
        check_reader(lambda path: Interactions(BAD[name][0], "order"), Path("log.tsv"))


def test_notices_a_reader_that_changes_its_mind() -> None:
    def read(path: Path) -> Interactions:
        return Interactions(GOOD.with_columns(pl.col("time") + next(CALLS)), "order")

    with pytest.raises(AssertionError, match="twice"):
        check_reader(read, "log.tsv")
