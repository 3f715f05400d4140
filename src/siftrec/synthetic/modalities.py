"""Logs with planted causes: over generated content, and over the real content of a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import polars as pl
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.vocab import Vocab
from siftrec.detectors.content import content_of, units
from siftrec.errors import UsageError
from siftrec.settings import nearest
from siftrec.synthetic.causes import PlantedCauses, World
from siftrec.synthetic.draws import CONTENT, around, view, zipf

NAMES = ("text", "image", "audio")
Extra = Literal["useless", "look_alike"]
_DIRICHLET = 0.7
_PLACEHOLDER, _OFFSET, _JITTER = 0.9, 100.0, 0.01
_ROUNDS = 20


@dataclass(frozen=True)
class Level:
    """How hard causes are to find: `topics` C in every modality, `interests` K per user there, `blur` as in `behaviours`."""

    topics: int
    interests: int
    blur: float


LEVELS: Mapping[str, Level] = MappingProxyType({"plain": Level(12, 2, 1.0), "hard": Level(16, 3, 2.0)})


@dataclass(frozen=True)
class Size:
    """How large a log: `users` U, `items` N - 1, `length` T train and validation interactions per user."""

    users: int = 2500
    items: int = 3000
    length: int = 20


def modalities(
    level: Literal["plain", "hard"] = "plain",
    extra: Extra | None = None,
    missing: Mapping[str, float] | None = None,
    rho: float = 0.0,
    size: Size = Size(),
    null: bool = False,
    seed: int = 7,
) -> PlantedCauses:
    """Generate a log whose items have text, image and audio; preferences are Dirichlet(.7).

    Args:
        level: see `LEVELS`.
        extra: a fourth modality that never causes anything and changes nothing else. `useless`: pure noise.
            `look_alike`: nine vectors of ten are the same up to a trace of noise, as placeholder covers are, and all
            share one huge offset.
        missing: share of the items that lack a modality, by name; what an item lacks causes nothing.
        rho: share of interactions that nothing caused.
        size: of the log.
        null: no information anywhere: items are drawn by popularity. Whatever claims to find causes must be at chance.
        seed: of everything.

    Raises:
        UsageError: a level or modality that is not there, a share out of range, or too few items.
    """
    if level not in LEVELS:
        raise UsageError(f"no level {level!r}{nearest(level, LEVELS)}")
    setting, count = LEVELS[level], len(NAMES)
    rng, own = seeds.rng(seed, "modalities", level, int(null)), seeds.rng(seed, "modalities", "extra")
    topic_NM = np.stack([rng.permutation(size.items) % setting.topics for _ in NAMES], axis=1)
    vectors = [view(around(topic_NM[:, m], setting.topics, rng), setting.blur, rng) for m in range(count)]
    content = {name: Modality(each, np.ones(size.items, bool)) for name, each in zip(NAMES, vectors, strict=True)}
    if extra is not None:
        content[extra] = Modality(_content(extra, size.items, own), np.ones(size.items, bool))
        topic_NM = np.pad(topic_NM, ((0, 0), (0, 1)), constant_values=-1)
    for name, share in (missing or {}).items():
        if name not in content:
            raise UsageError(f"no modality {name!r} to be missing{nearest(name, content)}")
        if not 0 <= share < 1:
            raise UsageError(f"missing[{name!r}] must be in [0, 1), not {share}")
        present = seeds.rng(seed, "modalities", "missing", name).random(size.items) >= share
        content[name] = Modality(content[name].features, present)
        topic_NM[~present, list(content).index(name)] = -1
    preference_UM = rng.dirichlet([_DIRICHLET] * count, size.users)
    preference_UM = np.pad(preference_UM, ((0, 0), (0, len(content) - count)))
    vocab = Vocab(pl.Series("id", np.arange(1, size.items + 1)))
    topic_NM = np.pad(topic_NM, ((1, 0), (0, 0)), constant_values=-1)
    world = World(topic_NM, zipf(size.items, rng), preference_UM, setting.interests, rng)
    return world.draw(Catalog(vocab.ids, **content), size.length, rho, null)


def _content(extra: Extra, items: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 64) float32 vectors that say nothing."""
    vectors = rng.standard_normal((items, CONTENT))
    if extra == "look_alike":
        # What is not a placeholder lies off to one side, so that standardising leaves the placeholders in one place.
        vectors += rng.standard_normal(CONTENT)
        vectors *= np.where(rng.random(items) < _PLACEHOLDER, 0.0, 1.0)[:, None]
        vectors += _JITTER * rng.standard_normal((items, CONTENT)) + _OFFSET * rng.standard_normal(CONTENT)
    return vectors.astype(np.float32)


def over(
    catalog: Catalog,
    popularity: np.ndarray | None = None,
    topics: int = 24,
    interests: int = 2,
    users: int = 2500,
    length: int = 20,
    null: bool = False,
    seed: int = 7,
) -> PlantedCauses:
    """Generate a log over the real content of a catalog; topics of a modality are clusters of its principal directions.

    Args:
        catalog: items and at least two modalities; an item may lack any of them.
        popularity: (N,) how often each item code shall occur, e.g. training counts; None = a Zipf law in random order.
        topics: C clusters of every modality.
        interests: K, topics of a user in every modality.
        users: U.
        length: T, train and validation interactions per user.
        null: see `modalities`.
        seed: of everything, the clusters included.

    Raises:
        UsageError: fewer than two modalities, or too few items.
    """
    if len(catalog.modalities) < 2:
        raise UsageError(f"causes can be planted over two modalities or more, not {len(catalog.modalities)}")
    rng = seeds.rng(seed, "over", int(null))
    every = content_of(catalog, torch.ones(len(catalog)))
    topic_NM = np.full((len(catalog), len(every)), -1)
    for m, name in enumerate(catalog):
        has = np.flatnonzero(catalog.modalities[name].present)
        topic_NM[has, m] = clusters(units(every[m : m + 1])[has].numpy(), topics, rng)
    weight = zipf(len(catalog) - 1, rng) if popularity is None else np.asarray(popularity, np.float64)
    preference_UM = rng.dirichlet([_DIRICHLET] * len(every), users)
    return World(topic_NM, weight / weight.sum(), preference_UM, interests, rng).draw(catalog, length, null=null)


def clusters(vectors_nG: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) cluster of each unit vector: spherical k-means (Dhillon and Modha, 2001) from random vectors, 20 rounds."""
    if len(vectors_nG) < count:
        raise UsageError(f"{len(vectors_nG)} items with content are too few for {count} topics")
    centres_CG = vectors_nG[rng.choice(len(vectors_nG), count, replace=False)].astype(np.float64)
    for _ in range(_ROUNDS):
        nearest_n = np.argmax(vectors_nG @ centres_CG.T, axis=1)
        total_CG = np.zeros_like(centres_CG)
        np.add.at(total_CG, nearest_n, vectors_nG)
        length_C = np.linalg.norm(total_CG, axis=1, keepdims=True)
        centres_CG = np.where(length_C > 0, total_CG / np.maximum(length_C, 1e-12), centres_CG)
    return np.asarray(np.argmax(vectors_nG @ centres_CG.T, axis=1))
