"""Rows that are asked after every column: the contract notices a column that reads what it is asked for."""

from __future__ import annotations

from typing import Any, Literal, cast

import pytest
import torch
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import SequenceModel
from siftrec.methods.positions import asked, model_of
from siftrec.settings import settings
from siftrec.testing import check_method

DIM = 16
READS = r".* must read no later column: pad convolutions on the left alone"


class Convolution(nn.Module):
    """Reads three columns: up to its own, or with `ahead` up to the next."""

    def __init__(self, ahead: bool, forward: Literal["states", "mean"]) -> None:
        super().__init__()
        self.layer, self.ahead, self.gives = nn.Conv1d(DIM, DIM, 3), ahead, forward

    def states(self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        columns_BDL = (vectors_BLD * real_BL[..., None]).transpose(1, 2)
        sides = (1, 1) if self.ahead else (2, 0)
        return vectors_BLD + self.layer(nn.functional.pad(columns_BDL, sides)).transpose(1, 2)

    def forward(self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, rng: Any, trust: Any = None) -> torch.Tensor:
        if self.gives == "mean":
            return (vectors_BLD * real_BL[..., None]).sum(dim=1) / real_BL.sum(dim=1, keepdim=True).clamp_min(1)
        return self.states(vectors_BLD, real_BL, rng)[:, -1]


@settings
class Windows:
    """A sequence model asked after every column."""

    ahead: bool = False
    forward: Literal["states", "mean"] = "states"
    length: int = 20
    rows: Literal["sequence"] = "sequence"

    def build(self, catalog: Catalog) -> Model:
        return model_of(catalog, Convolution(self.ahead, self.forward), DIM, scale=1.0)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        if epoch == 0:
            cast(SequenceModel, model).count(data)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        model = cast(SequenceModel, model)
        return asked(model, batch, model.negatives(64, 5000, rng), rng).losses


class Running(Model):
    """A state is the mean of the items so far, or of the whole row."""

    def __init__(self, size: int, whole: bool) -> None:
        super().__init__()
        self.table, self.whole = nn.Parameter(torch.randn(size, DIM) * DIM**-0.5), whole

    def states(self, items_BL: torch.Tensor) -> torch.Tensor:
        real_BL1 = (items_BL > 0)[..., None]
        vectors_BLD = self.table[items_BL] * real_BL1
        means_BLD = vectors_BLD.cumsum(dim=1) / real_BL1.cumsum(dim=1).clamp_min(1)
        return means_BLD[:, -1:].expand_as(means_BLD) if self.whole else means_BLD

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        return self.states(items_BL)[:, -1]

    def items(self) -> torch.Tensor:
        return self.table


@settings
class Plain:
    """The same on a model of one's own, with a second loss that looks at whole rows, as it may."""

    whole: bool = False
    length: int = 20
    rows: Literal["sequence"] = "sequence"

    def build(self, catalog: Catalog) -> Model:
        return Running(len(catalog), self.whole)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        pass

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        model, there_BP = cast(Running, model), batch.targets_BP > 0
        logits_RN = model.states(batch.items_BL)[there_BP] @ model.items().T
        each_R = nn.functional.cross_entropy(logits_RN, batch.targets_BP[there_BP], reduction="none")
        next_item = (each_R * batch.weights_BP[there_BP]).mean()
        return {"next_item": next_item, "size": 0.01 * model.users(batch.items_BL).square().mean()}


@pytest.mark.parametrize("method", [Windows(), Plain()], ids=repr)
def test_columns_that_read_what_came_before_keep_the_contract(method: Windows | Plain) -> None:
    check_method(method)


def test_an_encoder_that_reads_what_it_is_asked_for_is_named() -> None:
    """Its validation figure would fall to a third, for training rewards copying the answer, and nothing would say why."""
    with pytest.raises(AssertionError, match=f"^states: {READS}"):
        check_method(Windows(ahead=True))


def test_a_model_of_one_s_own_that_reads_what_it_is_asked_for_is_named() -> None:
    """It has no `states` to be looked at, so its loss is: one target must not gain on another by what comes later."""
    with pytest.raises(AssertionError, match=f"^loss: {READS}"):
        check_method(Plain(whole=True))


def test_an_encoder_that_recommends_by_other_vectors_than_it_trains_is_named() -> None:
    """Its states would be trained, and users would be asked through a `forward` that nothing has trained."""
    with pytest.raises(
        AssertionError, match=r"^states: that of the last column .*let forward give states\(\.\.\.\)\[:, -1\]"
    ):
        check_method(Windows(forward="mean"))
