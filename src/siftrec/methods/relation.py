"""What CCL4Rec knows about how items relate: geometry, hubs, calibration, the memory queue. Saved with the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import nn

from siftrec.data.sequences import Sequences
from siftrec.detectors.content import DIRECTIONS, principal
from siftrec.methods.contrast import Head
from siftrec.methods.model import SequenceModel
from siftrec.nn.importance import (
    NEIGHBOUR_CAP,
    Geometry,
    agreement,
    calibrated,
    calibration,
    geometry,
    hubness,
)

WINDOW = 20
_HUB_BACKGROUND = 256
_HISTORIES = 2048
_BLOCK = 256
_BACKGROUND = 8


class Relation(nn.Module):
    """Geometry of standardised content (its 64 principal directions) blended with learned item vectors.

    Args:
        size: N.
        names: of the modalities.
        dim: D of the learned item vectors.
        queue: length of the memory queue.
        head: of the contrastive losses.
    """

    def __init__(self, size: int, names: Iterable[str], dim: int, queue: int, head: Head) -> None:
        super().__init__()
        self.names = list(names)
        self.head = head
        self.register_buffer("content", torch.zeros(len(self.names), size, DIRECTIONS))
        self.register_buffer("learned", torch.zeros(size, dim))
        self.register_buffer("blend", torch.zeros(()))
        self.register_buffer("hub", torch.zeros(size))
        self.register_buffer("mean", torch.zeros(NEIGHBOUR_CAP + 1))
        self.register_buffer("deviation", torch.ones(NEIGHBOUR_CAP + 1))
        self.register_buffer("queue", torch.zeros(queue, dtype=torch.int64))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self._space: Geometry | None = None
        self.register_load_state_dict_post_hook(_forget_space)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def begin(self, model: SequenceModel, rng: torch.Generator) -> None:
        """Project the content onto its principal directions, and fill the queue with popularity-drawn items."""
        content_MNG = principal(model.features, model.get_buffer("popularity"))
        self.get_buffer("content").copy_(content_MNG)
        self.get_buffer("queue").copy_(self._popular(model, len(self.get_buffer("queue")), rng))

    @torch.no_grad()
    def refresh(
        self, model: SequenceModel, train: Sequences, blend: float, neighbours: int, epoch: int, rng: torch.Generator
    ) -> None:
        """Before an epoch: take the learned vectors as they are now; recompute hubs and calibration.

        Args:
            model: whose `items()` are current when `blend` > 0.
            train: training sequences, for the histories that calibrate.
            blend: weight of the learned vectors in the geometry.
            neighbours: k of the agreement.
            epoch: remembered for warm-up and ramp.
            rng: generator.
        """
        self.get_buffer("epoch").fill_(epoch)
        self.get_buffer("blend").fill_(blend if self.names else 1.0)
        self.get_buffer("learned").copy_(model.items())
        self._space = None
        self.get_buffer("hub").copy_(hubness(self.space, self._popular(model, _HUB_BACKGROUND, rng)))
        self._calibrate(model, train, neighbours, rng)

    def _calibrate(self, model: SequenceModel, train: Sequences, neighbours: int, rng: torch.Generator) -> None:
        """Put background items into one slot of each sampled history, and remember how well they agree by chance."""
        items_BL, lengths_B = _sample(train, rng)
        if not len(lengths_B):
            return  # impressions of users with one click each: nothing vouches for anything
        background_BC = self._popular(model, len(items_BL) * _BACKGROUND, rng).view(-1, _BACKGROUND)
        foreign_BC = (items_BL.unsqueeze(1) != background_BC.unsqueeze(2)).all(dim=2)
        slot_B = (torch.rand(len(lengths_B), generator=rng) * lengths_B).long() + items_BL.shape[1] - lengths_B
        rest_BL = items_BL.scatter(1, slot_B.unsqueeze(1), 0)
        asked_BC = background_BC * foreign_BC
        blocks = [
            agreement(self.space, asked_bC, rest_bL, neighbours)
            for asked_bC, rest_bL in zip(asked_BC.split(_BLOCK), rest_BL.split(_BLOCK), strict=True)
        ]
        raw_BC, neighbours_BC = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        score_BC = raw_BC - self.get_buffer("hub")[background_BC]
        mean, deviation = calibration(score_BC[foreign_BC], neighbours_BC[foreign_BC])
        self.get_buffer("mean").copy_(mean)
        self.get_buffer("deviation").copy_(deviation)

    @property
    def space(self) -> Geometry:
        """The geometry of this epoch."""
        if self._space is None:
            blend, count = float(self.get_buffer("blend")), len(self.names)
            parts = [(content, (1 - blend) / count) for content in self.get_buffer("content") if blend < 1]
            parts += [(self.get_buffer("learned"), blend)] if blend > 0 else []
            self._space = geometry([part for part, _ in parts], [weight for _, weight in parts])
        return self._space

    def scores(self, items_BL: torch.Tensor, neighbours: int) -> torch.Tensor:
        """Calibrated agreement of every interaction with the rest of its history; 0 on padding and without neighbours.

        Items that were added after training are not part of the geometry, and count as padding.
        """
        items_BL = items_BL * (items_BL < len(self.get_buffer("hub")))
        scale = (self.get_buffer("mean"), self.get_buffer("deviation"))
        found = agreement(self.space, items_BL, items_BL, neighbours)
        return calibrated(found, self.get_buffer("hub")[items_BL], scale)

    def offers(self, count: int, rng: torch.Generator) -> torch.Tensor:
        """(O,) item codes from the memory queue."""
        queue = self.get_buffer("queue")
        return queue[torch.randperm(len(queue), generator=rng)[:count]]

    def remember(self, items_B: torch.Tensor) -> None:
        """Put item codes into the memory queue; the oldest leave."""
        queue, position = self.get_buffer("queue"), self.get_buffer("position")
        items_B = items_B[-len(queue) :]
        queue[(int(position) + torch.arange(len(items_B))) % len(queue)] = items_B
        position.add_(len(items_B)).remainder_(len(queue))

    def _popular(self, model: SequenceModel, count: int, rng: torch.Generator) -> torch.Tensor:
        weights = model.get_buffer("popularity").clone()
        weights[0] = 0
        return torch.multinomial(weights, count, replacement=True, generator=rng)


def _sample(train: Sequences, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random prefixes of random training histories, at most 20 long: items_BL and their lengths."""
    able = np.flatnonzero(train.lengths >= 2)
    if not len(able):
        return torch.empty(0, 1, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    rows = able[torch.randint(len(able), (min(_HISTORIES, 4 * len(able)),), generator=rng).numpy()]
    share = torch.rand(len(rows), generator=rng).numpy()
    ends = 2 + (share * (train.lengths[rows] - 1)).astype(np.int64)
    items = train.window(rows, ends, WINDOW).astype(np.int64)
    return torch.from_numpy(items), torch.from_numpy(np.minimum(ends, WINDOW))


def _forget_space(relation: nn.Module, _: object) -> None:
    cast(Relation, relation)._space = None
