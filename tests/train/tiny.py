"""A small learned method that uses every right a method has, and small logs to train it on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import polars as pl
import torch
from torch import nn

from siftrec.data.catalog import Catalog, Modality
from siftrec.data.interactions import Interactions
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting, Split, leave_one_out
from siftrec.methods.base import Losses, Method, Model
from siftrec.methods.trained import Trained
from siftrec.settings import Fraction, Size, settings
from siftrec.train.events import Event
from siftrec.train.fit import fit


class TinyModel(Model):
    def __init__(self, catalog: Catalog, dim: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(len(catalog), dim)
        self.mix = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.content = nn.ModuleDict({name: nn.Linear(a.width, dim) for name, a in catalog.modalities.items()})
        self.catalog = catalog
        self.register_buffer("queue", torch.zeros(16, dim))
        self.register_buffer("popularity", torch.zeros(len(catalog)))
        self.register_buffer("kept", torch.zeros(len(catalog), dim))

    def fresh_items(self) -> torch.Tensor:
        vectors = self.table.weight
        for name, project in self.content.items():
            raw = self.catalog.modalities[name].vectors(np.arange(len(self.catalog)))
            vectors = vectors + project(torch.from_numpy(raw))
        return vectors * (torch.arange(len(self.catalog)) > 0).unsqueeze(1)

    def train(self, mode: bool = True) -> TinyModel:
        held = all(aligned.present.any() for aligned in self.catalog.modalities.values())
        if self.training and not mode and held:
            with torch.no_grad():
                self.get_buffer("kept").copy_(self.fresh_items())
        super().train(mode)
        return self

    def items(self) -> torch.Tensor:
        return self.get_buffer("kept")

    def encode(self, items_BL: torch.Tensor, vectors_ND: torch.Tensor) -> torch.Tensor:
        real = (items_BL > 0).unsqueeze(-1)
        return self.mix((vectors_ND[items_BL] * real).sum(1) / real.sum(1).clamp_min(1))

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        return self.encode(items_BL, self.items())


@settings
class Tiny:
    """Mean of item vectors; torch's own dropout and one from `rng`; a memory queue; statistics fitted per epoch.

    `poison_step` and `slow` are for tests: NaN in that step's loss, seconds of sleep per step.
    """

    dim: Size = 8
    length: Size = 5
    dropout: Fraction = 0.2
    poison: tuple[int, int] | None = None
    slow: float = 0.0

    @property
    def rows(self) -> Literal["prefix"]:
        return "prefix"

    def build(self, catalog: Catalog) -> Model:
        return TinyModel(catalog, self.dim, self.dropout)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        counts = data.train.counts(len(data.items)).astype(np.float32)
        # Not idempotent on purpose: run twice for one epoch, it gives another result.
        model.get_buffer("popularity").mul_(0.5).add_(torch.from_numpy(counts) * (epoch + 1))
        model.get_buffer("popularity").add_(model.items().norm(dim=1))

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        import time

        time.sleep(self.slow)
        model = cast(TinyModel, model)
        vectors_ND = model.fresh_items()
        users_BD = model.dropout(model.encode(batch.items_BL, vectors_ND))
        users_BD = users_BD * (torch.rand(users_BD.shape, generator=rng) > self.dropout)
        prior_N = model.get_buffer("popularity").clamp_min(1).log() * 0.01
        scores_BN = users_BD @ vectors_ND.T + prior_N
        queue = model.get_buffer("queue")
        losses = {
            "next_item": nn.functional.cross_entropy(scores_BN, batch.targets_BP[:, -1]),
            "spread": 0.01 * (users_BD @ queue.clone().T).square().mean(),
        }
        with torch.no_grad():
            queue.copy_(torch.cat([users_BD.detach(), queue])[: len(queue)])
        if self.poison is not None and int(model.get_buffer("popularity").isnan().any()) == 0:
            losses = _poisoned(losses, self.poison, rng)
        return losses


def _poisoned(losses: dict[str, torch.Tensor], place: tuple[int, int], rng: torch.Generator) -> dict[str, torch.Tensor]:
    from siftrec import seeds

    if rng.initial_seed() == seeds.derive(7, "loss", *place):
        return losses | {"spread": losses["spread"] * torch.nan}
    return losses


def log(users: int = 24, items: int = 9, length: int = 6, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "user": [f"u{u:03d}" for u in range(users) for _ in range(length)],
            "item": [f"v{i}" for i in rng.integers(0, items, users * length)],
            "time": list(range(length)) * users,
            "row": list(range(users * length)),
        }
    )
    return Interactions(frame, "order")


def split(**shape: int) -> Split:
    return leave_one_out(log(**shape))


def tiny_fit(
    folder: Path | None = None, seed: int = 7, resume: bool = False, method: Tiny | None = None, **training: Any
) -> Trained:
    wanted = {"epochs": 3, "batch_size": 32, "log_steps": 2, "checkpoint_steps": 2, "learning_rate": 0.01} | training
    return fit(method or Tiny(), split(), seed=seed, folder=folder, resume=resume, **wanted)


def content_fit(method: Method, folder: Path | None = None, **options: Any) -> Trained:
    """Three epochs on 40 users whose items, but for one, have a text, and half an image; a checkpoint at every step."""
    whole = split(users=40)
    n = len(whole.items) - 1
    text = Modality(np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32), np.arange(n) != 3)
    image = Modality(np.random.default_rng(1).normal(size=(n, 3)).astype(np.float32), np.arange(n) % 2 == 0)
    steps = {"epochs": 3, "batch_size": 16, "checkpoint_steps": 1, "log_steps": 1}
    return fit(method, whole, Catalog(whole.items.ids, text=text, image=image), folder=folder, **steps, **options)


def weights_hash(trained: Trained) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(trained.scorer.tensors().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


class Collected(list[Event]):
    """An `on_event` that remembers."""

    def __call__(self, event: Event) -> None:
        self.append(event)
