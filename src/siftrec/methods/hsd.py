"""HSD-style denoising of histories (Zhang et al., CIKM 2022): two signals decide which interactions SASRec reads.

docs/methods/opponents.md says what is simpler than in the paper.
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import numpy as np
import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch, blocks
from siftrec.data.sequences import Sequences
from siftrec.data.split import Fitting
from siftrec.detectors.slots import pieces
from siftrec.methods.base import Losses, Model
from siftrec.methods.judgement import Judgement
from siftrec.methods.model import SequenceModel, Step
from siftrec.methods.sasrec import SASRec
from siftrec.nn.sieve import Sieve
from siftrec.settings import Rate, Weight, settings


@settings
class HSD:
    """SASRec behind a sieve that is trained with it: what both signals of inconsistency call noise is not read.

    Every prefix is a row, asked after its last interaction: what comes later judges what was before, so a target after
    every position would have judged the history it is predicted from.

    Attributes:
        base: what reads the rest; its objective must be `softmax`, and its `rows` are not asked.
        weight: λ of the loss by which the sequential signal learns: to find an interaction from those around it.
        temperature: τ of Gumbel-softmax.
    """

    base: SASRec = SASRec()
    weight: Weight = 0.2
    temperature: Rate = 1.0
    rows: ClassVar[Literal["prefix"]] = "prefix"

    @property
    def length(self) -> int:
        """L of the base."""
        return self.base.length

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        model = self.base.softmax_model(catalog)
        model.encoder = Sieve(model.encoder, self.base.dim, self.base.dropout, self.temperature)
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
        sieve, items_BL = cast(Sieve, model.encoder), batch.items_BL
        drawn = model.negatives(self.base.negatives, self.base.full_up_to, rng)
        local = model.local(items_BL, batch.targets_BP, batch.shown_BLM, drawn.items_K)
        history = model.history(local, items_BL, batch.shown_BLM)
        signals = sieve.signals(history.vectors_BLD, items_BL > 0, rng)
        users_BD = sieve.read(history.vectors_BLD, items_BL > 0, sieve.kept(signals, rng), rng)
        next_item = model.next_item(local, users_BD, batch.targets_BP[:, -1], batch.weights_BP[:, -1], drawn)
        around_RD, items_R = signals.context_BLD[signals.able_BL], items_BL[signals.able_BL]
        around = model.next_item(local, around_RD, items_R, batch.trust_BL[signals.able_BL], drawn)
        return Step({"next_item": next_item, "around": self.weight * around}, local, history, users_BD)

    @torch.no_grad()
    def judge(self, model: Model, log: Sequences) -> Judgement:
        """See `Denoiser`: every interaction once, among its piece of the history, one of about equal ones of `length`."""
        model = cast(SequenceModel, model.eval())
        sieve = cast(Sieve, model.encoder)
        score, kept = np.full(len(log.items), np.nan, np.float32), np.ones(len(log.items), np.float32)
        for block in blocks(pieces(log, self.length), self.length):
            signals = sieve.signals(model.kept(block.items_BL), block.items_BL > 0, None)
            score[block.events] = signals.scores().numpy()[block.real]
            kept[block.events] = sieve.kept(signals, None).numpy()[block.real]
        return Judgement(score, kept)
