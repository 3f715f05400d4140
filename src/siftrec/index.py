"""Which items have the largest inner products with a user vector: exactly, or approximately and faster.

An answer never depends on the company in which it was asked for. Products of many rows are rounded otherwise than those
of one, so they only say which items can be among the best at all; those are then compared by products in double
precision, rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from siftrec.nn.topk import top_k

_AT_ONCE = 1 << 24
_WIDTH = 128
_ROUNDING = 2.0**-24
_LEAST = torch.finfo(torch.float32).min


class Found(NamedTuple):
    """The best items for one user, best first; equal scores in code order. Fewer than k where no more may be chosen.

    Attributes:
        codes_K: int64.
        scores_K: float32.
    """

    codes_K: torch.Tensor
    scores_K: torch.Tensor


class Index(Protocol):
    """Finds the items with the largest inner products."""

    def search(
        self, users_BD: torch.Tensor, k: int, exclude: Sequence[torch.Tensor], only: torch.Tensor | None = None
    ) -> list[Found]:
        """The k best items for each user.

        Args:
            users_BD: user vectors.
            k: at least 1.
            exclude: for each user, int64 codes that must not be chosen.
            only: int64 codes among which to choose, for all users; None = all.
        """
        ...


class Exact:
    """Looks at every item.

    Args:
        items_ND: item vectors; row 0 is nobody's.
    """

    def __init__(self, items_ND: torch.Tensor) -> None:
        self._items_ND = items_ND
        self._columns_DN = items_ND.T.contiguous()  # one user's scores in the order of memory: half the time
        self._longest = float(items_ND.norm(dim=1).max())

    def search(
        self, users_BD: torch.Tensor, k: int, exclude: Sequence[torch.Tensor], only: torch.Tensor | None = None
    ) -> list[Found]:
        """See `Index.search`."""
        found: list[Found] = []
        for block_BD in users_BD.split(max(1, _AT_ONCE // len(self._items_ND))):
            for user_D, scores_N in zip(block_BD, block_BD @ self._columns_DN, strict=True):
                able_N = allowed(scores_N, exclude[len(found)], only)
                found.append(closest(self._items_ND, user_D, self._candidates(user_D, able_N, k), k))
        return found

    def _candidates(self, user_D: torch.Tensor, scores_N: torch.Tensor, k: int) -> torch.Tensor:
        """Codes, in order, of every item that can be among the k best however its score was rounded."""
        # A product is off by at most D roundings of ‖u‖‖v‖, whatever its order of summation; the last rounding is ours.
        slack = 2 * (len(user_D) + 2) * _ROUNDING * float(user_D.norm()) * self._longest
        least = max(float(_reached(scores_N, k)) - slack, _LEAST)
        return torch.from_numpy(np.flatnonzero(scores_N.numpy() >= least))


def _reached(scores_N: torch.Tensor, k: int) -> torch.Tensor:
    """A score that at least k items reach, as high as is cheap to find; -inf where there are not so many."""
    whole = len(scores_N) // _WIDTH * _WIDTH
    if k * 8 > whole // _WIDTH:
        return torch.topk(scores_N, min(k, len(scores_N))).values[-1]
    return torch.topk(scores_N[:whole].view(-1, _WIDTH).amax(dim=1), k).values[-1]


def allowed(scores_N: torch.Tensor, exclude: torch.Tensor, only: torch.Tensor | None) -> torch.Tensor:
    """The scores of items that may be chosen, -inf of the others and of padding; `scores_N` may be overwritten."""
    if only is not None:
        every_N, scores_N = scores_N, torch.full_like(scores_N, -torch.inf)
        scores_N[only] = every_N[only]
    scores_N[0] = -torch.inf
    scores_N[exclude] = -torch.inf
    return scores_N


def closest(items_ND: torch.Tensor, user_D: torch.Tensor, codes_C: torch.Tensor, k: int) -> Found:
    """The k best of some items, by scores that do not depend on which items they are compared with.

    Args:
        items_ND: item vectors.
        user_D: user vector.
        codes_C: int64 distinct codes in ascending order.
        k: at least 1.
    """
    scores_C = (items_ND[codes_C].double() * user_D.double()).sum(dim=1).float()
    return best(scores_C, k, codes_C)


def best(scores_C: torch.Tensor, k: int, codes_C: torch.Tensor | None = None) -> Found:
    """The k largest scores above -inf; `codes_C` ascending, None = the scores are those of all codes."""
    if not len(scores_C):
        return Found(torch.empty(0, dtype=torch.int64), scores_C)
    values_1K, at_1K = top_k(scores_C.unsqueeze(0), min(k, len(scores_C)))
    real_K = values_1K[0] > -torch.inf
    at_K = at_1K[0, real_K]
    return Found(at_K if codes_C is None else codes_C[at_K], values_1K[0, real_K])
