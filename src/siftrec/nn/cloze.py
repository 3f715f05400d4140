"""How much likelier an item is beside the rest of a history than by its popularity alone.

The rest of a history says what belongs between its interactions; the logarithm of p(item | rest) / p(item) is the
pointwise mutual information (PMI). Noise drawn by popularity knows nothing of the rest: its expected ratio is 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

LONGEST = 20


class Logits(NamedTuple):
    """What the rest of each history says of items.

    Attributes:
        own_BL: of the interaction that is there.
        background_BLK: of the background items in its place.
        judged_BL: whether anything could speak: another interaction with another item.
    """

    own_BL: torch.Tensor
    background_BLK: torch.Tensor
    judged_BL: torch.Tensor


class Cloze(nn.Module):
    """Leave-one-out model: h_t = c + MLP(c), c = Σ_{u≠t} softmax_u(bias of the distance u − t) b_u; logit ⟨h_t, a_i⟩ + β_i.

    a and b are two vectors of an item, as what is asked about and as what speaks: an embedding plus a map of its content.
    Interactions with the same item do not speak for each other.

    Args:
        size: N.
        content: G, width of the content vectors; 0 = none.
        dim: D.
        rate: dropout of the embeddings, which would learn single users by heart.
    """

    def __init__(self, size: int, content: int, dim: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.asked, self.speaks = nn.Embedding(size, dim), nn.Embedding(size, dim)
        for table in (self.asked, self.speaks):
            nn.init.normal_(table.weight, std=0.5 / dim**0.5)
        self.content_asked = nn.Linear(content, dim, bias=False) if content else None
        self.content_speaks = nn.Linear(content, dim, bias=False) if content else None
        if self.content_asked is not None and self.content_speaks is not None:
            self.content_speaks.weight.data.copy_(self.content_asked.weight.data)
        self.bias = nn.Parameter(torch.zeros(size))
        self.distance = nn.Parameter(torch.zeros(2 * LONGEST + 1))
        self.scale = nn.Parameter(torch.ones(LONGEST + 1))
        self.wide, self.back = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, items_BL: torch.Tensor, background_K: torch.Tensor, content_NG: torch.Tensor) -> Logits:
        """See `Logits`.

        Args:
            items_BL: histories of at most 20, 0 = padding.
            background_K: item codes.
            content_NG: content vectors of the catalog.
        """
        real_BL = items_BL > 0
        differ_BLL = (items_BL.unsqueeze(2) != items_BL.unsqueeze(1)) & real_BL.unsqueeze(1) & real_BL.unsqueeze(2)
        place_L = torch.arange(items_BL.shape[1])
        near_LL = self.distance[place_L - place_L.unsqueeze(1) + LONGEST]
        share_BLL = torch.softmax(near_LL.masked_fill(~differ_BLL, -1e9), dim=2) * differ_BLL
        rest_BLD = share_BLL @ self._vectors(self.speaks, self.content_speaks, items_BL, content_NG)
        rest_BLD = rest_BLD + self.back(F.gelu(self.wide(rest_BLD)))
        rest_BLD = rest_BLD * self.scale[differ_BLL.sum(dim=2).clamp_max(LONGEST)].unsqueeze(2)
        own_BLD = self._vectors(self.asked, self.content_asked, items_BL, content_NG)
        other_KD = self._vectors(self.asked, self.content_asked, background_K, content_NG)
        own_BL = (rest_BLD * own_BLD).sum(dim=2) + self.bias[items_BL]
        return Logits(own_BL, rest_BLD @ other_KD.T + self.bias[background_K], differ_BLL.any(dim=2))

    def _vectors(
        self, table: nn.Embedding, content: nn.Linear | None, codes: torch.Tensor, content_NG: torch.Tensor
    ) -> torch.Tensor:
        learned: torch.Tensor = F.dropout(table(codes), self.rate, self.training)
        return learned if content is None else learned + content(content_NG[codes])

    def information(self, items_BL: torch.Tensor, background_K: torch.Tensor, content_NG: torch.Tensor) -> torch.Tensor:
        """PMI_BL in nats: logit minus the log-mean of e^logit over popularity-drawn items; 0 where nothing speaks."""
        found: Logits = self(items_BL, background_K, content_NG)
        chance_BL = torch.logsumexp(found.background_BLK, dim=2) - torch.log(torch.tensor(float(len(background_K))))
        return torch.where(found.judged_BL, found.own_BL - chance_BL, 0.0)

    def loss(
        self,
        items_BL: torch.Tensor,
        background_K: torch.Tensor,
        content_NG: torch.Tensor,
        weights_BL: torch.Tensor,
    ) -> torch.Tensor:
        """Softmax of what is there against popularity-drawn items, uncorrected, so that logits become PMI up to a constant.

        Args:
            items_BL: see `forward`.
            background_K: drawn by popularity, anew at each step.
            content_NG: see `forward`.
            weights_BL: of each interaction.
        """
        found: Logits = self(items_BL, background_K, content_NG)
        hit_BLK = items_BL.unsqueeze(2) == background_K
        against_BL = torch.logsumexp(found.background_BLK.masked_fill(hit_BLK, -torch.inf), dim=2)
        part_BL = torch.logaddexp(found.own_BL, against_BL) - found.own_BL
        weights_BL = weights_BL * found.judged_BL
        mean: torch.Tensor = (part_BL * weights_BL).sum() / weights_BL.sum().clamp_min(1)
        return mean
