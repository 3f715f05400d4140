"""CauseRec: counterfactual user sequence synthesis for sequential recommendation (Zhang et al., SIGIR 2021).

Its item-level form; docs/methods/opponents.md says what is simpler than in the paper.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import SettingsError
from siftrec.methods.base import ListensToWeights, Losses, Model
from siftrec.methods.model import Base, SequenceModel, Step, base_model
from siftrec.methods.sasrec import SASRec
from siftrec.nn.views import Plan, Side, random_views, ranks, select
from siftrec.settings import Fraction, Size, Weight, settings


@settings
class CauseRec:
    """Contrasts a history with what it would have been without its dispensable, or its indispensable, interactions.

    An interaction is the more indispensable the more similar its item is to the target. Replacing dispensable ones should
    change nothing (positive views), replacing indispensable ones everything (negative views).

    Attributes:
        base: what recommends, and encodes the views.
        count: views per side.
        share: of either half of a history that a view replaces.
        offers: substitutes drawn per step, by popularity.
        user_weight: λ of the triplet of user, mean positive and mean negative view.
        target_weight: λ of the contrast of the target with the mean views.
        margin: of the distances in the triplet.
        cosine: of target and mean negative view above which they are pushed apart.
    """

    base: Base = SASRec()
    count: Size = 2
    share: Fraction = 0.5
    offers: Size = 256
    user_weight: Weight = 0.1
    target_weight: Weight = 0.1
    margin: Weight = 1.0
    cosine: Fraction = 0.5

    @property
    def length(self) -> int:
        """L of the base."""
        return self.base.length

    @property
    def rows(self) -> Literal["prefix", "sequence"]:
        """As the base's."""
        return self.base.rows

    @property
    def weighted_targets(self) -> bool:
        """As the base's."""
        return not isinstance(self.base, ListensToWeights) or self.base.weighted_targets

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        model = base_model(self.base, catalog)
        if model.gating is not None or model.denoising is not None:
            problem = "CauseRec replaces whole interactions: it needs a base without a gate and without `denoise`"
            raise SettingsError("method.base.use", problem)
        return model

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`."""
        self.base.start_epoch(model, data, epoch, seed)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        model = cast(SequenceModel, model)
        step, offers_O = self.base.step(model, batch, rng), self._offers(model, rng)
        views_BVL = self.views(step, batch, offers_O, rng)
        flat_nL = views_BVL.flatten(0, 1)
        users_nD = model.encoder(model.local(flat_nL)(flat_nL), flat_nL > 0, rng)
        positive_BD, negative_BD = users_nD.view(len(batch), 2, self.count, -1).mean(dim=2).unbind(dim=1)
        rows = (views_BVL != batch.items_BL.unsqueeze(1)).any(dim=2).all(dim=1)
        targets_BD = step.local(batch.targets_BP[:, -1])
        user, target = counterfactual(
            step.users_BD[rows], targets_BD[rows], positive_BD[rows], negative_BD[rows], self.margin, self.cosine
        )
        return {**step.losses, "user": self.user_weight * user, "target": self.target_weight * target}

    def _offers(self, model: SequenceModel, rng: torch.Generator) -> torch.Tensor:
        popularity_N = model.get_buffer("popularity").clone()
        popularity_N[0] = 0
        return torch.multinomial(popularity_N, self.offers, replacement=True, generator=rng)

    @torch.no_grad()
    def views(self, step: Step, batch: Batch, offers_O: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """views_BVL: item codes of `count` positive views and as many negative ones; too short histories stay.

        Args:
            step: of the base.
            batch: rows.
            offers_O: item codes that may come in.
            rng: generator.
        """
        items_BL, target_B1 = batch.items_BL, batch.targets_BP[:, -1:]
        real_BL = items_BL > 0
        importance_BL = F.cosine_similarity(step.local(items_BL), step.local(target_B1), dim=2)
        rank_BL = ranks(importance_BL, real_BL)
        own_BO = (items_BL.unsqueeze(2) == offers_O).any(dim=1) | (target_B1 == offers_O)
        sides: tuple[Side, Side] = ("positive", "negative")
        plans = [Plan(side, self.share, (0.0, 1.0)) for side in sides for _ in range(self.count)]
        choices = [random_views(1, 1.0, select(plan, rank_BL, real_BL, rng), ~own_BO, rng) for plan in plans]
        choice_BVL = torch.cat(choices, dim=1)
        return torch.where(choice_BVL >= 0, offers_O[choice_BVL], items_BL.unsqueeze(1))


def counterfactual(
    users_BD: torch.Tensor,
    targets_BD: torch.Tensor,
    positive_BD: torch.Tensor,
    negative_BD: torch.Tensor,
    margin: float,
    cosine: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two contrasts, each the mean over rows; 0 without rows.

    user: max(0, ‖u − u⁺‖ − ‖u − u⁻‖ + margin);  target: 1 − cos(i, u⁺) + max(0, cos(i, u⁻) − cosine)
    """
    if not len(users_BD):
        return users_BD.sum(), users_BD.sum()
    user = F.triplet_margin_loss(users_BD, positive_BD, negative_BD, margin=margin)
    near_B = 1 - F.cosine_similarity(targets_BD, positive_BD)
    far_B = torch.relu(F.cosine_similarity(targets_BD, negative_BD) - cosine)
    return user, (near_B + far_B).mean()
