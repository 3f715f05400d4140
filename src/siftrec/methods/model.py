"""The two-tower model that learned methods share: an item tower, a user encoder, and the next-item loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import BeforeValidator
from torch import nn

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch, Exposed
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError, of_base
from siftrec.methods.base import Learned, Losses, Model
from siftrec.methods.denoise import Denoising
from siftrec.methods.gates import Gated, Gating, settled
from siftrec.modality.features import Features
from siftrec.nn.late import StackedTower
from siftrec.nn.losses.clicks import click_loss
from siftrec.nn.losses.softmax import Negatives, every_item, sampled_negatives, slots_of, softmax_loss, target_losses
from siftrec.nn.rows import rows_of, with_rows
from siftrec.nn.towers import ItemTower, Parts, Seen

POPULARITY_POWER = 0.75
NO_PARTS = Parts(torch.empty(0, 0, 0), torch.empty(0, 0), torch.empty(0, 0, dtype=torch.bool))


class Local(NamedTuple):
    """The item vectors one batch touches.

    Attributes:
        vectors_nD: one row per distinct item.
        slot_N: row of each item code.
        parts: their modality vectors, where the model has a gate.
    """

    vectors_nD: torch.Tensor
    slot_N: torch.Tensor
    parts: Parts = NO_PARTS

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """Vectors of item codes of any shape; one dimension D is added."""
        return rows_of(self.vectors_nD, self.slot_N[codes])

    def plain(self, codes: torch.Tensor) -> torch.Tensor:
        """Sums of the items' modality vectors."""
        plain_nD = (self.parts.units_nMD * self.parts.norm_nM.unsqueeze(2)).sum(dim=1)
        return rows_of(plain_nD, self.slot_N[codes])


class History(NamedTuple):
    """A history as encoders read it.

    Attributes:
        vectors_BLD: vector of each interaction.
        gated: what the gate made of it, where the model has one.
    """

    vectors_BLD: torch.Tensor
    gated: Gated | None


class Step(NamedTuple):
    """What a method has computed of a batch, for methods built around it.

    Attributes:
        losses: its own.
        local: item vectors.
        history: the batch's histories.
        users_BD: vectors after the whole histories.
        log_trust_BL: how far each interaction was believed (see `Denoising.log_trust`); None: all fully.
        importance: places of rows in the batch → π_RL, how important the interactions of these histories are, each row
            summing to 1; None: they were not judged.
    """

    losses: Losses
    local: Local
    history: History
    users_BD: torch.Tensor
    log_trust_BL: torch.Tensor | None = None
    importance: Callable[[torch.Tensor], torch.Tensor] | None = None


@runtime_checkable
class Sequential(Learned, Protocol):
    """A learned method on `SequenceModel` that others can be built around."""

    def step(self, model: Model, batch: Batch, rng: torch.Generator) -> Step:
        """The losses of one batch, and what they were computed from."""
        ...


def _sequential(thing: object) -> object:
    if isinstance(thing, type) or not isinstance(thing, Sequential):
        raise ValueError("must be a learned method with a `step` (see docs/howto/own-method.md)")
    return thing


Base = Annotated[Sequential, BeforeValidator(_sequential)]
"""A setting: what a method is built around."""


class SequenceModel(Model):
    """Scores are inner products of an encoded history and item vectors, so the user vector knows no candidate.

    Args:
        catalog: items and modalities.
        tower: raw content → item vectors.
        encoder: item vectors of a history → user vector.
        dim: D.
        extra: state of the method beside the two towers; saved and restored with them.
        denoising: which interactions of a history are to be believed; None = all.
        gating: which modalities of an interaction are to be believed; None: item vectors are read whole.
    """

    def __init__(
        self,
        catalog: Catalog,
        tower: ItemTower | StackedTower,
        encoder: nn.Module,
        dim: int,
        extra: nn.Module | None = None,
        denoising: Denoising | None = None,
        gating: Gating | None = None,
    ) -> None:
        super().__init__()
        self.tower, self.encoder, self.extra, self.denoising = tower, encoder, extra, denoising
        self.gating = gating
        self.features = Features(catalog)
        self.register_buffer("popularity", torch.ones(len(catalog)))
        self.register_buffer("item_vectors", torch.zeros(len(catalog), dim))
        self.register_buffer("every", torch.arange(len(catalog)), persistent=False)

    def train(self, mode: bool = True) -> SequenceModel:
        """Training mode; leaving it computes the item vectors once, unless the content is not at hand (loaded model)."""
        leaving = self.training and not mode
        super().train(mode)
        if leaving and self.features.held:
            self.refresh()
        return self

    @torch.no_grad()
    def refresh(self) -> None:
        """Recompute the kept item vectors from the tower as it is now.

        An item that training has never met, neither shown nor clicked, keeps its content alone: its id embedding is still
        random.
        """
        codes = torch.arange(1, len(self.get_buffer("item_vectors")))
        known_N = self.get_buffer("popularity") > 0
        for block in self.features.blocks(codes):
            vectors_nD, parts = self._embedded(
                block,
                self.features.standardised(block),
                None if self.gating is None else self.gating.parts.present_nM[block],
                known_N[block] if self.features.present else None,
            )
            self.get_buffer("item_vectors")[block] = vectors_nD
            if self.gating is not None:
                self.gating.keep(block, parts)

    def _embedded(
        self,
        codes_n: torch.Tensor,
        content_nF: torch.Tensor,
        present_nM: torch.Tensor | None,
        known_n: torch.Tensor | None,
    ) -> tuple[torch.Tensor, Parts]:
        if self.gating is None:
            return self.tower(codes_n, content_nF, known_n), NO_PARTS
        assert known_n is not None
        assert present_nM is not None
        return self.tower.parted(codes_n, content_nF, present_nM, known_n)

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Extensible`."""
        return self.features.standards.names

    def widened(self, count: int) -> SequenceModel:
        """See `Extensible`."""
        wider = with_rows(self, ("popularity", "item_vectors"), count)
        wider.every = torch.arange(len(wider.items()))
        wider.features = self.features.described()
        if self.gating is not None:
            wider.gating = self.gating.widened(count)
        return wider

    @torch.no_grad()
    def extended(self, raw: Mapping[str, torch.Tensor], present: Mapping[str, torch.Tensor]) -> SequenceModel:
        """See `Extensible`: new items get the vectors that `refresh` gives to items training has never seen.

        One item after the other, so that it does not matter which are added together.
        """
        present_nM = torch.stack([present[name] for name in self.reads], dim=1)
        wider, size = self.widened(len(present_nM)), len(self.items())
        if wider.gating is not None:
            wider.gating.get_buffer("present")[size:] = present_nM
        # No id embedding is theirs: that of item 1 is looked up, and counts nothing.
        nobody_1, unknown_1 = torch.ones(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool)
        for row, one in enumerate(torch.arange(len(present_nM)).split(1)):
            here = {name: raw[name][one] for name in self.reads}
            content_1F = self.features.read(here, {name: present[name][one] for name in self.reads}, 1)
            vector_1D, parts = self._embedded(nobody_1, content_1F, present_nM[one], unknown_1)
            wider.items()[size + row] = vector_1D[0]
            if wider.gating is not None:
                wider.gating.keep(size + one, parts)
        return wider

    def count(self, data: Fitting) -> None:
        """Fit what depends on training data alone: popularity, and what standardises content."""
        counts = torch.from_numpy(data.popularity.astype(np.float32))
        self.get_buffer("popularity").copy_(counts)
        self.features.fit(counts)

    def items(self) -> torch.Tensor:
        """items_ND; between `eval()` and the next `train()` computed once and kept."""
        return self.get_buffer("item_vectors")

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        """See `VectorScorer.users`."""
        history = self.history(self.kept, items_BL, shown_BLM)
        users: torch.Tensor = self.encoder(history.vectors_BLD, items_BL > 0, None, self.log_trust(items_BL))
        return users

    @property
    def kept(self) -> Local:
        """The kept vectors of all items, without gradient."""
        return Local(self.items(), self.get_buffer("every"), NO_PARTS if self.gating is None else self.gating.parts)

    def history(
        self,
        local: Local,
        items_BL: torch.Tensor,
        shown_BLM: torch.Tensor | None = None,
        weight_BML: torch.Tensor | None = None,
    ) -> History:
        """Vectors of the interactions of histories, behind the gate where the model has one.

        Args:
            local: vectors of the items at hand.
            items_BL: item codes.
            shown_BLM: as in `Batch`; without a gate items are read whole, and it is not looked at.
            weight_BML: γ as it was found before some of the histories' content was replaced; None: found now.
        """
        if self.gating is None:
            return History(local(items_BL), None)
        seen = self.gating.look(local.parts, local.slot_N, items_BL, shown_BLM)
        gated = self.gating(seen, items_BL) if weight_BML is None else settled(seen, weight_BML)
        return History(self.fused(local, items_BL, seen, gated.weight_BML, shown_BLM is None), gated)

    def fused(
        self, local: Local, items_BL: torch.Tensor, seen: Seen, weight_BML: torch.Tensor, own: bool
    ) -> torch.Tensor:
        """Vectors of interactions from the content that stood with them, see `ItemTower.fused`.

        Args:
            local: vectors of the items at hand.
            items_BL: item codes.
            seen: the content.
            weight_BML: γ.
            own: whether all content is the items' own.
        """
        apart = self.tower.apart
        own_BLX = local._replace(vectors_nD=local.vectors_nD[:, apart:])(items_BL)
        return self.tower.fused(own_BLX, None if own or apart else local.plain(items_BL), seen, weight_BML)

    def log_trust(self, items_BL: torch.Tensor, users_B: torch.Tensor | None = None) -> torch.Tensor | None:
        """How far each interaction is to be believed (see `Denoising.log_trust`); `users_B` are rows of training."""
        return None if self.denoising is None else self.denoising.log_trust(items_BL, users_B)

    def local(self, *codes: torch.Tensor | None) -> Local:
        """Item vectors, with gradient, of all distinct items among the codes; None stands for no code."""
        touched_N = torch.zeros(len(self.get_buffer("popularity")), dtype=torch.bool)
        for each in codes:
            if each is not None:
                touched_N[each.reshape(-1)] = True
        distinct = touched_N.nonzero().squeeze(1)
        present_nM = None if self.gating is None else self.gating.parts.present_nM[distinct]
        content_nF = self.features.standardised(distinct)
        vectors_nD, parts = self._embedded(distinct, content_nF, present_nM, distinct > 0)
        return Local(vectors_nD, touched_N.cumsum(0) - 1, parts)

    def negatives(self, count: int, full_up_to: int, rng: torch.Generator) -> Negatives:
        """All items when the catalog has at most `full_up_to`, else `count` shared ones drawn by popularity^.75."""
        size = len(self.get_buffer("popularity"))
        if size - 1 <= full_up_to:
            return every_item(size)
        weights = self.get_buffer("popularity").clamp_min(1).pow(POPULARITY_POWER)
        weights[0] = 0
        return sampled_negatives(weights, count, rng)

    def clicks(self, local: Local, users_BD: torch.Tensor, exposed: Exposed) -> torch.Tensor:
        """Which of the impressions of each row were clicked, all judged by its one user vector (see `click_loss`)."""
        logits_BC = (local(exposed.codes_BC) @ users_BD.unsqueeze(2)).squeeze(2)
        return click_loss(logits_BC, exposed.labels_BC, (exposed.codes_BC > 0).float(), exposed.odds)

    def next_item(
        self, local: Local, users_RD: torch.Tensor, targets_R: torch.Tensor, weights_R: torch.Tensor, drawn: Negatives
    ) -> torch.Tensor:
        """Next-item loss of user vectors against their targets (see `softmax_loss`)."""
        hit = slots_of(targets_R, drawn, len(self.get_buffer("popularity")))
        return softmax_loss(users_RD, local(targets_R), local(drawn.items_K), drawn.offset_K, hit, weights_R)

    def target_losses(
        self, local: Local, users_RD: torch.Tensor, targets_R: torch.Tensor, drawn: Negatives
    ) -> torch.Tensor:
        """(R,) what `next_item` is the weighted mean of, without gradient."""
        hit = slots_of(targets_R, drawn, len(self.get_buffer("popularity")))
        return target_losses(users_RD, local(targets_R), local(drawn.items_K), drawn.offset_K, hit)


def base_model(base: Sequential, catalog: Catalog) -> SequenceModel:
    """The model of a base, for the method around it.

    Raises:
        SettingsError: what the base refuses, as `method.base`; or a model of another kind.
    """
    with of_base():
        model = base.build(catalog)
    if not isinstance(model, SequenceModel):
        given = f"build of {type(base).__name__} gives {type(model).__name__}"
        problem = f"{given}; due of a base is a SequenceModel, as siftrec.methods.positions.model_of makes it"
        raise SettingsError("method.base.use", problem)
    return model
