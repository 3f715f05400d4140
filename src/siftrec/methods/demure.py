"""Demure: denoising multi-modal sequential recommenders with contrastive learning (arXiv 2305.01915), as built here.

The abstract fixes the ideas; the formulas are ours. docs/methods/demure.md keeps the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.coded import check_coded
from siftrec.data.loader import Batch, blocks, pad, pad_shown
from siftrec.data.sequences import Sequences
from siftrec.data.split import Fitting
from siftrec.detectors.slots import pieces
from siftrec.errors import SettingsError, UsageError
from siftrec.methods.base import Concluding, ListensToWeights, Losses, Model, Noted, Preparing, Surveying
from siftrec.methods.contrast import Head
from siftrec.methods.gates import Background, Gate, Gated, Gating, gating_of, habit
from siftrec.methods.late import LateFusion
from siftrec.methods.model import Base, SequenceModel, Step, base_model
from siftrec.methods.slots import SlotViews, slot_losses
from siftrec.methods.trained import Trained
from siftrec.modality.features import Features
from siftrec.modality.standard import kept_widths
from siftrec.nn.losses.mil import bags, mil_logistic, mil_nce
from siftrec.nn.towers import ItemTower
from siftrec.settings import Size, Weight, settings

_CALIBRATING = 2048
_BLOCK = 32
_BACKGROUND = 128


@settings
class Mil:
    """The weak supervision: an interaction agrees with its history in some modality, a popularity-drawn item in none.

    Interactions count by the log's own weights.

    Attributes:
        kind: `nce` lets interactions compete with background items, `logistic` judges each by itself.
        weight: λ.
        background: popularity-drawn items put into each history; during an epoch they calibrate the gate too.
    """

    kind: Literal["nce", "logistic"] = "nce"
    weight: Weight = 0.1
    background: Size = 32


@settings
class Demure:
    """Weighs the modalities of every interaction by what the rest of the history vouches for.

    Attributes:
        base: what recommends. `LateFusion` keeps the modalities apart; any other sequential method (`CCL4Rec`, `SASRec`)
            reads their gated sum in place of its item vectors, and keeps its own losses.
        gate: the gate.
        mil: its weak supervision.
        views: contrast over modality slots, on top of the base's losses; None: none.
    """

    base: Base = LateFusion()
    gate: Gate = Gate()
    mil: Mil = Mil()
    views: SlotViews | None = None

    @property
    def length(self) -> int:
        """L of the base."""
        return self.base.length

    @property
    def rows(self) -> Literal["prefix", "sequence"]:
        """As the base's."""
        return self.base.rows

    @property
    def around(self) -> bool:
        """See `Surveying`."""
        return isinstance(self.base, Surveying) and self.base.around

    @property
    def weighted_targets(self) -> bool:
        """As the base's; evidence follows the weights in any case."""
        return not isinstance(self.base, ListensToWeights) or self.base.weighted_targets

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        if isinstance(self.base, Demure):
            raise SettingsError("method.base.use", "one gate is enough: give Demure the base of that Demure")
        if not catalog.modalities:
            raise SettingsError("method.use", "Demure weighs modalities against each other, and the catalog has none")
        model = base_model(self.base, catalog)
        if isinstance(model.tower, ItemTower) and not model.tower.maps:
            give_content(model, catalog)
        maps = model.tower if isinstance(model.tower, ItemTower) else model.tower.maps
        dim = next(iter(maps.maps.values())).get_parameter("weight").shape[0]
        # Where every position has a target of its own, later interactions are the answers to earlier ones.
        model.gating = gating_of(self.gate, catalog, dim, causal=self.rows == "sequence")
        if self.views is not None:
            model.gating.head = Head(model.items().shape[1], self.views.contrast.projection)
        return model

    def prepare(self, model: Model, data: Fitting, seed: int, share: float = 1.0) -> None:
        """See `Preparing`."""
        if isinstance(self.base, Preparing):
            self.base.prepare(model, data, seed, share)

    def notes(self, data: Fitting) -> dict[str, float]:
        """What the base has to say."""
        return self.base.notes(data) if isinstance(self.base, Noted) else {}

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`; before the first step the gate is calibrated on random content maps."""
        self.base.start_epoch(model, data, epoch, seed)
        model = cast(SequenceModel, model)
        if model.gating is None:
            return
        model.gating.get_buffer("epoch").fill_(epoch)
        if epoch == 0 and model.gating.how.judged:
            model.refresh()
            self._calibrate(model, data.train, self.mil.background, seeds.generator(seed, "gate"))

    def end_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Concluding`: what the epoch observed is of earlier content maps; the model it ended with is calibrated."""
        if isinstance(self.base, Concluding):
            self.base.end_epoch(model, data, epoch, seed)
        model = cast(SequenceModel, model)
        if model.gating is not None and model.gating.how.judged:
            model.gating.get_buffer("moments").zero_()
            self._calibrate(model, data.train, _BACKGROUND, seeds.generator(seed, "gate", epoch))

    @torch.no_grad()
    def _calibrate(self, model: SequenceModel, train: Sequences, count: int, rng: torch.Generator) -> None:
        kept, gating = model.kept, cast(Gating, model.gating)
        for histories in _calibrating(train, self.length, rng):
            order = np.argsort(histories.lengths, kind="stable")
            for block in np.array_split(order, -(-len(order) // _BLOCK)) if len(order) else ():
                items_BL, shown_BLM = pad(histories, block, self.length), pad_shown(histories, block, self.length)
                seen = gating.look(kept.parts, kept.slot_N, items_BL, shown_BLM)
                gating.observe(gating.background(seen, items_BL, count, rng))

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`: the base's losses and the gate's."""
        return self.step(model, batch, rng).losses

    def step(self, model: Model, batch: Batch, rng: torch.Generator) -> Step:
        """See `Sequential.step`."""
        model = cast(SequenceModel, model)
        done = self.base.step(model, batch, rng)
        gated, gating = done.history.gated, cast(Gating, model.gating)
        if gated is None:
            problem = (
                f"{type(self.base).__name__} makes its histories without SequenceModel.history, so no gate reads them"
            )
            raise SettingsError("method.base.use", problem)
        losses = {**done.losses}
        if gating.how.judged:
            background = gating.background(gated.seen, batch.items_BL, self.mil.background, rng)
            if self.mil.weight:
                losses["mil"] = self.mil.weight * self._mil(gating, gated, background, batch.trust_BL)
            gating.observe(background)
        if (
            self.views is not None
            and self.views.contrast.on
            and int(gating.get_buffer("epoch")) >= self.views.contrast.warmup
        ):
            losses |= slot_losses(self.views, model, gating.head, done, batch, self.gate.neighbours, rng)
        return done._replace(losses=losses)

    def _mil(self, gating: Gating, gated: Gated, background: Background, trust_BL: torch.Tensor) -> torch.Tensor:
        chosen_BL = bags(gating.logits(gated.score_BML, gated.habit_BML), gated.seen.present_BML)
        weight_BL = trust_BL * (gated.evidence_BML > 0).any(dim=1)
        score_BMJ = gating.calibrated(background.raw_BMJ, background.evidence_BMJ)
        habit_BMJ = habit(gated.score_BML, gated.evidence_BML, background.beside_BLJ)
        background_BJ = bags(gating.logits(score_BMJ, habit_BMJ), background.present_BMJ)
        loss = mil_nce if self.mil.kind == "nce" else mil_logistic
        return loss(chosen_BL, weight_BL, background_BJ, (background.evidence_BMJ > 0).any(dim=1))


def _calibrating(train: Sequences, length: int, rng: torch.Generator) -> tuple[Sequences, Sequences]:
    """Some training histories whole, and as many beginnings of them, of 2 to `length` interactions.

    Each number of neighbours has a scale of its own, and histories of every length will be asked for.
    """
    able = np.flatnonzero(train.lengths >= 2)
    whole = train.take(able[torch.randperm(len(able), generator=rng)[:_CALIBRATING].numpy()])
    most = np.minimum(whole.lengths, length)
    ends = 2 + (torch.rand(len(most), generator=rng).numpy() * (most - 1)).astype(np.int64)
    place_E = np.arange(len(whole.items)) - np.repeat(whole.offsets[:-1], whole.lengths)
    return whole, whole.where(place_E < np.repeat(ends, whole.lengths))


def give_content(model: SequenceModel, catalog: Catalog) -> None:
    """An item tower with content for a base that reads ids alone."""
    ids = cast(ItemTower, model.tower).ids
    assert ids is not None
    size, dim = ids.weight.shape
    scale = float(ids.weight.detach().square().sum(dim=1).mean().sqrt())
    widths = kept_widths(catalog)
    model.tower, model.features = ItemTower(widths, dim, size, scale), Features(catalog)


@dataclass(frozen=True, eq=False)
class SlotWeights:
    """How the modalities of interactions were weighed.

    Attributes:
        names: the M modalities.
        weight_EM: float32 γ, 0 where absent; a row sums to 1 where anything is present.
        score_EM: float32 ẑ, deviations above the agreement of a popularity-drawn item; 0 = nothing could vouch.
        evidence_EM: int32, how many other interactions could vouch.
        present_EM: bool.
        share_E: float32, the share of the user's attention each interaction gets; sums to 1 over a judged piece. nan where
            the encoder reads a history as a whole.
    """

    names: tuple[str, ...]
    weight_EM: np.ndarray
    score_EM: np.ndarray
    evidence_EM: np.ndarray
    present_EM: np.ndarray
    share_E: np.ndarray

    def __repr__(self) -> str:
        told = [f", {name} {self._mean(m):.3f}" for m, name in enumerate(self.names)]
        return f"SlotWeights({len(self.share_E):,} interactions; mean weight where present{''.join(told)})"

    def _mean(self, m: int) -> float:
        found = self.weight_EM[self.present_EM[:, m], m]
        return float(found.mean()) if len(found) else float("nan")


@torch.no_grad()
def slot_weights(trained: Trained, histories: Sequences) -> SlotWeights:
    """Which modalities of each interaction counted, for any histories, of users trained on or not.

    Args:
        trained: a trained Demure.
        histories: item codes of the trained catalog; their `shown` content is respected. Those longer than the method's
            are judged in consecutive, about equal pieces.

    Raises:
        UsageError: the model has no gate, or these are not histories in the codes of its catalog.
    """
    model = cast(SequenceModel, trained.scorer)
    gating = getattr(model, "gating", None)
    if not isinstance(gating, Gating):
        raise UsageError(f"{type(trained.method).__name__} weighs no modalities; train Demure on items with content")
    check_coded(histories, len(trained.items), "histories", "model.items")
    rows, kept = pieces(histories, trained.method.length), model.kept
    size, count = len(histories.items), len(gating.names)
    weight_EM, score_EM = np.zeros((size, count), np.float32), np.zeros((size, count), np.float32)
    evidence_EM, present_EM = np.zeros((size, count), np.int32), np.zeros((size, count), np.bool_)
    found = SlotWeights(gating.names, weight_EM, score_EM, evidence_EM, present_EM, np.zeros(size, np.float32))
    for block in blocks(rows, trained.method.length):
        history = model.history(kept, block.items_BL, pad_shown(rows, block.rows, trained.method.length))
        gated = cast(Gated, history.gated)
        slots = (gated.weight_BML, gated.score_BML, gated.evidence_BML, gated.seen.present_BML)
        for values_EM, each in zip((weight_EM, score_EM, evidence_EM, present_EM), slots, strict=True):
            values_EM[block.events] = each.transpose(1, 2).numpy()[block.real]
        found.share_E[block.events] = _shares(model, history.vectors_BLD, block.items_BL).numpy()[block.real]
    return found


def _shares(model: SequenceModel, vectors_BLX: torch.Tensor, items_BL: torch.Tensor) -> torch.Tensor:
    """a_BL of encoders that pool, as `explain` gives it; nan of the others."""
    shares = getattr(model.encoder, "shares", None)
    if shares is None:
        return torch.full(items_BL.shape, torch.nan)
    found: torch.Tensor = shares(vectors_BLX, items_BL > 0, model.log_trust(items_BL))
    return found
