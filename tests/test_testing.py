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
from siftrec.errors import UsageError
from siftrec.methods.base import Losses, Model, Scorer
from siftrec.methods.popularity import Popularity
from siftrec.settings import settings
from siftrec.testing import check_method, check_reader
from train.tiny import split

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
    "padding": (
        lambda s, i: s * i.shape[1],
        "padding matters; it stands on the left, .*encoders.first_columns moves it",
    ),
    "empty": (lambda s, i: s / (i > 0).sum(dim=1, keepdim=True), "an empty history"),
    "backwards": (lambda s, i: -s, "learning"),
    "constant": (lambda s, i: s * 0, "learning"),
}


@settings
class Broken:
    """A method that breaks the promise it is named after."""

    bend: str = "none"
    weighted_targets: bool = False

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
    """Even where the test part is only counted."""
    honest = siftrec.train.fit.fit

    def leaky(method: Any, split: Split, *args: Any, **named: Any) -> Any:
        return honest(method, replace(split, role=np.zeros_like(split.role)), *args, **named)

    monkeypatch.setattr(siftrec.train.fit, "fit", leaky)
    with pytest.raises(AssertionError, match="leak"):
        check_method(Popularity())


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


WRONG: dict[str, Callable[[torch.Tensor], Any]] = {
    "shape": lambda part: {"next": part[None]},
    "tensor": lambda part: part,
    "none": lambda part: {},
    "number": lambda part: {"next": 0.5},
}


@settings
class Learner:
    """The smallest learned method; `fault` breaks one promise."""

    fault: str = ""
    length: int = 20
    weighted_targets: bool = True

    @property
    def rows(self) -> str:
        return "prefix"

    def build(self, catalog: Catalog) -> Model:
        model = Table(len(catalog))
        if self.fault == "seed":
            torch.nn.init.ones_(model.table)
        if self.fault == "long":
            torch.nn.init.normal_(model.table, std=20.0)
        return torch.nn.Linear(1, 1) if self.fault == "module" else model  # type: ignore[return-value]

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        if self.fault == "fussy" and data.train.weights is not None:
            model.get_parameter("table").data.mul_(1.1)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        targets = batch.targets_BP[:, -1]
        logits = model.users(batch.items_BL) @ model.items().T
        each_B = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        if self.fault != "deaf":
            each_B = each_B * batch.weights_BP[:, -1]
        part = each_B.mean()
        if self.fault == "seed":
            return {"size": model.items().square().mean()}
        if self.fault in WRONG:
            return WRONG[self.fault](part)
        if self.fault == "nan":
            return {"next": part, "bad": part * torch.tensor(torch.nan)}
        return {"next": part}


def test_accepts_the_smallest_learned_method() -> None:
    check_method(Learner())


def test_notices_a_seed_that_does_nothing() -> None:
    with pytest.raises(AssertionError, match="another seed gives the same"):
        check_method(Learner(fault="seed", weighted_targets=False))


def test_notices_weights_that_change_nothing() -> None:
    """Whoever trains on what `siftrec sift` wrote would get the model of the log as it was, and no word of it."""
    with pytest.raises(
        AssertionError, match=r"weights: .*multiply .* by batch\.weights_BP, or say weighted_targets = F"
    ):
        check_method(Learner(fault="deaf"))
    check_method(Learner(fault="deaf", weighted_targets=False))


def test_notices_a_counted_method_that_counts_whatever_the_weights() -> None:
    """Its author would be told that the contract is kept, and every sifted log would be counted as if it were not."""
    with pytest.raises(AssertionError, match=r"weights: .*count by train\.weights .*or say weighted_targets = False"):
        check_method(Broken(weighted_targets=True))


def test_says_how_it_trained_where_nothing_was_learned() -> None:
    """Whose method learns elsewhere would look for a fault where fresh vectors are too long for so short a training."""
    with pytest.raises(AssertionError, match=r"learning: .*after 4 epochs .* batches of 32, .*std = dim \*\* -0\.5"):
        check_method(Learner(fault="long"))


def test_notices_weights_of_one_that_change_something() -> None:
    with pytest.raises(AssertionError, match="whose weights are all 1 gives another"):
        check_method(Learner(fault="fussy"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shape", r"loss: part 'next' has shape \(1,\) where a scalar is due"),
        ("nan", "loss: part 'bad' is nan"),
        ("tensor", "loss must give a mapping of named scalars, .* not a Tensor"),
        ("none", "loss must give a mapping of named scalars, .* not none"),
        ("number", "loss: part 'next' has a float where a scalar is due"),
        ("module", "build: gives Linear, which is not a siftrec.methods.base.Model"),
    ],
)
def test_notices_a_broken_loss(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=f"^{message}"):
        check_method(Learner(fault=fault))


@settings
class NoStart:
    """A learned method whose author has not heard of `start_epoch`."""

    length: int = 20
    rows: str = "prefix"

    def build(self, catalog: Catalog) -> Model:
        return Table(len(catalog))

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        return {}


class Unset:
    """A method without `@settings`."""

    length = 1

    def fit(self, data: Fitting) -> Scorer:
        return Popularity().fit(data)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> Scorer:
        return Popularity().restore(tensors)


@settings
class Scoreless:
    """Fits something that is no scorer."""

    length: int = 1

    def fit(self, data: Fitting) -> Any:
        return object()

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> Any:
        return object()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (NoStart(), r"NoStart is neither Learned \(lacks start_epoch\) nor Counted \(lacks fit, restore\)"),
        (Popularity, r"Popularity is a class; give its settings, Popularity\(\)"),
        (Unset(), "Unset is not a settings class; put @settings of siftrec.settings above it"),
        (3, r"int is neither Learned \(lacks length, rows, build, start_epoch, loss\) nor Counted \(lacks length, fit"),
    ],
)
def test_what_is_no_method_is_told_what_it_lacks(method: Any, message: str) -> None:
    """The commonest slips of who writes a first method; an AttributeError from within names nothing they wrote."""
    with pytest.raises(AssertionError, match=f"^method: {message}"):
        check_method(method)
    with pytest.raises(UsageError, match=f"^method: {message}"):
        siftrec.train.fit.fit(method, split())


def test_what_a_counted_method_fits_is_a_scorer() -> None:
    with pytest.raises(AssertionError, match=r"^fit of Scoreless: object is no Scorer \(lacks scores, tensors\)"):
        check_method(Scoreless())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("tensor", "loss must give a mapping of named scalars"),
        ("shape", "loss: part 'next' has shape"),
        ("module", "build gives Linear, which is not a siftrec"),
    ],
)
def test_training_names_what_a_method_breaks(fault: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        siftrec.train.fit.fit(Learner(fault=fault), split(), metric="ndcg@3")


GOOD = pl.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "time": [1, 2, 1], "row": [0, 1, 2]})
BAD: dict[str, tuple[pl.DataFrame, str]] = {
    "empty": (GOOD.head(0), "no interaction"),
    "null": (GOOD.with_columns(item=pl.Series(["x", None, "x"])), "nulls in item"),
    "kind": (GOOD.with_columns(pl.col("time").cast(pl.Float64)), "time is Float64"),
    "ids": (GOOD.with_columns(user=pl.Series([0.5, 0.5, 1.5])), "user is Float64"),
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
