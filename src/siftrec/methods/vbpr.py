"""VBPR: matrix factorisation that also reads content (He & McAuley, AAAI 2016), with users made of their items."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError
from siftrec.methods.base import Losses, Model
from siftrec.methods.pairs import Factors, Sampling, compared, fresh, power_of
from siftrec.modality.features import Features
from siftrec.modality.standard import kept_widths
from siftrec.nn.towers import ItemTower
from siftrec.settings import Fraction, Rate, Size, Weight, settings


class Looks(nn.Module):
    """[q_i; E x_i; β'·x_i] of items, x the standardised content; of all items kept from the last time it was trained.

    An item that training has never seen has its content alone.

    Args:
        catalog: items and modalities.
        dim: of q.
        content_dim: of E x.
        scale: expected norm of fresh q and E x, each.
    """

    weight: torch.Tensor

    def __init__(self, catalog: Catalog, dim: int, content_dim: int, scale: float) -> None:
        super().__init__()
        widths = kept_widths(catalog)
        self.ids = nn.Embedding(len(catalog), dim, padding_idx=0)
        self.project = ItemTower(widths, content_dim, 0, scale)
        self.bias = nn.Parameter(torch.zeros(sum(widths.values()), 1))
        self.features = Features(catalog)
        self.register_buffer("known", torch.ones(len(catalog), dtype=torch.bool))
        self.register_buffer("weight", torch.zeros(len(catalog), dim + content_dim + 1))
        fresh(self.ids, scale)

    def fit(self, counts_N: torch.Tensor) -> None:
        """Standardise content by what training has seen of it; `counts_N` says how often each item was."""
        self.features.fit(counts_N)
        self.get_buffer("known").copy_(counts_N > 0)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """See `Table`."""
        distinct, place = codes.unique(return_inverse=True)
        return nn.functional.embedding(place, self._of(distinct, self.ids(distinct)))

    def train(self, mode: bool = True) -> Looks:
        """Training mode; leaving it computes the vectors of all items, unless the content is not at hand (loaded model)."""
        leaving = self.training and not mode
        super().train(mode)
        if leaving and self.features.held:
            with torch.no_grad():
                for block in self.features.blocks(torch.arange(1, len(self.ids.weight))):
                    known_n1 = self.get_buffer("known")[block].unsqueeze(1)
                    self.weight[block] = self._of(block, self.ids(block) * known_n1)
        return self

    def _of(self, codes_n: torch.Tensor, ids_nD: torch.Tensor) -> torch.Tensor:
        content_nF = self.features.standardised(codes_n)
        return torch.cat([ids_nD, self.project(codes_n, content_nF), content_nF @ self.bias], dim=1)


@settings
class VBPR:
    """x_ui = ⟨u, q_i⟩ + ⟨θ_u, E x_i⟩ + β'·x_i, trained as `BPRMF` is.

    u and θ_u are both sums over the history of tables of their own: θ_u says what the user likes to see by what items were
    had, not by how these look.

    Attributes:
        dim: of u and q.
        content_dim: of θ and E x.
        length: L, how many of the last items make up the user.
        normaliser: α; 0 = the sum of the items' vectors, 1 = their mean.
        scale: expected norm of fresh vectors.
        negatives: shared distinct negatives per batch.
        sampling: how negatives are drawn; `popularity` is popularity^.75.
        l2: weight of the squared norms, as in `BPRMF`, of [u; θ_u] and of [q; E x; β'·x].
    """

    dim: Size = 32
    content_dim: Size = 32
    length: Size = 50
    normaliser: Fraction = 0.5
    scale: Rate = 1.0
    negatives: Size = 1024
    sampling: Sampling = "uniform"
    l2: Weight = 0.01
    rows: ClassVar[Literal["prefix"]] = "prefix"

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        if not catalog.modalities:
            raise SettingsError("method.use", "VBPR reads content, and the catalog has none; BPRMF does without")
        read = nn.Embedding(len(catalog), self.dim + self.content_dim, padding_idx=0)
        fresh(read, self.scale)
        return Factors(read, Looks(catalog, self.dim, self.content_dim, self.scale), self.normaliser)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        if epoch == 0:
            cast(Factors, model).count(data)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return compared(cast(Factors, model), batch, self.negatives, power_of(self.sampling), self.l2, rng)
