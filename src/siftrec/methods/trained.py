"""A trained model, and the answer to what everybody asks of it: what next for this history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from siftrec.data.catalog import Content
from siftrec.data.loader import pad
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.errors import UsageError
from siftrec.methods.base import Method, Scorer
from siftrec.nn.topk import top_k

BLOCK = 64


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


@dataclass(frozen=True)
class Recommendations:
    """The answer for one history.

    Attributes:
        items: raw ids, best first; fewer than k when the catalog has no more.
        scores: one score per item; comparable within one answer only.
        unknown: history ids that the catalog does not hold; they were skipped.
        fallback: True when nothing of the history was known, so popularity answered.
    """

    items: list[Any]
    scores: list[float]
    unknown: list[Any]
    fallback: bool

    def __str__(self) -> str:
        return "\n".join(f"{rank:3d}  {item}  {score:.4f}" for rank, (item, score) in enumerate(self, start=1))

    def __iter__(self) -> Any:
        return iter(zip(self.items, self.scores, strict=True))


@dataclass(frozen=True)
class Trained:
    """What `fit` returns and everything later takes.

    Attributes:
        method: its settings.
        scorer: its state, in evaluation mode.
        items: raw id ↔ code of the catalog.
        popularity: (N,) int64 training interactions of each item.
        facts: provenance.
        contents: the modalities it was trained with, in order.
    """

    method: Method
    scorer: Scorer
    items: Vocab
    popularity: np.ndarray
    facts: Facts
    contents: tuple[Content, ...] = ()

    def recommend(
        self, history: Iterable[Any], k: int = 10, exclude: Iterable[Any] = (), seen: bool = False
    ) -> Recommendations:
        """The k best items for a history of raw ids, oldest first; the user need not have been trained on.

        Args:
            history: raw item ids; unknown ones are skipped and reported.
            k: how many, at least 1.
            exclude: raw ids that must not be recommended.
            seen: True allows items of the history itself.
        """
        return self.recommend_many([list(history)], k, exclude, seen)[0]

    def recommend_many(
        self, histories: Sequence[Sequence[Any]], k: int = 10, exclude: Iterable[Any] = (), seen: bool = False
    ) -> list[Recommendations]:
        """`recommend` for many histories: the same numbers, for they are computed in blocks of one fixed shape."""
        if k < 1:
            raise UsageError(f"k must be at least 1, not {k}")
        banned = self.codes(list(exclude))
        coded = [self.codes(list(history)) for history in histories]
        answers: list[Recommendations] = []
        for start in range(0, len(coded), BLOCK):
            answers += self._block(coded[start : start + BLOCK], k, banned[banned > 0], seen)
        return [
            Recommendations(a.items, a.scores, [h for h, c in zip(history, codes, strict=True) if c == 0], a.fallback)
            for a, history, codes in zip(answers, histories, coded, strict=True)
        ]

    def codes(self, ids: list[Any]) -> np.ndarray:
        """(n,) int32 item codes of raw ids; 0 = unknown."""
        return self.items.encode(pl.Series(ids, dtype=None if ids else self.items.ids.dtype), unknown=0)

    def padded(self, coded: list[np.ndarray]) -> tuple[Sequences, torch.Tensor]:
        """At most BLOCK histories as they are read: rows without unknown items, and items_BL of one shape for all.

        One shape means the same numbers for a history, whatever else is asked with it.
        """
        known = [codes[codes > 0] for codes in coded] + [np.empty(0, np.int32)] * (BLOCK - len(coded))
        rows = Sequences.from_items(np.concatenate(known), np.array([len(codes) for codes in known]))
        items_BL = pad(rows, np.arange(BLOCK), self.method.length)
        short = max(min(self.method.length, 512) - items_BL.shape[1], 0)
        return rows, torch.nn.functional.pad(items_BL, (short, 0))

    def _block(self, coded: list[np.ndarray], k: int, banned: np.ndarray, seen: bool) -> list[Recommendations]:
        rows, items_BL = self.padded(coded)
        lengths = rows.lengths
        with torch.inference_mode():
            scores_BN = self.scorer.scores(items_BL)[: len(coded)]
        scores_BN = scores_BN.clone()
        scores_BN[lengths[: len(coded)] == 0] = torch.from_numpy(self.popularity).to(scores_BN.dtype)
        scores_BN[:, 0] = -torch.inf
        scores_BN[:, torch.from_numpy(banned.astype(np.int64))] = -torch.inf
        if not seen:
            owner = torch.from_numpy(rows.owners)
            scores_BN[owner, torch.from_numpy(rows.items.astype(np.int64))] = -torch.inf
        values, codes = top_k(scores_BN, min(k, scores_BN.shape[1] - 1))
        return [self._answer(values[row], codes[row], bool(lengths[row] == 0)) for row in range(len(coded))]

    def _answer(self, values: torch.Tensor, codes: torch.Tensor, fallback: bool) -> Recommendations:
        real = torch.isfinite(values)
        items = self.items.decode(codes[real].numpy()).to_list()
        return Recommendations(items, values[real].tolist(), [], fallback)
