"""`likelihood`: cross-fitted leave-one-out PMI. Every user is judged by a model that was fitted on other users alone.

    PMI_t = log p(i_t | rest of the history) − log p(i_t)

The users are dealt into folds; the model of a fold learns from all the others. A score from a model that has seen the
user would say how well it remembers, not how well the rest vouches. Histories of nobody in the log, whose fold is not
known, are judged by the least convinced model.

The models learn noise as they learn the rest. With more than one round they are fitted again on the log weighed by what
the round before believed of it, 1 − min(1, ρ e^(−PMI)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import nn

from siftrec import seeds
from siftrec.data.loader import bucketed, pad
from siftrec.data.sequences import Sequences
from siftrec.detectors.fitted import DRAWS, LENGTH, Fitted, OnFold, calibrated
from siftrec.detectors.slots import piece_rows, pieces
from siftrec.errors import ArtifactError
from siftrec.nn.cloze import Cloze
from siftrec.settings import Fraction, Rate, Several, Size, settings

_FINAL_RATE = 0.02
_SMALLEST, _PER_PASS = 16, 64


@settings
class Likelihood:
    """How the detector is fitted.

    Attributes:
        folds: F, at least 2; each model learns from all users but a share 1/F.
        dim: D, size of its vectors.
        epochs: passes over the histories, at least.
        steps: at least; a small log is passed over more often.
        batch_size: histories per step, at most; a small log has smaller batches, so that a pass has 64 of them.
        negatives: K, popularity-drawn items per step and in the background that scores are compared with.
        learning_rate: of AdamW; falls to a fiftieth along a cosine.
        dropout: of the item embeddings.
        rounds: how often everything is fitted, each time on the log weighed by what the round before believed of it.
    """

    folds: Several = 4
    dim: Size = 32
    epochs: Size = 5
    steps: Size = 600
    batch_size: Size = 256
    negatives: Size = 256
    learning_rate: Rate = 4e-3
    dropout: Fraction = 0.5
    rounds: Size = 1

    @property
    def fits(self) -> int:
        """How many models are fitted."""
        return self.folds * self.rounds

    def build(self, size: int, content: int) -> CrossFitted:
        """A detector to be fitted, for N items with content vectors of width G, 0 = none."""
        return CrossFitted(self, size, content)


class CrossFitted(nn.Module):
    """F leave-one-out models and the background they compare with; saved and restored as one.

    Args:
        how: settings.
        size: N.
        content: width of the content vectors.
        ids: whether items have embeddings of their own beside their content.
    """

    def __init__(self, how: Likelihood, size: int, content: int, ids: bool = True) -> None:
        super().__init__()
        self.how, self.ids = how, ids
        self.models = nn.ModuleList(Cloze(size, content, how.dim, how.dropout, ids) for _ in range(how.folds))
        self.register_buffer("background", torch.zeros(how.negatives, dtype=torch.int64))
        self.requires_grad_(False).eval()

    @property
    def parts(self) -> Mapping[str, Fitted]:
        """See `Fitted`."""
        return {"likelihood": self}

    def _models(self) -> list[Cloze]:
        return [cast(Cloze, model) for model in self.models]

    def train(self, mode: bool = True) -> CrossFitted:
        """Stays in evaluation mode: whoever holds it trains something else."""
        return super().train(False)

    def fold(self, users_B: torch.Tensor) -> torch.Tensor:
        """Fold of users by their row in the log the models were fitted on.

        The rows are scrambled (Knuth's multiplicative hash): users are sorted by id, and ids may have a rhythm.
        """
        return (users_B * 2_654_435_761 % 2**32 >> 16) % self.how.folds

    @torch.no_grad()
    def scores(
        self,
        items_BL: torch.Tensor,
        content_NG: torch.Tensor,
        users_B: torch.Tensor | None = None,
        places_BQ: torch.Tensor | None = None,
        shared_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Fitted.scores`: PMI_BQ in nats.

        Of users whose fold is not known the least convinced of the models speaks, for one that has seen the user remembers.
        Where it is, the model has seen nothing of them, so `shared_BL` changes nothing.
        """
        background_K = self.get_buffer("background")
        if users_B is None:
            every = [model.information(items_BL, background_K, content_NG, places_BQ) for model in self._models()]
            return torch.stack(every).amin(dim=0)
        found = torch.zeros(items_BL.shape if places_BQ is None else places_BQ.shape)
        fold_B = self.fold(users_B)
        for fold, model in enumerate(self._models()):
            rows = (fold_B == fold).nonzero().squeeze(1)
            places = None if places_BQ is None else places_BQ[rows]
            if len(rows):
                found[rows] = model.information(items_BL[rows], background_K, content_NG, places)
        return found

    def fit(
        self,
        log: Sequences,
        content_NG: torch.Tensor,
        seed: int,
        on_fold: OnFold = lambda done, of: None,
        share: float = 1.0,
    ) -> CrossFitted:
        """See `Fitted.fit`: every fold's model learns from the users of the others; `fold` says whose fold is which.

        The log's weights, where there are any, weigh the interactions; `share` is of the steps.
        """
        self._fit_all(log, content_NG, seed, on_fold, share, 0)
        for turn in range(1, self.how.rounds):
            weighed = self._weighed(log, content_NG, seed, share)
            own = seeds.derive(seed, "likelihood", "round", turn)
            self._fit_all(weighed, content_NG, own, on_fold, share, turn * self.how.folds)
        return self

    def check_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `detectors.state`."""
        background_K, size = state["background"], len(self._models()[0].bias)
        if (background_K < 0).any() or (background_K >= size).any():
            raise ArtifactError(f"the background of the likelihood must be item codes below {size}")

    def _weighed(self, log: Sequences, content_NG: torch.Tensor, seed: int, share: float) -> Sequences:
        """The log, weighed by 1 minus the probability of noise; as it is where nothing can be told apart, or for no work."""
        if not share:
            return log
        users = np.arange(math.ceil(share * len(log)))
        some = log.take(users)
        found = calibrated(self, some, content_NG, users, seed=seed, draws=math.ceil(share * DRAWS))
        if not np.ptp(found.noise):
            return log
        noise = found.rho_upper * np.where(found.evidence > 0, np.exp(-found.score), 1)
        weights = np.ones(len(log.items), np.float32) if log.weights is None else log.weights.copy()
        weights[: len(noise)] *= 1 - np.minimum(1, noise)
        return replace(log, weights=weights)

    def _fit_all(
        self, log: Sequences, content_NG: torch.Tensor, seed: int, on_fold: OnFold, share: float, before: int
    ) -> None:
        """Fit every fold's model anew; `before` were fitted in earlier rounds."""
        histories = pieces(log, LENGTH)
        fold_of = self.fold(torch.from_numpy(piece_rows(log, LENGTH))).numpy()
        rng = seeds.generator(seed, "likelihood", "background")
        self.get_buffer("background").copy_(_popular(log.items, self.how.negatives, rng))
        for fold, model in enumerate(self._models()):
            rows = np.flatnonzero((fold_of != fold) & (histories.lengths > 1))
            with seeds.initialised(seed, "likelihood", fold):
                fresh = Cloze(len(model.bias), content_NG.shape[1], self.how.dim, self.how.dropout, self.ids)
                self._fit(fresh, histories.take(rows), content_NG, seeds.derive(seed, "likelihood", fold), share)
            model.load_state_dict(fresh.state_dict())
            on_fold(before + fold + 1, self.how.fits)

    def _fit(self, model: Cloze, histories: Sequences, content_NG: torch.Tensor, seed: int, share: float) -> None:
        how, rng = self.how, seeds.generator(seed, "negatives")
        optimiser = torch.optim.AdamW(model.parameters(), lr=how.learning_rate, weight_decay=0.0, fused=True)
        size = min(how.batch_size, max(_SMALLEST, len(histories) // _PER_PASS))
        epochs = max(how.epochs, -(-how.steps * size // max(len(histories), 1))) if len(histories) else 0
        plans = [bucketed(histories.lengths, size, seeds.rng(seed, "order", e)) for e in range(epochs)]
        steps = max(sum(map(len, plans)), 1)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, how.learning_rate * _FINAL_RATE)
        model.train()
        every = [batch for plan in plans for batch in plan]
        for rows in every[: math.ceil(share * len(every))]:
            items_BL = pad(histories, rows, LENGTH)
            weights_BL = _weights(histories, rows, items_BL)
            background_K = _popular(histories.items, how.negatives, rng)
            loss = model.loss(items_BL, background_K, content_NG, weights_BL)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            falling.step()


def _popular(items: np.ndarray, count: int, rng: torch.Generator) -> torch.Tensor:
    """Items of random interactions: drawn by popularity."""
    if not len(items):
        return torch.zeros(count, dtype=torch.int64)
    return torch.from_numpy(items[torch.randint(len(items), (count,), generator=rng).numpy()].astype(np.int64))


def _weights(histories: Sequences, rows: np.ndarray, items_BL: torch.Tensor) -> torch.Tensor:
    if histories.weights is None:
        return torch.ones(items_BL.shape)
    ends = histories.lengths[rows]
    return torch.from_numpy(histories.window(rows, ends, items_BL.shape[1], histories.weights))
