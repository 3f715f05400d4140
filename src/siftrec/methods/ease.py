"""EASE, a linear autoencoder in closed form (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.linalg import lapack

from siftrec.data.split import Fitting
from siftrec.errors import EnvironmentProblem, SettingsError
from siftrec.methods import counts
from siftrec.settings import Rate, Size, settings

_BLOCK = 256


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
        memory_gb: the dense item × item matrix must fit into so many GB.
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
        need, have = dense_bytes(size) / 1e9, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
        if need > self.memory_gb:
            way = "raise it, or use" if need < have else f"this machine has {have:.1f} GB; use"
            raise EnvironmentProblem(
                f"EASE on {size - 1} items needs {need:.1f} GB for its dense matrix, and memory_gb is "
                f"{self.memory_gb:g}; {way} siftrec:ItemKNN, which is sparse"
            )
        users = counts.interaction_matrix(data.train, size).astype(np.float32)
        weights_NN = torch.from_numpy(_solve(_gram(users), self.l2))
        prior = counts.TIE * counts.popularity(data.train, size)
        return EASEScorer(weights_NN, torch.from_numpy(prior.astype(np.float32)), self.length)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> EASEScorer:
        """See `Counted.restore`."""
        return EASEScorer(tensors["weights"], tensors["prior"], self.length)


def dense_bytes(size: int) -> int:
    """Bytes that the weights of N items take: themselves, and the piece of the sparse counts that they are filled with."""
    return 4 * size**2 + 12 * size * _BLOCK


def _gram(users: sparse.csr_matrix) -> np.ndarray:
    """(N, N) Fortran-ordered float32: in how many histories two items stand together; filled in pieces."""
    columns, size = users.tocsc(), users.shape[1]
    gram = np.empty((size, size), np.float32, order="F")
    for start in range(0, size, _BLOCK):
        gram[:, start : start + _BLOCK] = (users.T @ columns[:, start : start + _BLOCK]).toarray()
    return gram


def _solve(gram: np.ndarray, l2: float) -> np.ndarray:
    """(N, N) C-ordered -P_ij / P_jj, zero on the diagonal, with P = (gram + l2 · I)⁻¹; `gram` is Fortran-ordered, reused."""
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += l2
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise SettingsError("l2", f"{l2:g} is too small: the item matrix cannot be inverted; use e.g. 300")
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    # Read row by row, what was computed is the upper triangle; the lower one still holds the zeros of the factor.
    weights: np.ndarray = inverse.T
    for start in range(0, len(gram), _BLOCK):
        rows = slice(start, start + _BLOCK)
        weights[rows, :start] = weights[:start, rows].T
        weights[rows, rows] += np.triu(weights[rows, rows], 1).T
    weights /= -weights[diagonal, diagonal]
    weights[diagonal, diagonal] = 0.0
    return weights
