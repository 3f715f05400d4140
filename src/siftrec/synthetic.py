"""Behaviours with planted interests and planted noise: the truth is known, and there is a null setting without any.

Items have a topic; users have a few. An interaction comes from the user's topics with probability 1 - rho, else from
the whole catalog, by popularity both times. It is noise if its topic is not among the user's.
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
from siftrec.data.draws import draw
from siftrec.data.interactions import Interactions
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, VALID, Split
from siftrec.data.vocab import Vocab
from siftrec.errors import UsageError

Name = Literal["easy", "mid", "hard"]
CLEAN, POPULAR = 20, 80
_LATENT, _CONTENT = 16, 64


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


@dataclass(frozen=True)
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

    @property
    def events(self) -> Interactions:
        """The log as a table."""
        log, users, items = self.split.log, self.split.users, self.split.items
        ids = {"user": users.gather(log.owners), "item": items.decode(log.items)}
        return Interactions(pl.DataFrame({**ids, "time": log.times, "row": log.rows}), "order")

    def of_interest(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """(n,) bool: whether each item's topic is among the topics of the user beside it."""
        return np.asarray((self.user_topics[users] == self.item_topic[items][:, None]).any(axis=1))


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
        return self.edges[np.concatenate([[0], np.cumsum(np.bincount(self.item_topic[1:]))])]

    def items(self, users: np.ndarray, interested: np.ndarray) -> np.ndarray:
        """Item codes by popularity: where `interested`, within the topics of the user, else in the whole catalog."""
        topics_SK = self.user_topics[users]
        mass_SK = np.cumsum(np.diff(self.bounds)[topics_SK], axis=1)
        point = self.rng.random(len(users)) * np.where(interested, mass_SK[:, -1], self.edges[-1])
        which = np.minimum((mass_SK <= point[:, None]).sum(axis=1), mass_SK.shape[1] - 1)
        row = np.arange(len(users))
        inside = point - np.where(which > 0, mass_SK[row, which - 1], 0.0) + self.bounds[topics_SK[row, which]]
        spot = np.searchsorted(self.edges, np.where(interested, inside, point), side="right") - 1
        return np.asarray(self.by_topic[np.minimum(spot, len(self.by_topic) - 1)])

    def items_of_others(self, users: np.ndarray) -> np.ndarray:
        """Item codes by popularity; 0 where the item happens to be of a topic of the user."""
        items = self.items(users, np.zeros(len(users), bool))
        return np.where((self.user_topics[users] == self.item_topic[items][:, None]).any(axis=1), 0, items)


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
        rho: share of interactions drawn from the whole catalog; the share of noise is a little lower, for some of
            these happen to be of the user's topics.
        users: U.
        items: N - 1; enough that everybody finds 20 new ones in their topics.
        length: T, train and validation interactions per user, at least 2.
        null: no information anywhere: all interactions are drawn from the whole catalog, and the truth is a coin of
            probability rho. Whatever claims to find noise here must be at chance.
        seed: of everything.

    Raises:
        UsageError: too few items.
    """
    setting = LEVELS[level]
    rng = seeds.rng(seed, "behaviours", level, int(null))
    item_topic = np.concatenate([[-1], rng.permutation(items) % setting.topics])
    user_topics = np.argsort(rng.random((users, setting.topics)), axis=1)[:, : setting.interests]
    popularity = np.concatenate([[0.0], rng.permutation(np.arange(1, items + 1) ** -0.8)])
    world = _World(item_topic, user_topics, popularity / popularity.sum(), rng)

    owners = np.repeat(np.arange(users), length)
    coin = rng.random(len(owners)) < rho
    interested = np.zeros_like(coin) if null else ~coin
    history = world.items(owners, interested)
    candidates = _candidates(world, owners * np.int64(items + 1) + history, null)

    log_items = np.concatenate([history.reshape(users, length), candidates[:, :1]], axis=1).ravel()
    log = Sequences.from_items(log_items, np.full(users, length + 1))
    role = np.tile(np.concatenate([np.full(length - 1, TRAIN), [VALID, TEST]]).astype(np.int8), users)
    vocab = Vocab(pl.Series("id", np.arange(1, items + 1)))
    split = Split(log, role, pl.Series("user", np.arange(users)), vocab, "leave-one-out")
    content = Modality(_content(item_topic[1:], setting, rng), np.ones(items, bool))
    foreign = coin if null else ~(user_topics[owners] == item_topic[history][:, None]).any(axis=1)
    noisy = np.concatenate([foreign.reshape(users, length), np.zeros((users, 1), bool)], axis=1).ravel()
    return Planted(split, Catalog(vocab.ids, content=content), noisy, item_topic, user_topics, candidates)


def _candidates(world: _World, had: np.ndarray, null: bool) -> np.ndarray:
    """(U, 100) item codes without the user-item keys `had`; in the null setting all are plain draws by popularity."""
    users, size = len(world.user_topics), len(world.item_topic)
    wanted = np.repeat(np.arange(users), CLEAN)
    clean = draw(lambda s: world.items(wanted[s], np.full(len(s), not null)), wanted, had, size)
    had = np.concatenate([had, wanted * np.int64(size) + clean])
    others = np.repeat(np.arange(users), POPULAR)
    propose = (lambda u: world.items(u, np.zeros(len(u), bool))) if null else world.items_of_others
    popular = draw(lambda s: propose(others[s]), others, had, size)
    if not (clean.all() and popular.all()):
        raise UsageError(f"{size - 1} items are too few: some user has fewer than {CLEAN} new ones of their topics")
    return np.concatenate([clean.reshape(users, CLEAN), popular.reshape(users, POPULAR)], axis=1)


def _content(topic: np.ndarray, setting: Level, rng: np.random.Generator) -> np.ndarray:
    """(n, 64) float32: a random linear view of the latent vectors, blurred."""
    centres = rng.standard_normal((setting.topics, _LATENT))
    latent = centres[topic] + 0.5 * rng.standard_normal((len(topic), _LATENT))
    view = rng.standard_normal((_LATENT, _CONTENT)) / np.sqrt(_LATENT)
    return np.asarray(latent @ view + setting.blur * rng.standard_normal((len(topic), _CONTENT)), dtype=np.float32)
