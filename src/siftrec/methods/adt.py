"""ADT: adaptive denoising training, truncated or reweighted (Wang et al., WSDM 2021), around SASRec.

Models learn genuine interactions before false-positive ones, so targets that lose much early are taken for noise.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch, Loader
from siftrec.data.sequences import Sequences
from siftrec.data.split import Fitting
from siftrec.methods.base import Losses, Model
from siftrec.methods.judgement import Judgement
from siftrec.methods.model import SequenceModel, Step
from siftrec.methods.positions import asked, states
from siftrec.methods.sasrec import SASRec
from siftrec.nn.losses.softmax import every_item
from siftrec.settings import Fraction, Size, Weight, settings

_ROWS = 256


class Steps(nn.Module):
    """How many steps were trained."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))


@settings
class ADT:
    """SASRec whose targets count the less the more they lose.

    Attributes:
        base: what recommends; its objective must be `softmax`.
        objective: `truncated` (T-CE): of each step's targets those that lose most do not count; `reweighted` (R-CE): each
            is weighted by p^β, p the probability the model gives it in this very step.
        share: ε, share of the targets that are dropped once the ramp is over (`truncated`; the paper: .05 to .2).
        ramp: steps over which that share grows from 0.
        power: β (`reweighted`; the paper: .05 to .25).
    """

    base: SASRec = SASRec()
    objective: Literal["truncated", "reweighted"] = "truncated"
    share: Fraction = 0.1
    ramp: Size = 2000
    power: Weight = 0.2

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
        model = self.base.softmax_model(catalog)
        model.extra = Steps()
        return model

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        self.base.start_epoch(model, data, epoch, seed)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return self.step(model, batch, rng).losses

    def step(self, model: Model, batch: Batch, rng: torch.Generator) -> Step:
        """See `Sequential.step`."""
        model = cast(SequenceModel, model)
        taken = cast(Steps, model.extra).get_buffer("taken")
        share = self.share * min(1.0, int(taken) / self.ramp)
        taken += 1
        drawn = model.negatives(self.base.negatives, self.base.full_up_to, rng)
        return asked(model, batch, drawn, rng, lambda lost_R: self.kept(lost_R, share))

    def kept(self, lost_R: torch.Tensor, share: float) -> torch.Tensor:
        """(R,) factor of the weight of each target: 0 or 1, or p^β.

        Args:
            lost_R: −log p of each target.
            share: of them that is dropped, in whole targets, rounded down.
        """
        if self.objective == "reweighted":
            return (-self.power * lost_R).exp()
        kept_R = torch.ones_like(lost_R)
        kept_R[lost_R.topk(int(share * len(lost_R) + 1e-6)).indices] = 0
        return kept_R

    @torch.no_grad()
    def judge(self, model: Model, log: Sequences) -> Judgement:
        """See `Denoiser`: log p over the whole catalog of every interaction after those before it, asked as in training.

        The first of a history is no target: it is not judged, and stays. `truncated` drops its share of the largest losses
        in the log.
        """
        model = cast(SequenceModel, model.eval())
        loader = Loader(log, self.rows, self.length, _ROWS, 0)
        users, ends = loader.drawn(np.random.default_rng(0))
        order = np.argsort(np.minimum(ends, self.length), kind="stable")
        lost, drawn = torch.full((len(log.items),), torch.nan), every_item(len(model.items()))
        for block in np.array_split(order, max(1, len(order) // _ROWS)):
            batch = loader.batch(users[block], ends[block])
            history = model.history(model.kept, batch.items_BL, batch.shown_BLM)
            states_BPD = states(model, history, batch, None)
            there_BP, back = batch.targets_BP > 0, np.arange(1 - batch.targets_BP.shape[1], 1)
            at_BP = torch.from_numpy((log.offsets[users[block]] + ends[block])[:, None] + back)
            lost_R = model.target_losses(model.kept, states_BPD[there_BP], batch.targets_BP[there_BP], drawn)
            lost[at_BP[there_BP]] = lost_R.clamp_min(0)  # rounding may take it below
        kept, targets = torch.ones_like(lost), ~lost.isnan()
        kept[targets] = self.kept(lost[targets], self.share)
        return Judgement(-lost.numpy(), kept.numpy())
