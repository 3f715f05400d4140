"""Scores as one log-ratio, weighed by how well they tell the log from its own background. No label is used.

Logistic regression of "from the log" against "drawn as background" on the scores, their products with the logarithm of
the evidence, and whether there is a score at all: an item without content is judged by what else there is. The log is a
mixture of genuine interactions and noise, and the background looks like the noise, so what best tells the two apart rises
with the probability of being genuine, whatever the share of noise. A score that is worth nothing on a log gets next to no
weight there; about a dozen numbers are fitted, far too few to remember anybody.

Events and draws counting alike, the fitted logit is log p(scores | log) − log p(scores | background), in nats: like the
PMI of `likelihood`, it makes an interaction noise with probability ρ e^(−logit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from scipy.optimize import minimize
from torch import nn

from siftrec import seeds
from siftrec.data.sequences import Sequences
from siftrec.detectors.fitted import DRAWS, LENGTH, Fitted, OnFold, drawn_for, judge, judge_drawn
from siftrec.detectors.slots import others, pieces
from siftrec.errors import ArtifactError, UsageError

_RIDGE = 1e-4
_SAME = 1e-9
_EVENTS = 50_000


@dataclass(frozen=True)
class LogRatio:
    """The fitted combination of S scores.

    Attributes:
        mean: (P,) of the features over the background.
        scale: (P,) their deviations there.
        weights: (P+1,) of the standardised features and, last, the constant.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(
        cls, scores_ES: np.ndarray, evidence: np.ndarray, drawn_RS: np.ndarray, drawn_evidence: np.ndarray
    ) -> LogRatio:
        """Weigh the scores; events and draws without evidence are left out.

        Args:
            scores_ES: of the log's events, higher = more genuine, 0 = this scorer has nothing to say; each user's from
                models without that user.
            evidence: (E,) number of other interactions that could vouch.
            drawn_RS: of background items put in the place of some events, by the same scorers.
            drawn_evidence: (R,) evidence there.

        Raises:
            UsageError: no event or no draw has evidence.
        """
        events, draws = _features(scores_ES, evidence)[evidence > 0], _features(drawn_RS, drawn_evidence)
        draws = draws[drawn_evidence > 0]
        if not len(events) or not len(draws):
            raise UsageError("a log-ratio needs events and background draws with evidence")
        mean, scale = draws.mean(axis=0), draws.std(axis=0)
        # Where all histories are of one length, their evidence deviates by rounding alone, and any other would be far off.
        scale = np.where(scale > _SAME * (1 + np.abs(mean)), scale, 1.0)
        fitted = cls(mean, scale, np.zeros(events.shape[1] + 1))
        found = minimize(_loss, fitted.weights, (fitted._columns(events), fitted._columns(draws)), "L-BFGS-B", jac=True)
        return cls(fitted.mean, fitted.scale, found.x)

    def judge(self, scores_ES: np.ndarray, evidence: np.ndarray) -> np.ndarray:
        """(E,) float32 scores, higher = more genuine; 0 where nothing could vouch.

        Args:
            scores_ES: of any events, in the order fitted.
            evidence: (E,).
        """
        scores = self._columns(_features(scores_ES, evidence)) @ self.weights
        return np.where(evidence > 0, scores, 0).astype(np.float32)

    def _columns(self, features: np.ndarray) -> np.ndarray:
        return np.column_stack([(features - self.mean) / self.scale, np.ones(len(features))])


class Blended(nn.Module):
    """Detectors whose scores are read together, as one log-ratio.

    Args:
        parts: by name, in the order in which they are read.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.detectors = nn.ModuleDict(parts)
        width = 3 * len(parts) + 1
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(width, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(width + 1, dtype=torch.float64))

    @property
    def parts(self) -> Mapping[str, Fitted]:
        """See `Fitted`; the whole is called `blend` where it is one of several."""
        own = {name: cast(Fitted, part) for name, part in self.detectors.items()}
        return own if len(own) == 1 else own | {"blend": self}

    def fold(self, users_B: torch.Tensor) -> torch.Tensor:
        """See `Fitted.fold`: as the first part's; the others need none."""
        return next(iter(self.parts.values())).fold(users_B)

    def fit(
        self,
        log: Sequences,
        content_NG: torch.Tensor,
        seed: int,
        on_fold: OnFold = lambda done, of: None,
        share: float = 1.0,
    ) -> Blended:
        """See `Fitted.fit`: the parts, then their weights, on about 50,000 events; progress is that of the first part."""
        own = [cast(Fitted, part) for part in self.detectors.values()]
        for part, told in zip(own, [on_fold, *[lambda done, of: None] * len(own)], strict=False):
            part.fit(log, content_NG, seed, told, share)
        users = _some(log, int(share * _EVENTS), seed)
        some = log.take(users)
        histories = pieces(some, LENGTH)
        background = drawn_for(self, histories, some.owners, users, int(share * DRAWS), seed)
        scores_ES = np.stack([judge(part, some, content_NG, users) for part in own], axis=1)
        drawn_SS = np.stack([judge_drawn(part, background, content_NG, users) for part in own], axis=1)
        evidence = others(histories) * scores_ES.any(axis=1)
        there = others(background.histories)[background.slots] * drawn_SS.any(axis=1)
        if evidence.any() and there.any():  # else the weights stay 0, and nothing can be told
            fitted = LogRatio.fit(scores_ES, evidence, drawn_SS, there)
            for name in ("mean", "scale", "weights"):
                self.get_buffer(name).copy_(torch.from_numpy(getattr(fitted, name)))
        return self

    def check_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `detectors.state`."""
        if not (state["scale"] > 0).all():
            raise ArtifactError("the scale of a detector's scores must be positive")

    @torch.no_grad()
    def scores(
        self,
        items_BL: torch.Tensor,
        content_NG: torch.Tensor,
        users_B: torch.Tensor | None = None,
        places_BQ: torch.Tensor | None = None,
        shared_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Fitted.scores`: the log-ratio in nats."""
        asked_BQ = items_BL if places_BQ is None else items_BL.gather(1, places_BQ)
        other_BQL = (asked_BQ.unsqueeze(2) != items_BL.unsqueeze(1)) & (items_BL > 0).unsqueeze(1)
        evidence_BQ = other_BQL.sum(dim=2) * (asked_BQ > 0)
        parts = (cast(Fitted, part) for part in self.detectors.values())
        scores_BQS = torch.stack(
            [part.scores(items_BL, content_NG, users_B, places_BQ, shared_BL) for part in parts], dim=2
        )
        evidence_BQ *= scores_BQS.any(dim=2)
        ratio = LogRatio(*(self.get_buffer(name).numpy() for name in ("mean", "scale", "weights")))
        found = ratio.judge(scores_BQS.flatten(0, 1).numpy(), evidence_BQ.flatten().numpy())
        return torch.from_numpy(found).view_as(asked_BQ)


def _some(log: Sequences, events: int, seed: int) -> np.ndarray:
    """Rows of random users who together have about so many events."""
    order = seeds.rng(seed, "log-ratio").permutation(len(log))
    return np.asarray(order[: np.searchsorted(np.cumsum(log.lengths[order]), events) + 1])


def _features(scores_ES: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    amount = np.log(np.maximum(evidence, 1))[:, None]
    return np.asarray(np.hstack([scores_ES, scores_ES * amount, scores_ES != 0, amount]), np.float64)


def _loss(weights: np.ndarray, events: np.ndarray, draws: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean logistic loss, events and draws counting alike, and its gradient."""
    up, down = events @ weights, draws @ weights
    loss = np.logaddexp(0, -up).mean() + np.logaddexp(0, down).mean() + _RIDGE * weights @ weights
    slope = draws.T @ _logistic(down) / len(draws) - events.T @ _logistic(-up) / len(events)
    return float(loss), slope + 2 * _RIDGE * weights


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))
