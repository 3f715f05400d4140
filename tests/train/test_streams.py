"""Random streams of a training step."""

from __future__ import annotations

import torch

from siftrec.data.loader import Batch
from siftrec.methods.base import Losses, Model
from siftrec.settings import settings
from train.tiny import Tiny, tiny_fit


def test_layers_draw_from_another_stream_than_losses() -> None:
    """Of one stream, what dropout hides would hang on which negatives were drawn."""
    drawn: list[tuple[torch.Tensor, torch.Tensor]] = []

    @settings
    class Drawing(Tiny):
        def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
            drawn.append((torch.rand(4), torch.rand(4, generator=rng)))
            return super().loss(model, batch, rng)

    tiny_fit(method=Drawing(), epochs=1)
    assert all(not torch.equal(layers, losses) for layers, losses in drawn[-5:])
