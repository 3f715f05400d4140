"""`blend`: several scores as one, weighed by how well they tell the log from its own background. No label is used.

Logistic regression of "from the log" against "drawn as background" on the scores and their products with the logarithm
of the evidence. The log is a mixture of genuine interactions and noise, and the background looks like the noise, so what
best tells the two apart rises with the probability of being genuine, whatever the share of noise. A score that is worth
nothing on a log gets next to no weight there; about ten numbers are fitted, far too few to remember anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from siftrec.errors import UsageError

_RIDGE = 1e-4


@dataclass(frozen=True)
class Blend:
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
    ) -> Blend:
        """Weigh the scores; events and draws without evidence are left out.

        Args:
            scores_ES: of the log's events, higher = more genuine; each user's from models without that user.
            evidence: (E,) number of other interactions that could vouch.
            drawn_RS: of background items put in the place of some events, by the same scorers.
            drawn_evidence: (R,) evidence there.

        Raises:
            UsageError: no event or no draw has evidence.
        """
        events, draws = _features(scores_ES, evidence)[evidence > 0], _features(drawn_RS, drawn_evidence)
        draws = draws[drawn_evidence > 0]
        if not len(events) or not len(draws):
            raise UsageError("a blend needs events and background draws with evidence")
        mean, scale = draws.mean(axis=0), draws.std(axis=0)
        fitted = cls(mean, np.where(scale > 0, scale, 1.0), np.zeros(events.shape[1] + 1))
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


def _features(scores_ES: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    amount = np.log(np.maximum(evidence, 1))[:, None]
    return np.asarray(np.hstack([scores_ES, scores_ES * amount, amount]), np.float64)


def _loss(weights: np.ndarray, events: np.ndarray, draws: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean logistic loss, events and draws counting alike, and its gradient."""
    up, down = events @ weights, draws @ weights
    loss = np.logaddexp(0, -up).mean() + np.logaddexp(0, down).mean() + _RIDGE * weights @ weights
    slope = draws.T @ _logistic(down) / len(draws) - events.T @ _logistic(-up) / len(events)
    return float(loss), slope + 2 * _RIDGE * weights


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))
