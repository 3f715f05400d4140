"""What the methods that contrast augmented histories share: SASRec's model with a vector for masked interactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.methods.base import Losses
from siftrec.methods.model import SequenceModel, base_model
from siftrec.methods.sasrec import SASRec
from siftrec.nn.augment import MASK
from siftrec.nn.losses.contrast import info_nce

FEWEST = 2
"""A history of one interaction cannot be augmented."""


class Masked(nn.Module):
    """The vector of a masked interaction, as long as a fresh item vector is expected to be, and the epoch."""

    def __init__(self, dim: int, scale: float) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.randn(dim) * (scale / dim**0.5))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))


def masked_model(base: SASRec, catalog: Catalog) -> SequenceModel:
    """The base's model, with `Masked` beside its towers."""
    model = base_model(base, catalog)
    model.extra = Masked(base.dim, base.scale)
    return model


def augmentable(batch: Batch) -> torch.Tensor:
    """(n,) rows whose histories can be augmented."""
    return ((batch.items_BL > 0).sum(dim=1) >= FEWEST).nonzero().squeeze(1)


def viewed(model: SequenceModel, views_nW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """z_nD: unit user vectors of augmented histories.

    Args:
        model: of `masked_model`.
        views_nW: item codes, `MASK` where masked; they need not be items of the batch.
        rng: of dropout.
    """
    vector_D = cast(Masked, model.extra).vector
    views_nW = views_nW[:, int((views_nW == 0).all(dim=0).sum()) :]  # padding of all rows costs, and changes nothing
    items_nW = views_nW.clamp_min(0)
    vectors_nWD = torch.where((views_nW == MASK).unsqueeze(2), vector_D, model.local(items_nW)(items_nW))
    return F.normalize(model.encoder(vectors_nWD, views_nW != 0, rng), dim=1)


def contrasted(left_nD: torch.Tensor, right_nD: torch.Tensor, user_n: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE between two views of each history, among the other histories of the batch that are other users'."""
    return info_nce(left_nD, right_nD, user_n.unsqueeze(1) != user_n, temperature)


class Contrasting(Protocol):
    """A method that contrasts two views of every history (see `Learned` for the rest)."""

    @property
    def base(self) -> SASRec: ...
    @property
    def weight(self) -> float: ...
    @property
    def temperature(self) -> float: ...


def with_contrast(
    method: Contrasting,
    model: SequenceModel,
    batch: Batch,
    rng: torch.Generator,
    views: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> Losses:
    """The losses of the base, and the contrast of two views of the histories that can be augmented.

    Args:
        method: its settings.
        model: of `masked_model`.
        batch: rows.
        rng: of all draws.
        views: items_nL → two views_nW.
    """
    step, rows = method.base.step(model, batch, rng), augmentable(batch)
    if not len(rows):
        return step.losses
    left_nD, right_nD = viewed(model, torch.cat(views(batch.items_BL[rows])), rng).chunk(2)
    contrast = contrasted(left_nD, right_nD, batch.user_B[rows], method.temperature)
    return {**step.losses, "contrast": method.weight * contrast}
