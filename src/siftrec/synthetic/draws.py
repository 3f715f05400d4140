"""What the generators share: popularity, items that are new to a user, content vectors, and the split."""

from __future__ import annotations

import numpy as np
import polars as pl

from siftrec.data.draws import Propose, draw
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, VALID, Split
from siftrec.data.vocab import Vocab
from siftrec.errors import UsageError

CLEAN, POPULAR = 20, 80
"""Candidates of a user: clean ones, the test target among them, and popularity-drawn ones."""

LATENT, CONTENT = 16, 64
_GAIN = 1.2
"""Scale of the view of the latent vectors. With it top-3 agreement finds noise of rho = .4 at AUROC .99, .94, .82."""


def zipf(items: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) popularity of item codes, summing to 1: rank^-0.8 in random order; 0 for padding."""
    popularity = np.concatenate([[0.0], rng.permutation(np.arange(1, items + 1) ** -0.8)])
    return np.asarray(popularity / popularity.sum())


def distinct(propose: Propose, each: int, had_UH: np.ndarray, size: int) -> np.ndarray:
    """(U, each) item codes, distinct within a user and none of `had_UH`; of equal proposals the earlier slot wins.

    Args:
        propose: slots, user · each + place, to items.
        each: items per user.
        had_UH: item codes of each user that must not be drawn.
        size: N.

    Raises:
        UsageError: some user finds too few.
    """
    users = np.arange(len(had_UH))
    had = (users[:, None] * np.int64(size) + had_UH).ravel()
    drawn_UE = draw(propose, np.repeat(users, each), had, size).reshape(len(users), each)
    if not drawn_UE.all():
        raise UsageError(f"{size - 1} items are too few: some user finds too few new ones in their topics")
    return drawn_UE


def view(latent_nE: np.ndarray, blur: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 64) float32: a random linear view of latent vectors, blurred by noise of deviation `blur`."""
    to_content = rng.standard_normal((latent_nE.shape[1], CONTENT)) * _GAIN / np.sqrt(latent_nE.shape[1])
    blurred = latent_nE @ to_content + blur * rng.standard_normal((len(latent_nE), CONTENT))
    return np.asarray(blurred, dtype=np.float32)


def around(topic_n: np.ndarray, topics: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 16) latent vectors: the centre of each item's topic and half a standard normal vector."""
    centres = rng.standard_normal((topics, LATENT))
    return np.asarray(centres[topic_n] + 0.5 * rng.standard_normal((len(topic_n), LATENT)))


def split_of(items_UT: np.ndarray, vocab: Vocab) -> Split:
    """Leave-one-out: of each user's T items the last is the test target, the one before for validation."""
    users, length = items_UT.shape
    log = Sequences.from_items(items_UT.ravel(), np.full(users, length))
    role = np.tile(np.concatenate([np.full(length - 2, TRAIN), [VALID, TEST]]).astype(np.int8), users)
    return Split(log, role, pl.Series("user", np.arange(users)), vocab, "leave-one-out")
