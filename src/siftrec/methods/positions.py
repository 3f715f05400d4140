"""Where a history is asked what came next: after every position, or after the last one; and of which model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.methods.model import History, Local, SequenceModel, Step
from siftrec.modality.standard import kept_widths
from siftrec.nn.losses.softmax import Negatives
from siftrec.nn.towers import ItemTower

Weigh = Callable[[torch.Tensor], torch.Tensor]
"""Factors of the weights of targets, (R,), from what each of them loses, (R,) without gradient."""


class Causal(Protocol):
    """An encoder whose states may each be asked what comes next."""

    def states(self, vectors_BLD: torch.Tensor, real_BL: torch.Tensor, rng: torch.Generator | None) -> torch.Tensor:
        """states_BLD after each column, each having read that column and those before it."""
        ...


def model_of(catalog: Catalog, encoder: nn.Module, dim: int, scale: float, content: bool = False) -> SequenceModel:
    """An encoder over item vectors that are id embeddings, with mapped content added where it is asked for.

    Args:
        catalog: items.
        encoder: item vectors of a history → user vector.
        dim: D.
        scale: expected norm of a fresh item vector.
        content: whether items have their content too.
    """
    tower = ItemTower(kept_widths(catalog) if content else {}, dim, len(catalog), scale)
    return SequenceModel(catalog if content else Catalog(catalog.vocab.ids), tower, encoder, dim)


def read(
    model: SequenceModel, batch: Batch, negatives: torch.Tensor, rng: torch.Generator
) -> tuple[Local, History, torch.Tensor]:
    """Encode rows: item vectors, histories, and states_BPD, each to be asked for its column of `targets_BP`.

    Args:
        model: its encoder is `Causal` where rows are windows.
        batch: rows; a target after every position, or one after the last.
        negatives: item codes of any shape whose vectors the loss needs besides.
        rng: of dropout.
    """
    local = model.local(batch.items_BL, batch.targets_BP, batch.shown_BLM, negatives)
    history = model.history(local, batch.items_BL, batch.shown_BLM)
    return local, history, states(model, history, batch, rng)


def states(model: SequenceModel, history: History, batch: Batch, rng: torch.Generator | None) -> torch.Tensor:
    """states_BPD, as of `read`; rng None: without dropout."""
    real_BL = batch.items_BL > 0
    if batch.targets_BP.shape[1] == 1:
        last_BD: torch.Tensor = model.encoder(history.vectors_BLD, real_BL, rng)
        return last_BD.unsqueeze(1)
    return cast(Causal, model.encoder).states(history.vectors_BLD, real_BL, rng)


def asked(
    model: SequenceModel, batch: Batch, drawn: Negatives, rng: torch.Generator, weigh: Weigh | None = None
) -> Step:
    """Encode rows and ask for their targets; arguments as of `read`; `weigh` None: targets count by their weights."""
    local, history, states_BPD = read(model, batch, drawn.items_K, rng)
    there_BP = batch.targets_BP > 0
    users_RD, targets_R, weights_R = states_BPD[there_BP], batch.targets_BP[there_BP], batch.weights_BP[there_BP]
    if weigh is not None:
        weights_R = weights_R * weigh(model.target_losses(local, users_RD, targets_R, drawn))
    next_item = model.next_item(local, users_RD, targets_R, weights_R, drawn)
    return Step({"next_item": next_item}, local, history, states_BPD[:, -1])
