"""Which items have the largest inner products with a user vector: exactly, or approximately and faster.

An answer never depends on the company in which it was asked for. Products of many rows are rounded otherwise than those
of one, so they only say which items can be among the best at all; those are then compared by products in double
precision, rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from siftrec.errors import missing_extra
from siftrec.nn.topk import top_k

_AT_ONCE = 1 << 24
_WIDTH = 128
_ROUNDING = 2.0**-24
_TRIED, _ENOUGH, _SHARES = 20, 0.985, (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 1.0)
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


class Approximate:
    """Looks at the items of the most promising clusters only (Faiss IVF): a few times faster, and most of the answer.

    How many clusters are looked at is tried out on sample users: as few as find at least 98.5 % of their 20 best.
    Built anew whenever it is wanted, in about a second for 100,000 items: nothing on disk can be stale or damaged.

    Args:
        items_ND: item vectors; row 0 is nobody's.
        sample_SD: user vectors as they will be asked.

    Raises:
        EnvironmentProblem: the extra `ann` is not installed.
    """

    def __init__(self, items_ND: torch.Tensor, sample_SD: torch.Tensor) -> None:
        self._exact, self._items_ND = Exact(items_ND), items_ND
        self._clusters = _clusters(items_ND)
        self.recall = self._tuned(sample_SD)

    @property
    def probed(self) -> float:
        """Share of the clusters that is looked at."""
        return float(self._clusters.nprobe / self._clusters.nlist)

    def _tuned(self, sample_SD: torch.Tensor) -> float:
        nobody = [torch.empty(0, dtype=torch.int64)] * len(sample_SD)
        right = [set(each.codes_K.tolist()) for each in self._exact.search(sample_SD, _TRIED, nobody)]
        recall = 0.0
        for share in _SHARES:
            self._clusters.nprobe = max(1, round(share * self._clusters.nlist))
            found = self.search(sample_SD, _TRIED, nobody)
            hits = sum(len(best & set(each.codes_K.tolist())) for best, each in zip(right, found, strict=True))
            recall = hits / max(sum(map(len, right)), 1)
            if recall >= _ENOUGH:
                break
        return recall

    def search(
        self, users_BD: torch.Tensor, k: int, exclude: Sequence[torch.Tensor], only: torch.Tensor | None = None
    ) -> list[Found]:
        """See `Index.search`; an allow-list, and what the clusters cannot fill, is answered exactly."""
        if only is not None:
            return self._exact.search(users_BD, k, exclude, only)
        found = []
        for row, user_1D in enumerate(users_BD.split(1)):  # one by one: see the top of this file
            near = self._clusters.search(user_1D.numpy(), k + len(exclude[row]))[1][0]
            codes_C = np.setdiff1d(near[near > 0], exclude[row].numpy())
            one = closest(self._items_ND, user_1D[0], torch.from_numpy(codes_C), k)
            if len(one.codes_K) < k:
                (one,) = self._exact.search(user_1D, k, exclude[row : row + 1])
            found.append(one)
        return found


def _clusters(items_ND: torch.Tensor) -> Any:
    """The items, but for padding, in 2 √N clusters."""
    try:
        import faiss
    except ImportError:
        raise missing_extra("ann", "faiss-cpu") from None
    size, dim = items_ND.shape
    lists = max(1, min(round(2 * size**0.5), (size - 1) // _FEWEST))
    found = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    vectors, codes = np.ascontiguousarray(items_ND[1:].numpy(), np.float32), np.arange(1, size)
    found.train(vectors)
    found.add_with_ids(vectors, codes)
    return found


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
