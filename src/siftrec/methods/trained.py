"""A trained model, and the answer to what everybody asks of it: what next for this history."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch

from siftrec import seeds
from siftrec.data.catalog import Content
from siftrec.data.loader import pad
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.errors import UsageError
from siftrec.index import Approximate, Exact, Found, Index, allowed, best
from siftrec.methods.added import check_near, covered, new_titles, newcomers
from siftrec.methods.answers import Recommendations, codes_of, codes_of_each, histories_of, listed, tabled, unknown_to
from siftrec.methods.base import Counted, Extensible, Method, Model, Scorer, VectorScorer, scores_of
from siftrec.methods.limits import Limit, limit_of, limits_of
from siftrec.settings import describe

BLOCK = 4
"""Histories that are read together: one alone costs hardly less, and all calls have one shape."""

_SAMPLE = 256
_NUMBERS = 2**20  # of a tensor that are copied together


@dataclass(frozen=True)
class Facts:
    """Where a trained model comes from.

    Attributes:
        seed: of the run.
        protocol: of the split.
        train: fingerprint of the training data.
        test: fingerprint of the test questions.
        epochs: epochs trained (0 for counted methods).
    """

    seed: int = 0
    protocol: str = ""
    train: str = ""
    test: str = ""
    epochs: int = 0


@dataclass(frozen=True, eq=False)
class Trained:
    """What `fit` returns and everything later takes.

    Attributes:
        method: its settings.
        scorer: its state, in evaluation mode.
        items: raw id ↔ code of the catalog.
        popularity: (N,) int64 training interactions of each item (see `Fitting.popularity`).
        facts: provenance.
        contents: the modalities of the catalog it was trained with, in order, whether or not the method reads them.
        titles: raw id → title, of items that have one.
        added: how many of the items, the last ones, came after training.
        index: what finds the best items for a user vector; None = exactly.
    """

    method: Method
    scorer: Scorer
    items: Vocab
    popularity: np.ndarray
    facts: Facts
    contents: tuple[Content, ...] = ()
    titles: Mapping[Any, str] = field(default_factory=dict)
    added: int = 0
    index: Index | None = None

    def __repr__(self) -> str:
        return f"Trained({self.method!r}, {len(self.items) - 1:,} items, seed {self.facts.seed})"

    def recommend(
        self,
        history: Iterable[Any],
        k: int = 10,
        exclude: Iterable[Any] = (),
        seen: bool = False,
        only: Iterable[Any] | None = None,
    ) -> Recommendations:
        """The k best items for a history of raw ids, oldest first; the user need not have been trained on.

        Args:
            history: raw item ids; unknown ones are skipped and reported.
            k: how many, at least 1.
            exclude: raw ids that must not be recommended.
            seen: True allows items of the history itself.
            only: raw ids among which to choose; None = all. Unknown ones, here and in `exclude`, are in `ignored`.

        Raises:
            UsageError: k below 1, or text where a list of ids is needed.
        """
        return self.recommend_many([history], k, exclude, seen, only)[0]

    def recommend_many(
        self,
        histories: Iterable[Iterable[Any]],
        k: int = 10,
        exclude: Iterable[Any] = (),
        seen: bool = False,
        only: Iterable[Any] | None = None,
    ) -> list[Recommendations]:
        """`recommend` for many histories: the same numbers."""
        asked = [listed(history) for history in listed(histories)]
        among = None if only is None else [limit_of(only, self.items)] * len(asked)
        return self._answers(asked, k, [limit_of(exclude, self.items)] * len(asked), seen, among)

    def recommend_table(
        self,
        histories: Any,
        k: int = 10,
        exclude: Iterable[Any] | Mapping[Any, Iterable[Any]] = (),
        seen: bool = False,
        only: Iterable[Any] | Mapping[Any, Iterable[Any]] | None = None,
    ) -> pl.DataFrame:
        """`recommend` for many users, as one table: columns user, rank (from 1), item, score, fallback.

        A warning, a line each, says where nothing of any history was known, and what of `exclude` and `only` limits nothing:
        item ids that the catalog does not hold, users who have no history here.

        Args:
            histories: user → history, or a table with the columns `user` and `history`, e.g. `events.histories()`; or a
                pandas Series of lists with the users as its index.
            k: how many, at least 1.
            exclude: raw ids that nobody is recommended; or those that each user is not: user → raw ids, or a table with the
                columns `user` and `item`. Users are cast to the type of those in `histories`, as ids of items are.
            seen: True allows items of the history itself.
            only: raw ids among which to choose, None = all; or each user's candidates, as in `exclude`.

        Raises:
            DataError: no histories; or a table of limits without its columns.
            UsageError: k below 1, text where a list of ids is needed, or a user without candidates.
        """
        asked = histories_of(histories)
        banned, notes = limits_of("exclude", exclude, asked["user"], self.items)
        among, more = (None, []) if only is None else limits_of("only", only, asked["user"], self.items)
        answers = self._answers(asked["history"].to_list(), k, banned, seen, among)
        for note in (*notes, *more, *unknown_to(self.items.ids, answers)):
            warnings.warn(note, stacklevel=2)
        return tabled(asked["user"], answers, self.items.ids.dtype)

    def users(self, histories: Sequence[Sequence[Any]]) -> torch.Tensor:
        """users_BD of histories of raw ids, oldest first: their inner products with `item_vectors()` are the scores.

        A history of which nothing is known has the vector of an empty one; `recommend` answers by popularity then.

        Raises:
            UsageError: the method counts, and has no vectors.
        """
        with torch.inference_mode():
            return self._users(self._vectors(), codes_of_each(histories, self.items))

    def item_vectors(self) -> tuple[list[Any], np.ndarray]:
        """The raw ids of all items, and their vectors, (n, D) float32 in that order: for an index of your own.

        Raises:
            UsageError: the method counts, and has no vectors.
        """
        vectors_ND = self._vectors().items()[1:].detach().numpy()
        return self.items.ids.to_list(), np.ascontiguousarray(vectors_ND, np.float32)

    def similar(self, item: Any, k: int = 10, exclude: Iterable[Any] = ()) -> list[tuple[Any, float]]:
        """The k items whose vectors point most nearly where this one's does: (raw id, cosine), nearest first.

        An item without content that was never trained on has no vector, so none is like it, and it is like none.

        Args:
            item: raw id.
            k: how many, at least 1.
            exclude: raw ids that must not be among them; unknown ones are skipped.

        Raises:
            UsageError: an unknown item, text where a list of ids is needed, or a method that counts and has no vectors;
                `recommend([item])` says of those what goes with it.
        """
        check_count(k)
        code, items_ND = int(self.codes([item])[0]), self._vectors().items()
        if not code:
            raise UsageError(f"item {item!r} is not in the catalog of {len(self.items) - 1} items")
        with torch.inference_mode():
            lengths_N = self._lengths
            cosine_N = (items_ND @ items_ND[code] / (lengths_N * lengths_N[code])).nan_to_num(nan=-torch.inf)
            if not (isinstance(self.scorer, Extensible) and self.scorer.reads):  # ids alone, drawn and never learned
                learned_N = torch.from_numpy(self.popularity > 0)
                cosine_N = cosine_N.masked_fill(~(learned_N & learned_N[code]), -torch.inf)
            banned = torch.from_numpy(np.append(limit_of(exclude, self.items).codes, code))
            found = best(allowed(cosine_N, banned, None), k)
        return list(zip(self.items.raw(found.codes_K.numpy()), found.scores_K.tolist(), strict=True))

    def add_items(
        self, ids: Sequence[Any], content: Mapping[str, np.ndarray], titles: Mapping[Any, str] | None = None
    ) -> Trained:
        """A model that knows more items, by their content alone: recommended and read in histories like any other.

        Nothing is trained, and this model stays as it is. A detector of false positives (`denoise`) does not know new
        items: it takes their word for nothing, and nobody's word for them.

        Args:
            ids: n raw ids, none of which is known yet.
            content: modality → (n, F) raw vectors, as the model was trained on; a row of NaN = the item lacks it.
            titles: raw id → title, of any of them.

        Raises:
            UsageError: a known id, or a method that knows items by their ids alone.
            DataError: ids, content or titles that do not fit the catalog; an item without any content.
        """
        scorer = self.scorer
        if not isinstance(scorer, Extensible) or not scorer.reads:
            name = type(self.method).__name__
            raise UsageError(f"this {name} knows items by their ids alone, so none can be added; train it on content")
        if not len(ids):
            return self
        new = newcomers(self.items, self.contents, ids, content)
        wider = scorer.extended(new.raw, new.present)
        check_near(wider, new.ids, self.added)
        more = replace(
            self,
            scorer=wider,
            items=self.items.extended(new.ids),
            popularity=np.concatenate([self.popularity, np.zeros(len(new.ids), self.popularity.dtype)]),
            contents=covered(self.contents, len(self.items) - 1, new.present),
            titles={**self.titles, **new_titles(new.ids, titles or {})},
            added=self.added + len(new.ids),
            index=None,
        )
        return more if self.index is None else replace(more, index=self.index.extended(more._vectors().items()))

    def approximated(self, centres: Callable[[torch.Tensor], torch.Tensor] | None = None) -> Trained:
        """The same model, that finds the best items by `index.Approximate`: for catalogs too large to look at every item.

        How closely it must look is tried out on histories of popular items. The index is not saved with the model; items
        that are added later (`add_items`) are looked at one by one.

        Args:
            centres: gives the middles of the clusters of item vectors, from a cache perhaps; None: they are worked out.

        Raises:
            UsageError: the method counts, and has no vectors.
            EnvironmentProblem: the extra `ann` is not installed.
        """
        scorer = self._vectors()
        weights = np.maximum(self.popularity[1:], 1)
        drawn = seeds.rng(0, "index").choice(np.arange(1, len(self.items)), (_SAMPLE, 5), p=weights / weights.sum())
        with torch.inference_mode():
            return replace(self, index=Approximate(scorer.items(), self._users(scorer, list(drawn)), centres))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the method's settings and of what it learned; items that are added later do not change it."""
        digest = hashlib.sha256(json.dumps(describe(self.method), sort_keys=True).encode())
        learned = self.scorer.named_parameters() if isinstance(self.scorer, Model) else self.scorer.tensors().items()
        for name, tensor in sorted(learned):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            for part in tensor.detach().cpu().reshape(-1).split(_NUMBERS):
                flat = part.clone(memory_format=torch.contiguous_format)  # of one number, too
                digest.update(flat.view(torch.uint8).numpy())
        return digest.hexdigest()

    def codes(self, ids: Iterable[Any]) -> np.ndarray:
        """(n,) int32 item codes of raw ids; 0 = unknown.

        Raises:
            UsageError: text or a single number in place of a list.
            DataError: ids that are neither text nor numbers, or some of each.
        """
        return codes_of(ids, self.items)

    def padded(self, coded: list[np.ndarray]) -> torch.Tensor:
        """At most BLOCK histories as they are read, without unknown items: items_BL of one shape for all.

        One shape means the same numbers for a history, whatever else is asked with it.
        """
        known = [codes[codes > 0] for codes in coded] + [np.empty(0, np.int32)] * (BLOCK - len(coded))
        rows = Sequences.from_items(np.concatenate(known), np.array([len(codes) for codes in known]))
        items_BL = pad(rows, np.arange(BLOCK), self.method.length)
        short = max(min(self.method.length, 512) - items_BL.shape[1], 0)
        return torch.nn.functional.pad(items_BL, (short, 0))

    def _answers(
        self,
        histories: Sequence[Sequence[Any]],
        k: int,
        banned: Sequence[Limit],
        seen: bool,
        among: Sequence[Limit] | None,
    ) -> list[Recommendations]:
        """The answers for histories of which each has its own banned items, and its own candidates."""
        check_count(k)
        own = codes_of_each(histories, self.items)
        excluded = [
            torch.from_numpy(limit.codes if seen else np.concatenate([limit.codes, codes]))
            for limit, codes in zip(banned, own, strict=True)
        ]
        only = None if among is None else [torch.from_numpy(limit.codes) for limit in among]
        found = self._found(own, k, excluded, only)
        others = [()] * len(own) if among is None else [limit.unknown for limit in among]
        return [
            self._answer(each, history, codes, (*limit.unknown, *other))
            for each, history, codes, limit, other in zip(found, histories, own, banned, others, strict=True)
        ]

    def _vectors(self) -> VectorScorer:
        if not isinstance(self.scorer, VectorScorer):
            raise without_vectors(self.method)
        return self.scorer

    @cached_property
    def _lengths(self) -> torch.Tensor:
        lengths_N: torch.Tensor = self._vectors().items().norm(dim=1)
        return lengths_N

    @cached_property
    def _index(self) -> Index:
        return self.index or Exact(self._vectors().items())

    @torch.inference_mode()
    def _found(
        self, coded: list[np.ndarray], k: int, excluded: list[torch.Tensor], only: list[torch.Tensor] | None
    ) -> list[Found]:
        """The best items for histories; where nothing of one is known, the most popular."""
        among = [None] * len(coded) if only is None else only
        known = [row for row, codes in enumerate(coded) if codes.any()]
        some = [coded[row] for row in known]
        if isinstance(self.scorer, VectorScorer):
            without = [excluded[row] for row in known]
            within = None if only is None else [only[row] for row in known]
            answers = self._index.search(self._users(self.scorer, some), k, without, within) if some else []
        else:
            blocks = (scores_of(self.scorer, self.padded(some[at : at + BLOCK])) for at in range(0, len(some), BLOCK))
            scores = (scores_N for scores_BN in blocks for scores_N in scores_BN)
            answers = [
                best(allowed(scores_N, excluded[row], among[row]), k)
                for row, scores_N in zip(known, scores, strict=False)
            ]
        by_row = dict(zip(known, answers, strict=True))
        return [
            by_row[row] if row in by_row else best(allowed(self._popular(), excluded[row], among[row]), k)
            for row in range(len(coded))
        ]

    def _popular(self) -> torch.Tensor:
        return torch.from_numpy(self.popularity.astype(np.float64))

    def _users(self, scorer: VectorScorer, coded: list[np.ndarray]) -> torch.Tensor:
        blocks = [scorer.users(self.padded(coded[at : at + BLOCK])) for at in range(0, len(coded), BLOCK)]
        return torch.cat(blocks)[: len(coded)] if blocks else scorer.items()[:0]

    def _answer(
        self, found: Found, history: Sequence[Any], codes: np.ndarray, ignored: tuple[Any, ...]
    ) -> Recommendations:
        items = self.items.raw(found.codes_K.numpy())
        unknown = [raw for raw, code in zip(history, codes, strict=True) if code == 0]
        return Recommendations(items, found.scores_K.tolist(), unknown, not codes.any(), ignored)


def check_count(k: int) -> None:
    """Whether so many items can be asked for.

    Raises:
        UsageError: not a whole number, or below 1.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise UsageError(f"k must be a whole number of at least 1, not {k!r}")


def without_vectors(method: Method) -> UsageError:
    """The refusal of what needs vectors of items and users."""
    how = "counts" if isinstance(method, Counted) else "reads history and candidate together"
    return UsageError(f"{type(method).__name__} {how}; it has no vectors of items and users")
