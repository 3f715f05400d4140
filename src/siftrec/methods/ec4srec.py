"""EC4SRec: explanation guided contrastive learning for sequential recommendation (Wang et al., CIKM 2022).

Its self-supervised form, explained by gradients; docs/methods/opponents.md says what is simpler than in the paper.
"""

from __future__ import annotations

from typing import Literal, cast

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.methods.augmented import Masked, augmentable, contrasted, masked_model, viewed
from siftrec.methods.base import Losses, Model
from siftrec.methods.model import SequenceModel, Step
from siftrec.methods.sasrec import SASRec
from siftrec.nn.augment import MASK, lowest, part_of, shuffled, two_of, without
from siftrec.nn.losses.contrast import one_class
from siftrec.settings import Count, Fraction, Rate, Weight, settings

Explanation = Literal["occlusion", "saliency"]


@settings
class EC4SRec:
    """CL4SRec whose operators change the least important interactions of a history, and in negative views the most.

    How important an interaction is says the gradient of the score of what came next.

    Attributes:
        base: what recommends, explains itself, and encodes the views.
        explanation: how (see `importance`).
        least: share of a history that positive views drop, mask or shuffle: its least important interactions.
        most: share that negative views drop or mask: its most important ones.
        warmup: epochs of the base's loss alone, before which there is nothing to explain.
        weight: λ of the contrast between positive views.
        negative_weight: λ of the contrast of negative views with positive ones.
        temperature: τ of cosines.
    """

    base: SASRec = SASRec()
    explanation: Explanation = "occlusion"
    least: Fraction = 0.7
    most: Fraction = 0.3
    warmup: Count = 2
    weight: Weight = 0.1
    negative_weight: Weight = 0.05
    temperature: Rate = 0.2

    @property
    def length(self) -> int:
        """L of the base."""
        return self.base.length

    @property
    def rows(self) -> Literal["prefix", "sequence"]:
        """As the base's."""
        return self.base.rows

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        return masked_model(self.base, catalog)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        self.base.start_epoch(model, data, epoch, seed)
        cast(Masked, cast(SequenceModel, model).extra).get_buffer("epoch").fill_(epoch)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        model = cast(SequenceModel, model)
        step, rows = self.base.step(model, batch, rng), augmentable(batch)
        if not len(rows) or int(cast(Masked, model.extra).get_buffer("epoch")) < self.warmup:
            return step.losses
        items_nL, user_n = batch.items_BL[rows], batch.user_B[rows]
        left_nL, right_nL, negative_nL = self.views(items_nL, importance(step, batch, self.explanation)[rows], rng)
        z_RD = viewed(model, torch.cat([left_nL, right_nL, negative_nL]), rng)
        left_nD, right_nD, negative_nD = z_RD.chunk(3)
        return {
            **step.losses,
            "positive": self.weight * contrasted(left_nD, right_nD, user_n, self.temperature),
            "negative": self.negative_weight * one_class(negative_nD, z_RD[: 2 * len(rows)], self.temperature),
        }

    def views(
        self, items_nL: torch.Tensor, importance_nL: torch.Tensor, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Two positive views and a negative one of histories of two or more interactions, `MASK` where masked."""
        real_nL = items_nL != 0
        all_but_one = real_nL.sum(dim=1, keepdim=True) - 1
        low_nL, high_nL = (
            lowest(values, real_nL, torch.minimum(part_of(real_nL, share, 1), all_but_one))
            for values, share in ((importance_nL, self.least), (-importance_nL, self.most))
        )
        masked_nL, moved_nL = items_nL.masked_fill(low_nL, MASK), shuffled(items_nL, low_nL, rng)
        positives = two_of((without(items_nL, low_nL), masked_nL, moved_nL), rng)
        negative, _ = two_of((without(items_nL, high_nL), items_nL.masked_fill(high_nL, MASK)), rng)
        return *positives, negative


def importance(step: Step, batch: Batch, explanation: Explanation) -> torch.Tensor:
    """importance_BL of interactions for s, the score of their row's last target, with x_t what the encoder read of them.

    `saliency`: Σ_d |∂s / ∂x_td|. `occlusion`: x_t · ∂s / ∂x_t, to first order what the score loses where x_t is zero.
    The model is not asked again: it is the gradient of this very step, dropout and all.
    """
    target_BD = step.local(batch.targets_BP[:, -1]).detach()
    score = (step.users_BD * target_BD).sum()
    read_BLD = step.history.vectors_BLD
    (gradient_BLD,) = torch.autograd.grad(score, read_BLD, retain_graph=True)
    if explanation == "saliency":
        return gradient_BLD.abs().sum(dim=2)
    return (gradient_BLD * read_BLD.detach()).sum(dim=2)
