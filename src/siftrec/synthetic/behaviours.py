"""Behaviours with planted interests and planted noise: the truth is known, and there is a null setting without any.

Items have a topic; users have a few. An interaction comes from the user's topics with probability 1 - rho, else from
the whole catalog, by popularity both times; no user has an item twice. It is noise if its topic is not among the user's.
Popularity in the whole catalog means: how often the item is interacted with, so popularity alone does not give noise away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
import polars as pl

from siftrec import seeds
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.draws import Propose
from siftrec.data.interactions import Interactions
from siftrec.data.split import Split
from siftrec.data.vocab import Vocab
from siftrec.errors import UsageError
from siftrec.synthetic.draws import CLEAN, POPULAR, around, distinct, split_of, view, zipf

Name = Literal["easy", "mid", "hard"]


@dataclass(frozen=True)
class Level:
    """How hard the noise is to find.

    Attributes:
        topics: C, in the catalog.
        interests: K, topics per user.
        blur: standard deviation of the noise on the content vectors.
    """

    topics: int
    interests: int
    blur: float


LEVELS: Mapping[Name, Level] = MappingProxyType(
    {"easy": Level(20, 2, 0.6), "mid": Level(30, 3, 1.0), "hard": Level(40, 4, 1.5)}
)


@dataclass(frozen=True, eq=False)
class Planted:
    """A generated log and its truth. Raw ids are whole numbers; an item's id is its code.

    Attributes:
        split: leave-one-out; `length` train and validation interactions per user, then one clean test target.
        catalog: every item, with the modality `content`.
        noisy: (E,) bool over `split.log`'s events.
        item_topic: (N,) topic of each item code; -1 for padding.
        user_topics: (U, K) distinct topics of each user.
        candidates: (U, 100) distinct item codes new to the user: 20 of the user's topics, the test target first, then
            80 drawn by popularity from other topics.
    """

    split: Split
    catalog: Catalog
    noisy: np.ndarray
    item_topic: np.ndarray
    user_topics: np.ndarray
    candidates: np.ndarray

    def __repr__(self) -> str:
        return f"Planted({self.split!r}, {int(self.noisy.sum()):,} noisy)"

    @property
    def events(self) -> Interactions:
        """The log as a table."""
        log, users, items = self.split.log, self.split.users, self.split.items
        ids = {"user": users.gather(log.owners), "item": items.decode(log.items)}
        return Interactions(pl.DataFrame({**ids, "time": log.times, "row": log.rows}), "order")

    def of_interest(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """(n,) bool: whether each item's topic is among the topics of the user beside it."""
        return _among(self.user_topics[users], self.item_topic[items])


def _among(topics: np.ndarray, topic: np.ndarray) -> np.ndarray:
    """(...) bool: whether `topic` (...) is one of `topics` (..., K)."""
    return np.asarray((topics == topic[..., None]).any(axis=-1))


@dataclass(frozen=True)
class _World:
    """What interactions are drawn from."""

    item_topic: np.ndarray
    user_topics: np.ndarray
    popularity: np.ndarray
    rng: np.random.Generator

    @cached_property
    def by_topic(self) -> np.ndarray:
        """(n,) item codes sorted by topic: a topic is an interval of them."""
        return np.asarray(np.argsort(self.item_topic[1:], kind="stable") + 1, dtype=np.int32)

    @cached_property
    def edges(self) -> np.ndarray:
        """(n+1,) popularity cumulated over `by_topic`."""
        return np.concatenate([[0.0], np.cumsum(self.popularity[self.by_topic])])

    @cached_property
    def bounds(self) -> np.ndarray:
        """(C+1,) where each topic begins among `edges`' values."""
        return np.asarray(self.edges[np.concatenate([[0], np.cumsum(np.bincount(self.item_topic[1:]))])])

    def liked(self, users: np.ndarray) -> np.ndarray:
        """(n,) item codes of the users' topics, by popularity."""
        topics_SK = self.user_topics[users]
        mass_SK = np.cumsum(np.diff(self.bounds)[topics_SK], axis=1)
        point = self.rng.random(len(users)) * mass_SK[:, -1]
        which = np.minimum((mass_SK <= point[:, None]).sum(axis=1), mass_SK.shape[1] - 1)
        row = np.arange(len(users))
        point += self.bounds[topics_SK[row, which]] - np.where(which > 0, mass_SK[row, which - 1], 0.0)
        return self._at(point)

    def any(self, users: np.ndarray) -> np.ndarray:
        """(n,) item codes of the whole catalog, by popularity."""
        return self._at(self.rng.random(len(users)) * self.edges[-1])

    def _at(self, point: np.ndarray) -> np.ndarray:
        spot = np.searchsorted(self.edges, point, side="right") - 1
        return np.asarray(self.by_topic[np.minimum(spot, len(self.by_topic) - 1)])

    def distinct(self, each: int, propose: Propose, had_UH: np.ndarray) -> np.ndarray:
        """(U, each) item codes, distinct within a user and none of `had_UH`; `propose` takes users, gives items."""
        drawn_UE = distinct(lambda slots: propose(slots // each), each, had_UH, len(self.item_topic))
        # Of two equal proposals the earlier slot wins, so earlier slots hold more popular items until they are mixed.
        return np.asarray(self.rng.permuted(drawn_UE, axis=1))


def behaviours(
    level: Name = "mid",
    rho: float = 0.3,
    users: int = 2000,
    items: int = 4000,
    length: int = 20,
    null: bool = False,
    seed: int = 7,
) -> Planted:
    """Generate a log.

    Args:
        level: see `LEVELS`.
        rho: share of interactions replaced by what a random other interaction was with; the share of noise is a
            little lower, for some of these happen to be of the user's topics.
        users: U.
        items: N - 1; enough that everybody finds length + 20 distinct ones in their topics.
        length: T, train and validation interactions per user, at least 2.
        null: no information anywhere: all interactions are drawn from the whole catalog, and the truth is a coin of
            probability rho. Whatever claims to find noise here must be at chance.
        seed: of everything.

    Raises:
        UsageError: too few items, or histories too short to split.
    """
    setting = LEVELS[level]
    if items < setting.topics or length < 2:
        raise UsageError(f"behaviours need items >= {setting.topics} and length >= 2, not {items} and {length}")
    rng = seeds.rng(seed, "behaviours", level, int(null))
    item_topic = np.concatenate([[-1], rng.permutation(items) % setting.topics])
    user_topics = np.argsort(rng.random((users, setting.topics)), axis=1)[:, : setting.interests]
    world = _World(item_topic, user_topics, zipf(items, rng), rng)

    liked_UT = world.distinct(length + CLEAN, world.any if null else world.liked, np.zeros((users, 1), np.int32))
    pool = liked_UT.ravel()
    chosen_UT = rng.random((users, length)) < rho
    planted_UT = world.distinct(length, lambda u: pool[rng.integers(0, len(pool), len(u))], liked_UT)
    items_UT = np.where(chosen_UT & (not null), planted_UT, liked_UT[:, :length])
    clean_UC = liked_UT[:, length:]

    def uninteresting(someone: np.ndarray) -> np.ndarray:
        drawn = pool[rng.integers(0, len(pool), len(someone))]
        return drawn if null else np.where(_among(user_topics[someone], item_topic[drawn]), 0, drawn)

    popular_UC = world.distinct(POPULAR, uninteresting, np.concatenate([liked_UT, items_UT], axis=1))
    truth_UT = chosen_UT if null else ~_among(user_topics[:, None], item_topic[items_UT])

    vocab = Vocab(pl.Series("id", np.arange(1, items + 1)))
    split = split_of(np.concatenate([items_UT, clean_UC[:, :1]], axis=1), vocab)
    vectors = view(around(item_topic[1:], setting.topics, rng), setting.blur, rng)
    content = Modality(vectors, np.ones(items, bool))
    noisy = np.concatenate([truth_UT, np.zeros((users, 1), bool)], axis=1).ravel()
    candidates = np.concatenate([clean_UC, popular_UC], axis=1)
    return Planted(split, Catalog(vocab.ids, content=content), noisy, item_topic, user_topics, candidates)
