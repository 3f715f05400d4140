"""FREEDOM (Zhou & Shen, ACM MM 2023), with users made of their items: a frozen graph by content, a pruned one by users.

docs/methods/opponents.md says what is simpler than in the paper.
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import nn

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError
from siftrec.methods import counts, itemgraph
from siftrec.methods.base import Losses, Model
from siftrec.methods.itemgraph import Links
from siftrec.methods.model import SequenceModel
from siftrec.methods.pairs import Sampling, Summed, counted, drawn_by, fresh, pair_losses, power_of
from siftrec.modality.features import Features
from siftrec.modality.standard import kept_widths
from siftrec.nn.losses.softmax import Negatives
from siftrec.nn.towers import ItemTower
from siftrec.settings import Fraction, Rate, Size, Weight, settings


class GraphTower(nn.Module):
    """Item vector = ½ (h + P h) + S h: id embeddings h, two steps P over users, one step S over like content.

    While training P is that of the pruned graph, later that of the whole. An item that training has never seen is the mean
    of its neighbours by content.

    Args:
        size: N.
        dim: D.
        common: K − 1, other items of each row of P.
        alike: neighbours of each row of S.
        scale: expected norm of a fresh embedding.
    """

    def __init__(self, size: int, dim: int, common: int, alike: int, scale: float) -> None:
        super().__init__()
        self.ids = nn.Embedding(size, dim, padding_idx=0)
        fresh(self.ids, scale)
        for name, width in (("pruned", common + 1), ("whole", common + 1), ("alike", alike)):
            self.register_buffer(f"{name}_codes", torch.zeros(size, width, dtype=torch.int64))
            self.register_buffer(f"{name}_weights", torch.zeros(size, width))

    def set(self, name: str, links: Links) -> None:
        """Take over a graph, `pruned`, `whole` or `alike`; where it has fewer neighbours the rest stays without weight."""
        for part, values in zip(("codes", "weights"), links, strict=True):
            self.get_buffer(f"{name}_{part}").zero_()[:, : values.shape[1]] = values

    def forward(
        self, codes_n: torch.Tensor, content_nF: torch.Tensor, known_n: torch.Tensor | None = None
    ) -> torch.Tensor:
        """vectors_nD of items; see `ItemTower.forward`: content is in the graph, and who is known too."""
        names = ("pruned" if self.training else "whole", "alike")
        codes, weights = (
            torch.cat([self.get_buffer(f"{name}_{part}")[codes_n] for name in names], dim=1)
            for part in ("codes", "weights")
        )
        return nn.functional.embedding_bag(codes, self.ids.weight, mode="sum", per_sample_weights=weights)


class Contents(nn.Module):
    """Standardised content and its map to the space of item vectors."""

    def __init__(self, catalog: Catalog, dim: int, scale: float) -> None:
        super().__init__()
        self.features = Features(catalog)
        self.tower = ItemTower(kept_widths(catalog), dim, 0, scale)

    def forward(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(X, M, D) mapped content of items, and (X, M) whether they have it."""
        distinct, place_X = codes.unique(return_inverse=True)
        mapped_nMD = self.tower.mapped(self.features.standardised(distinct))
        present_NM = torch.stack(list(self.features.present.values()), dim=1)
        return nn.functional.embedding(place_X, mapped_nMD.flatten(1)).unflatten(1, mapped_nMD.shape[1:]), present_NM[
            codes
        ]


@settings
class FREEDOM:
    """Light graph convolution of item embeddings over two graphs, ranking pairs of a target and an item not had.

    Recommendations are for histories never seen, so there is no table of users: a user is the sum of the convolved vectors
    of the items had, over T^α; and in the graph of users and items only items start with a vector, so that two steps lead
    from items to items.

    Attributes:
        dim: D.
        length: L, how many of the last items make up the user.
        normaliser: α; 0 = the sum of the items' vectors, 1 = their mean.
        scale: expected norm of a fresh embedding.
        alike: k, nearest items by each modality.
        common: how many of the strongest other items two steps over users lead to.
        prune: share of the edges between users and items that is left out, drawn anew each epoch (the paper: .8 or .9).
        weight: λ of the loss of content alone: pairs by what the modalities of the items say, each mapped by itself.
        negatives: shared distinct negatives per batch.
        sampling: how negatives are drawn; `popularity` is popularity^.75.
        l2: weight of the squared norms, as in `BPRMF`.
    """

    dim: Size = 64
    length: Size = 50
    normaliser: Fraction = 0.5
    scale: Rate = 1.0
    alike: Size = 10
    common: Size = 20
    prune: Fraction = 0.8
    weight: Weight = 1e-3
    negatives: Size = 1024
    sampling: Sampling = "uniform"
    l2: Weight = 0.01
    rows: ClassVar[Literal["prefix"]] = "prefix"

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`; the model keeps its graphs, so items cannot be added to it."""
        if not catalog.modalities:
            raise SettingsError("method.use", "FREEDOM reads content, and the catalog has none; BPRMF does without")
        alike = self.alike * len(catalog.modalities)
        # Without a gate a tower is asked for nothing but the vectors of items.
        tower = cast(ItemTower, GraphTower(len(catalog), self.dim, self.common, alike, self.scale))
        contents = Contents(catalog, self.dim, self.scale)
        return SequenceModel(Catalog(catalog.vocab.ids), tower, Summed(self.normaliser), self.dim, contents)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`: the frozen graphs once, the pruned one before every epoch."""
        model = cast(SequenceModel, model)
        tower, features = cast(GraphTower, cast(nn.Module, model.tower)), cast(Contents, model.extra).features
        if epoch == 0:
            model.count(data)
            features.fit(model.get_buffer("popularity"))
            tower.set("alike", itemgraph.by_content(features, model.get_buffer("popularity") > 0, self.alike))
        edges = counts.interaction_matrix(data.train, len(data.items))
        known_N1 = (model.get_buffer("popularity") > 0).unsqueeze(1).float()
        less = itemgraph.pruned(edges, self.prune, seeds.rng(seed, "edges", epoch))
        for name, graph in (("whole", edges), ("pruned", less)) if epoch == 0 else (("pruned", less),):
            links = itemgraph.by_users(graph, self.common)
            links.weights_NK[:, :1] += known_N1
            tower.set(name, links._replace(weights_NK=links.weights_NK / 2))

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        model = cast(SequenceModel, model)
        drawn = drawn_by(model.get_buffer("popularity"), self.negatives, power_of(self.sampling), rng)
        targets_B, weights_B = batch.targets_BP[:, -1], batch.weights_BP[:, -1]
        local = model.local(batch.items_BL, targets_B, drawn.items_K)
        users_BD = model.encoder(local(batch.items_BL), batch.items_BL > 0, rng)
        counted_BK = counted(batch, drawn, len(model.items()))
        losses = pair_losses(users_BD, local(targets_B), local(drawn.items_K), counted_BK, weights_B, self.l2)
        if not self.weight:
            return losses
        content = self._content(cast(Contents, model.extra), users_BD, batch, drawn, counted_BK)
        return {**losses, "content": self.weight * content}

    def _content(
        self, contents: Contents, users_BD: torch.Tensor, batch: Batch, drawn: Negatives, counted_BK: torch.Tensor
    ) -> torch.Tensor:
        targets_B, weights_B = batch.targets_BP[:, -1], batch.weights_BP[:, -1]
        (targets_BMD, has_BM), (negatives_KMD, has_KM) = contents(targets_B), contents(drawn.items_K)
        each = [
            pair_losses(
                users_BD,
                targets_BMD[:, m],
                negatives_KMD[:, m],
                counted_BK & has_KM[:, m],
                weights_B * has_BM[:, m],
                0.0,
            )["pairs"]
            for m in range(targets_BMD.shape[1])
        ]
        return torch.stack(each).sum()
