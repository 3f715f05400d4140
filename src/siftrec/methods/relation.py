"""What CCL4Rec knows about how items relate: geometry, hubs, calibration, the memory queue. Saved with the model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from siftrec.data.sequences import Sequences
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

PROJECTED = 64
_HUB_BACKGROUND = 256
_HISTORIES = 4096
_BACKGROUND = 8


class Relation(nn.Module):
    """Geometry of standardised content (a fixed random 64-d projection) blended with learned item vectors.

    Args:
        size: N.
        names: of the modalities.
        dim: D of the learned item vectors.
        queue: length of the memory queue.
    """

    def __init__(self, size: int, names: Iterable[str], dim: int, queue: int) -> None:
        super().__init__()
        self.names = list(names)
        self.head = Head(dim)
        self.register_buffer("content", torch.zeros(len(self.names), size, PROJECTED))
        self.register_buffer("learned", torch.zeros(size, dim))
        self.register_buffer("blend", torch.zeros(()))
        self.register_buffer("hub", torch.zeros(size))
        self.register_buffer("mean", torch.zeros(NEIGHBOUR_CAP + 1))
        self.register_buffer("deviation", torch.ones(NEIGHBOUR_CAP + 1))
        self.register_buffer("queue", torch.zeros(queue, dtype=torch.int64))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self._space: Geometry | None = None

    @torch.no_grad()
    def begin(self, model: SequenceModel, rng: torch.Generator) -> None:
        """Project the content, and fill the queue with popularity-drawn items."""
        size = self.get_buffer("content").shape[1]
        for index, name in enumerate(self.names):
            mean_F, scale_F = model.tower.get_buffer(f"mean_{name}"), model.tower.get_buffer(f"scale_{name}")
            projection = torch.randn(len(mean_F), PROJECTED, generator=rng) / PROJECTED**0.5
            for block in model.features.blocks(torch.arange(1, size)):
                raw, present = model.features.gather(name, block), model.features.present[name][block]
                projected = ((raw - mean_F) * scale_F) @ projection
                self.get_buffer("content")[index, block] = projected * present.unsqueeze(1)
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
        items_BL, ends = _sample(train, rng)
        slot = (torch.rand(len(ends), generator=rng) * ends).long() + items_BL.shape[1] - ends
        scores, counts = [], []
        for _ in range(_BACKGROUND):
            planted_BL = items_BL.clone()
            planted_BL[torch.arange(len(ends)), slot] = self._popular(model, len(ends), rng)
            found = agreement(self.space, planted_BL, neighbours)
            own = found.raw_BS - self.get_buffer("hub")[planted_BL]
            foreign = (items_BL != planted_BL.gather(1, slot.unsqueeze(1))).all(dim=1)
            scores.append(own[torch.arange(len(ends)), slot][foreign])
            counts.append(found.neighbours_BS[torch.arange(len(ends)), slot][foreign])
        mean, deviation = calibration(torch.cat(scores), torch.cat(counts))
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

    def load_state_dict(self, *args: object, **kwargs: object) -> object:  # noqa: D102
        self._space = None
        return super().load_state_dict(*args, **kwargs)  # type: ignore[arg-type]

    def scores(self, items_BL: torch.Tensor, neighbours: int) -> torch.Tensor:
        """Calibrated agreement of every interaction with the rest of its history; 0 on padding and without neighbours."""
        scale = (self.get_buffer("mean"), self.get_buffer("deviation"))
        found = agreement(self.space, items_BL, neighbours)
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
    long_enough = np.flatnonzero(train.lengths >= 2)
    rows = (
        long_enough[torch.randint(len(long_enough), (_HISTORIES,), generator=rng).numpy()] if len(long_enough) else []
    )
    rows = np.asarray(rows, dtype=np.int64)
    share = torch.rand(len(rows), generator=rng).numpy()
    ends = 2 + (share * (train.lengths[rows] - 1)).astype(np.int64)
    items = train.window(rows, ends, 20).astype(np.int64)
    return torch.from_numpy(items), torch.from_numpy(np.minimum(ends, 20))
