"""Which items have the largest inner products with a user vector: exactly, or approximately and faster.

An answer never depends on the company in which it was asked for. Products of many rows are rounded otherwise than those
of one, so they only say which items can be among the best at all; those are then compared by products in double
precision, rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import torch

from siftrec.errors import missing_extra
from siftrec.nn.topk import top_k

_AT_ONCE = 1 << 24
_WIDTH = 128
_ROUNDING = 2.0**-24
_DEPTH, _LAST = 100, 10
"""How many items are asked of the clusters at most; the last of them are the hardest to find."""
_ENOUGH, _SHARES = 0.985, (1 / 16, 1 / 8, 3 / 16, 1 / 4, 5 / 16, 3 / 8, 1 / 2, 1.0)
_FEWEST = 39
"""Items of a cluster, at least: with fewer Faiss warns that its means are chance."""

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
        self,
        users_BD: torch.Tensor,
        k: int,
        exclude: Sequence[torch.Tensor],
        only: Sequence[torch.Tensor] | None = None,
    ) -> list[Found]:
        """The k best items for each user.

        Args:
            users_BD: user vectors.
            k: at least 1.
            exclude: for each user, int64 codes that must not be chosen.
            only: for each user, int64 codes among which to choose; None = all.
        """
        ...

    def extended(self, items_ND: torch.Tensor) -> Index:
        """One that finds more items too.

        Args:
            items_ND: the vectors it has, and behind them others.
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
        self,
        users_BD: torch.Tensor,
        k: int,
        exclude: Sequence[torch.Tensor],
        only: Sequence[torch.Tensor] | None = None,
    ) -> list[Found]:
        """See `Index.search`."""
        found: list[Found] = []
        for block_BD in users_BD.split(max(1, _AT_ONCE // len(self._items_ND))):
            for user_D, scores_N in zip(block_BD, block_BD @ self._columns_DN, strict=True):
                row = len(found)
                able_N = allowed(scores_N, exclude[row], None if only is None else only[row])
                found.append(closest(self._items_ND, user_D, self._candidates(user_D, able_N, k), k))
        return found

    def extended(self, items_ND: torch.Tensor) -> Exact:
        """See `Index.extended`."""
        return Exact(items_ND)

    def _candidates(self, user_D: torch.Tensor, scores_N: torch.Tensor, k: int) -> torch.Tensor:
        """Codes, in order, of every item that can be among the k best however its score was rounded."""
        # A product is off by at most D roundings of ‖u‖‖v‖, whatever its order of summation; the last rounding is ours.
        slack = 2 * (len(user_D) + 2) * _ROUNDING * float(user_D.norm()) * self._longest
        least = max(float(_reached(scores_N, k)) - slack, _LEAST)
        return torch.from_numpy(np.flatnonzero(scores_N.numpy() >= least))


class Approximate:
    """Looks at the items of the most promising clusters only (Faiss IVF): faster, and most of the answer.

    How many clusters are looked at is tried out on sample users: as few as find at least 98.5 % of the last 10 of their 100
    best. So bad clusters cost time, not items. What takes more than the 100 best, a long answer or one without many
    others, and what has an allow-list, is answered exactly.

    Args:
        items_ND: item vectors; row 0 is nobody's.
        sample_SD: user vectors as they will be asked.
        centres: gives the middles of the clusters of items_ND.

    Attributes:
        recall: share of those 10 that was found.

    Raises:
        EnvironmentProblem: the extra `ann` is not installed.
    """

    def __init__(
        self,
        items_ND: torch.Tensor,
        sample_SD: torch.Tensor,
        centres: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self._items_ND, self._clustered = items_ND, len(items_ND)
        self._beside: Exact | None = None
        self._clusters = _clusters(items_ND, (centres or centres_of)(items_ND))
        self.recall = self._tuned(sample_SD)

    @property
    def probed(self) -> float:
        """Share of the clusters that is looked at."""
        return float(self._clusters.nprobe / self._clusters.nlist)

    def _tuned(self, sample_SD: torch.Tensor) -> float:
        nobody = [torch.empty(0, dtype=torch.int64)] * len(sample_SD)
        right = [each.codes_K[-_LAST:].numpy() for each in self._exact.search(sample_SD, _DEPTH, nobody)]
        recall = 0.0
        for share in _SHARES:
            self._clusters.nprobe = max(1, round(share * self._clusters.nlist))
            found = self._clusters.search(sample_SD.numpy(), _DEPTH)[1]
            hits = sum(np.isin(best, each).sum() for best, each in zip(right, found, strict=True))
            recall = float(hits / max(sum(map(len, right)), 1))
            if recall >= _ENOUGH:
                break
        return recall

    @cached_property
    def _exact(self) -> Exact:
        return Exact(self._items_ND)

    def extended(self, items_ND: torch.Tensor) -> Self:
        """See `Index.extended`; the others are in no cluster, so each of them is looked at."""
        wider = copy(self)
        wider.__dict__.pop("_exact", None)
        wider._items_ND, wider._beside = items_ND, Exact(items_ND[self._clustered - 1 :])
        return wider

    def search(
        self,
        users_BD: torch.Tensor,
        k: int,
        exclude: Sequence[torch.Tensor],
        only: Sequence[torch.Tensor] | None = None,
    ) -> list[Found]:
        """See `Index.search`."""
        if only is not None or k > _DEPTH:
            return self._exact.search(users_BD, k, exclude, only)
        found = []
        for row, user_1D in enumerate(users_BD.split(1)):  # one by one: see the top of this file
            near = self._clusters.search(user_1D.numpy(), min(k + len(exclude[row]), _DEPTH))[1][0]
            codes_C = np.setdiff1d(near[near > 0], exclude[row].numpy())
            if len(codes_C) < k:
                found += self._exact.search(user_1D, k, exclude[row : row + 1])
                continue
            codes_C = np.concatenate([codes_C, self._others(user_1D, k, exclude[row])])
            found.append(closest(self._items_ND, user_1D[0], torch.from_numpy(codes_C), k))
        return found

    def _others(self, user_1D: torch.Tensor, k: int, exclude: torch.Tensor) -> np.ndarray:
        """Codes, in order, of the k best of the items that are in no cluster."""
        if self._beside is None:
            return np.empty(0, np.int64)
        before = self._clustered - 1
        (found,) = self._beside.search(user_1D, k, [exclude[exclude > before] - before])
        return np.sort(found.codes_K.numpy()) + before


def faiss() -> Any:
    """The library of the extra `ann`.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    try:
        import faiss as library
    except ImportError:
        raise missing_extra("ann", "faiss-cpu") from None
    return library


def centres_of(items_ND: torch.Tensor) -> torch.Tensor:
    """centres_CD: the middles of 2 √N clusters of the items, but for padding; they take the time that an index takes."""
    dim, lists = items_ND.shape[1], clusters_of(items_ND)
    middles = faiss().IndexFlatIP(dim)
    trained = faiss().IndexIVFFlat(middles, dim, lists, faiss().METRIC_INNER_PRODUCT)
    trained.train(_vectors(items_ND))
    return torch.from_numpy(middles.reconstruct_n(0, lists))


def clusters_of(items_ND: torch.Tensor) -> int:
    """How many clusters there are of so many items."""
    size = len(items_ND)
    return max(1, min(round(2 * math.sqrt(size)), (size - 1) // _FEWEST))


def _clusters(items_ND: torch.Tensor, centres_CD: torch.Tensor) -> Any:
    """The items, but for padding, each in the cluster of the nearest centre."""
    middles = faiss().IndexFlatIP(items_ND.shape[1])
    middles.add(np.ascontiguousarray(centres_CD.numpy(), np.float32))
    found = faiss().IndexIVFFlat(middles, *reversed(centres_CD.shape), faiss().METRIC_INNER_PRODUCT)
    found.add_with_ids(_vectors(items_ND), np.arange(1, len(items_ND)))
    return found


def _vectors(items_ND: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(items_ND[1:].numpy(), np.float32)


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
