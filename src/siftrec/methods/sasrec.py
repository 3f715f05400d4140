"""SASRec: self-attentive sequential recommendation (Kang & McAuley, 2018), with a softmax loss at every position.

With `objective = "gbce"` it is gSASRec (Petrov & Macdonald, RecSys 2023).
"""

from __future__ import annotations

from typing import Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import SequenceModel, Step, base_model
from siftrec.methods.positions import asked, model_of, read
from siftrec.nn.encoders import Transformer
from siftrec.nn.losses.pairwise import gbce_loss, uninformed
from siftrec.settings import Count, Fraction, Rate, Size, settings


@settings
class SASRec:
    """A causal transformer over items.

    Attributes:
        dim: D, vector size.
        length: L, longest history.
        rows: what is a training row. `sequence`: every window of `length` targets, asked after every position.
            `prefix`: every interaction, with everything before it as its history; an epoch costs the more.
        blocks: transformer blocks.
        heads: attention heads; must divide `dim`.
        dropout: probability.
        scale: expected norm of a fresh item vector.
        negatives: shared negatives per batch; of `gbce`, per row.
        full_up_to: catalogs of at most so many items use the full softmax.
        objective: `softmax`, or `gbce`: binary cross-entropy calibrated for sampling, over `negatives` of each row, at
            most as many as there are items, drawn uniformly whatever the size of the catalog (the paper: 256).
        calibration: t of `gbce`: 0 = plain binary cross-entropy, 1 = scores as without sampling, less a constant that is
            added in training only.
        content: whether an item is the sum of its id embedding and its mapped content, as in `CCL4Rec`, or its id alone.
    """

    dim: Size = 64
    length: Size = 50
    rows: Literal["prefix", "sequence"] = "sequence"
    blocks: Size = 2
    heads: Size = 2
    dropout: Fraction = 0.2
    scale: Rate = 1.0
    negatives: Size = 1024
    full_up_to: Count = 5000
    objective: Literal["softmax", "gbce"] = "softmax"
    calibration: Fraction = 0.75
    content: bool = False

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        if self.dim % self.heads:
            raise SettingsError("method.heads", f"must divide dim={self.dim}, {self.heads} does not")
        if self.content and not catalog.modalities:
            raise SettingsError("method.content", "true needs at least one modality; the catalog has none")
        encoder = Transformer(self.dim, self.length, self.blocks, self.heads, self.dropout)
        return model_of(catalog, encoder, self.dim, self.scale, self.content)

    def softmax_model(self, catalog: Catalog) -> SequenceModel:
        """`build`, for methods around it that look into the softmax.

        Raises:
            SettingsError: another objective.
        """
        if self.objective != "softmax":
            raise SettingsError("method.base.objective", f"must be 'softmax', not {self.objective!r}")
        return base_model(self, catalog)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        if epoch == 0:
            cast(SequenceModel, model).count(data)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return self.step(model, batch, rng).losses

    def step(self, model: Model, batch: Batch, rng: torch.Generator) -> Step:
        """See `Sequential.step`."""
        model = cast(SequenceModel, model)
        if self.objective == "gbce":
            return self._gbce(model, batch, rng)
        return asked(model, batch, model.negatives(self.negatives, self.full_up_to, rng), rng)

    def _gbce(self, model: SequenceModel, batch: Batch, rng: torch.Generator) -> Step:
        """Negatives of its own for every row: shared by a batch they would leave most items unmoved by most steps."""
        size = len(model.items())
        count = min(self.negatives, size - 1)
        rate = count / (size - 1)
        drawn_BK = torch.randint(1, size, (len(batch), count), generator=rng)
        local, history, states_BPD = read(model, batch, drawn_BK, rng)
        # Added to every score it ranks nothing otherwise, but vectors need not first learn that most items are not next.
        start = uninformed(rate, self.calibration, count)
        positive_BP = (states_BPD * local(batch.targets_BP)).sum(dim=2) + start
        negative_BPK = torch.bmm(states_BPD, local(drawn_BK).transpose(1, 2)) + start
        counted_BPK = drawn_BK.unsqueeze(1) != batch.targets_BP.unsqueeze(2)
        weights_R = (batch.weights_BP * (batch.targets_BP > 0)).flatten()
        loss = gbce_loss(
            positive_BP.flatten(),
            negative_BPK.flatten(0, 1),
            counted_BPK.flatten(0, 1),
            weights_R,
            rate,
            self.calibration,
        )
        return Step({"next_item": loss}, local, history, states_BPD[:, -1])
