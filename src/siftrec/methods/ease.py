"""EASE, a linear autoencoder in closed form (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import lapack

from siftrec.data.split import Fitting
from siftrec.errors import EnvironmentProblem, SettingsError
from siftrec.methods import counts
from siftrec.settings import Rate, Size, settings


@dataclass(frozen=True)
class EASEScorer:
    """score(i) = Σ over the distinct items t of the history of weights[t, i], plus a tie-breaking trace of popularity.

    Attributes:
        weights_NN: float32, zero diagonal, row and column 0 zero.
        prior_N: float32 score of each item for an empty history.
        length: how many of the last items count.
    """

    weights_NN: torch.Tensor
    prior_N: torch.Tensor
    length: int

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        """See `Scorer.scores`."""
        recent_BL = items_BL[:, -self.length :]
        seen_BN = counts.history_matrix(recent_BL, len(self.prior_N), np.ones(recent_BL.shape[1], np.float32))
        return torch.from_numpy(seen_BN @ self.weights_NN.numpy()) + self.prior_N

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Scorer.tensors`."""
        return {"weights": self.weights_NN, "prior": self.prior_N}


@settings
class EASE:
    """Predict each item of a history from the others, linearly, with an L2 penalty; no hyper-parameter to train.

    Attributes:
        l2: the penalty λ, in interactions.
        length: how many of the last items of a history are scored; fitting uses all. Steck scores whole histories;
            recent items alone predict the next one better (MovieLens-1M validation HR@10 .18 against .11).
        memory_gb: the dense item × item matrices must fit into so many GB.
    """

    l2: Rate = 300.0
    length: Size = 20
    memory_gb: Rate = 4.0

    def fit(self, data: Fitting) -> EASEScorer:
        """Invert the regularised item × item matrix.

        Raises:
            EnvironmentProblem: the catalog is too large for `memory_gb`.
            SettingsError: `l2` is too small for the matrix to be inverted.
        """
        size = len(data.items)
        need = 2 * size * size * 4 / 1e9
        if need > self.memory_gb:
            raise EnvironmentProblem(
                f"EASE on {size - 1} items needs {need:.1f} GB for dense matrices, and memory_gb is "
                f"{self.memory_gb:g}; raise it, or use siftrec:ItemKNN, which is sparse"
            )
        users = counts.interaction_matrix(data.train, size).astype(np.float32)
        weights_NN = torch.from_numpy(_solve((users.T @ users).toarray(order="F"), self.l2))
        prior = counts.TIE * counts.popularity(data.train, size)
        return EASEScorer(weights_NN, torch.from_numpy(prior.astype(np.float32)), self.length)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> EASEScorer:
        """See `Counted.restore`."""
        return EASEScorer(tensors["weights"], tensors["prior"], self.length)


def _solve(gram: np.ndarray, l2: float) -> np.ndarray:
    """(N, N) C-ordered -P_ij / P_jj, zero on the diagonal, with P = (gram + l2 · I)⁻¹; `gram` is Fortran-ordered, reused."""
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += l2
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise SettingsError("l2", f"{l2:g} is too small: the item matrix cannot be inverted; use e.g. 300")
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    # Only the lower triangle was computed; the upper one still holds the zeros of the factor.
    weights = np.ascontiguousarray(inverse + inverse.T)
    weights /= -inverse[diagonal, diagonal]
    weights[diagonal, diagonal] = 0.0
    return weights
