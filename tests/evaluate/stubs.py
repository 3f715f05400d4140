"""Scorers over given scores, and questions to ask them."""

from collections.abc import Sequence as Rows
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from siftrec.data.sequences import Sequences
from siftrec.data.split import Part
from siftrec.data.vocab import Vocab
from siftrec.methods.trained import Facts, Trained


@dataclass(frozen=True)
class Matrix:
    """A plain scorer: row q of the scores answers the history that ends with item q."""

    scores_QN: torch.Tensor

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        return self.scores_QN[items_BL[:, -1]]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"scores": self.scores_QN}


@dataclass(frozen=True)
class Vectors:
    """A vector scorer: row q of the users answers the history that ends with item q."""

    users_QD: torch.Tensor
    items_ND: torch.Tensor

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        return self.users_QD[items_BL[:, -1]]

    def items(self) -> torch.Tensor:
        return self.items_ND

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        return self.users(items_BL) @ self.items_ND.T

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"users": self.users_QD, "items": self.items_ND}


@dataclass(frozen=True)
class Stub:
    length: int = 4


def ragged(rows: Rows[Rows[int]]) -> Sequences:
    flat = [item for row in rows for item in row]
    return Sequences.from_items(np.array(flat, dtype=np.int32), np.array([len(row) for row in rows]))


def questions(targets: Rows[Rows[int]], seen: Rows[Rows[int]], lengths: Rows[int] | None = None) -> Part:
    """Question q has a history of the given length (default 1) that ends with q."""
    histories = [[1] * (length - 1) + [q] for q, length in enumerate(lengths or [1] * len(targets))]
    ids = pl.Series([f"u{q:05d}" for q in range(len(targets))])
    return Part(np.arange(len(targets)), ids, ragged(histories), ragged(targets), ragged(seen), role="test")


def random_questions(rng: np.random.Generator, count: int, catalog: int, most_targets: int = 4) -> Part:
    """Several targets and seen items per question, some repeated; a target is never seen; half the catalog is free."""
    targets, seen = [], []
    for _ in range(count):
        codes = rng.permutation(np.arange(1, catalog))
        count_targets = int(rng.integers(1, min(most_targets, len(codes)) + 1))
        mine = codes[:count_targets].tolist()
        others = codes[count_targets : count_targets + int(rng.integers(0, catalog // 2))].tolist()
        targets.append(mine + mine[: int(rng.integers(0, 2))])
        seen.append(others + others[:2])
    return questions(targets, seen, rng.integers(1, 15, count).tolist())


def trained(scorer: object, catalog: int, popularity: np.ndarray | None = None, seed: int = 7) -> Trained:
    items = Vocab(pl.Series("id", [f"i{code:06d}" for code in range(1, catalog)]))
    popularity = np.arange(catalog) if popularity is None else popularity
    return Trained(Stub(), scorer, items, popularity, Facts(seed, "leave-one-out", "train"))
