"""`cooccurrence`: how much more often than by chance other users had an item together with the rest of its history.

The mean over the rest of log((seen + .5) / (expected + .5)): *seen*, how many other users had both items; *expected*, how
many would if items were had independently. Nothing is trained. Leaving a user out is exact: what they added to any
count is taken away before they are judged; so is the user from whom a drawn item is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import scipy.sparse
import torch
from torch import nn

from siftrec.data.keys import distinct_keys
from siftrec.data.sequences import Sequences
from siftrec.detectors.fitted import Fitted, OnFold
from siftrec.detectors.ratio import Blended
from siftrec.errors import ArtifactError
from siftrec.settings import Rate, settings

_LATEST = 500


@settings
class Cooccurrence:
    """How pairs are counted.

    Attributes:
        smoothing: number of users added to what was seen and to what was expected; the more, the less a rare pair says.
    """

    smoothing: Rate = 0.5

    def build(self, size: int, content: int) -> Blended:
        """A detector to be fitted, for N items; content has no say."""
        return Blended({"cooccurrence": PairCounts(self, size)})


class PairCounts(nn.Module):
    """How many users had each item, and each pair of items.

    The pairs are kept as extra state (`get_extra_state`), for how many there are only the log says: (3, P) int32, items
    i < j that anybody had both of, in ascending order, and how many users had. Of every user the latest 500 interactions
    count, for pairs grow with the square. Older ones are judged as if they had counted, one user too low.

    Args:
        how: settings.
        size: N.
    """

    def __init__(self, how: Cooccurrence, size: int) -> None:
        super().__init__()
        self.how = how
        self._keys, self._had = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int32)
        self.register_buffer("popularity", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("users", torch.zeros((), dtype=torch.int64))

    @property
    def parts(self) -> Mapping[str, Fitted]:
        """See `Fitted`."""
        return {"cooccurrence": self}

    def fold(self, users_B: torch.Tensor) -> torch.Tensor:
        """See `Fitted.fold`: a user is taken out of the counts."""
        return torch.zeros_like(users_B)

    def get_extra_state(self) -> torch.Tensor:
        """The pairs."""
        size = len(self.get_buffer("popularity"))
        return torch.stack([(self._keys // size).int(), (self._keys % size).int(), self._had])

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Take over pairs.

        Raises:
            ArtifactError: not what `get_extra_state` gives.
        """
        self._keys, self._had = self._pairs(state), state[2]

    def check_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `detectors.state`."""
        self._pairs(state["_extra_state"])
        if (state["popularity"] < 0).any() or state["users"] < 0:
            raise ArtifactError("the counts of the co-occurrence detector must not be negative")

    def _pairs(self, state: torch.Tensor) -> torch.Tensor:
        """(P,) int64 keys i · N + j of the pairs of an extra state."""
        size = len(self.get_buffer("popularity"))
        if state.dtype == torch.int32 and state.ndim == 2 and len(state) == 3:
            low, high, had = state.long()
            keys: torch.Tensor = low * size + high
            if bool(((low > 0) & (low < high) & (high < size) & (had > 0)).all() and (keys[1:] > keys[:-1]).all()):
                return keys
        raise ArtifactError("the pairs of the co-occurrence detector must be ascending item codes and their counts")

    def fit(
        self,
        log: Sequences,
        content_NG: torch.Tensor,
        seed: int,
        on_fold: OnFold = lambda done, of: None,
        share: float = 1.0,
    ) -> PairCounts:
        """See `Fitted.fit`; nothing here is random, and content has no say."""
        size = len(self.get_buffer("popularity"))
        some = log.take(np.arange(math.ceil(share * len(log))))
        late = some.offsets[1:][some.owners] - np.arange(len(some.items)) <= _LATEST
        had = distinct_keys(some.owners[late] * np.int64(size) + some.items[late])
        user_had = scipy.sparse.csr_matrix((np.ones(len(had), np.int32), np.divmod(had, size)), shape=(len(some), size))
        pairs = scipy.sparse.triu(user_had.T @ user_had, k=1).tocoo()
        keys = pairs.row * np.int64(size) + pairs.col
        order = np.argsort(keys)
        self._keys, self._had = torch.from_numpy(keys[order]), torch.from_numpy(pairs.data[order].astype(np.int32))
        self.get_buffer("popularity").copy_(torch.from_numpy(np.bincount(had % size, minlength=size)))
        self.get_buffer("users").fill_(len(some))
        on_fold(1, 1)
        return self

    @torch.no_grad()
    def scores(
        self,
        items_BL: torch.Tensor,
        content_NG: torch.Tensor,
        users_B: torch.Tensor | None = None,
        places_BQ: torch.Tensor | None = None,
        shared_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Fitted.scores`: the mean log-ratio of seen to expected; content has no say."""
        asked_BQ = items_BL if places_BQ is None else items_BL.gather(1, places_BQ)
        pair_BQL = (asked_BQ.unsqueeze(2) != items_BL.unsqueeze(1)) & (items_BL > 0).unsqueeze(1)
        pair_BQL &= (asked_BQ > 0).unsqueeze(2)
        if places_BQ is None:
            pair_BQL = pair_BQL.triu()  # a pair says the same of both
        row, place, other = pair_BQL.nonzero().unbind(1)
        left = 0 if users_B is None else 1 if shared_BL is None else 2
        both_n = torch.full_like(row, left) if shared_BL is None or left < 2 else shared_BL[row, other].long()
        ratio = self._ratio(asked_BQ[row, place], items_BL[row, other], both_n, left)
        total_BQL = torch.zeros(pair_BQL.shape)
        total_BQL[pair_BQL] = ratio
        if places_BQ is None:
            total_BQL, pair_BQL = total_BQL + total_BQL.transpose(1, 2), pair_BQL | pair_BQL.transpose(1, 2)
        return total_BQL.sum(dim=2) / pair_BQL.sum(dim=2).clamp_min(1)

    def _ratio(self, asked_n: torch.Tensor, other_n: torch.Tensor, both_n: torch.Tensor, left: int) -> torch.Tensor:
        """(n,) log-ratio of seen to expected among all users but `left`, of whom `both_n` had both items.

        One left out is the user whose item it is; of two, the first had the other item, the second the item asked for.
        """
        popularity, users = self.get_buffer("popularity"), int(self.get_buffer("users"))
        low_n, high_n = torch.minimum(asked_n, other_n), torch.maximum(asked_n, other_n)
        seen_n = self._seen(low_n * len(popularity) + high_n) - both_n
        asked_by_n, other_by_n = popularity[asked_n] - min(left, 1), popularity[other_n] - both_n - max(left - 1, 0)
        expected_n = asked_by_n * other_by_n / max(users - left, 1)
        return torch.log((seen_n.clamp_min(0) + self.how.smoothing) / (expected_n.clamp_min(0) + self.how.smoothing))

    def _seen(self, keys_n: torch.Tensor) -> torch.Tensor:
        """(n,) int64 users who had each pair."""
        if not len(self._keys):
            return torch.zeros_like(keys_n)
        at_n = torch.searchsorted(self._keys, keys_n).clamp_max(len(self._keys) - 1)
        return torch.where(self._keys[at_n] == keys_n, self._had[at_n].long(), 0)
