"""Interactions of which each was caused by one modality of its item, and nobody says by which: here it is known.

Every item has a topic in every modality that it has; every user has a few topics in every modality, and a preference over
modalities. An interaction: a modality drawn from the preference, one of the user's topics there, and of the items of that
topic one by popularity. No user has an item twice. The test target is drawn in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siftrec.data.catalog import Catalog
from siftrec.data.split import Split
from siftrec.errors import UsageError
from siftrec.synthetic.draws import CLEAN, POPULAR, distinct, split_of

NOISE = -1
_SPARE = 2


@dataclass(frozen=True, eq=False)
class PlantedCauses:
    """A generated log and its truth.

    Attributes:
        split: leave-one-out; `length` train and validation interactions per user, then one test target.
        catalog: the items and their M modalities.
        cause_E: (E,) int8 over `split.log`'s events: index of the modality that caused it; -1 = none, it is noise.
        preference_UM: (U, M) float64 how likely each modality is to cause an interaction of a user; rows sum to 1.
        item_topic_NM: (N, M) topic of each item code in each modality; -1 for padding, where it lacks the modality, and
            in modalities that cause nothing.
        user_topics_UMK: (U, M, K) distinct topics of each user; -2 in modalities that cause nothing.
        candidates: (U, 100) distinct item codes new to the user: 20 caused as the history was, the test target first,
            then 80 drawn by popularity that are of the user's topics in no modality.
    """

    split: Split
    catalog: Catalog
    cause_E: np.ndarray
    preference_UM: np.ndarray
    item_topic_NM: np.ndarray
    user_topics_UMK: np.ndarray
    candidates: np.ndarray

    def __repr__(self) -> str:
        return f"PlantedCauses({self.split!r}, causes: {', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """M modalities: what `cause_E` numbers."""
        return tuple(self.catalog)


@dataclass(frozen=True)
class World:
    """What interactions are drawn from.

    Attributes:
        item_topic_NM: see `PlantedCauses`.
        popularity_N: summing to 1, 0 for padding.
        preference_UM: see `PlantedCauses`.
        interests: K.
        rng: of everything.
    """

    item_topic_NM: np.ndarray
    popularity_N: np.ndarray
    preference_UM: np.ndarray
    interests: int
    rng: np.random.Generator

    def draw(self, catalog: Catalog, length: int, rho: float = 0.0, null: bool = False) -> PlantedCauses:
        """Draw everybody's interactions.

        Args:
            catalog: of the items.
            length: T, train and validation interactions per user, at least 2.
            rho: share of interactions that nothing caused: with what a random other interaction was with.
            null: all items are drawn by popularity alone; the stated causes are draws from the preference.

        Raises:
            UsageError: too few items in the topics, histories too short to split, or a share out of range.
        """
        if length < 2:
            raise UsageError(f"histories need length >= 2, not {length}")
        if not 0 <= rho <= 1:
            raise UsageError(f"rho must be in [0, 1], not {rho}")
        users, each, size = len(self.preference_UM), length + CLEAN, len(self.item_topic_NM)
        topics_UMK = self._user_topics(each)
        cause_UT = self._causes(each)
        nothing = np.zeros((users, 1), np.int32)

        def caused(slots: np.ndarray) -> np.ndarray:
            user, cause = slots // each, cause_UT.ravel()[slots]
            return self._of_topic(cause, topics_UMK[user, cause, self.rng.integers(0, self.interests, len(slots))])

        liked_UT = distinct(self._any if null else caused, each, nothing, size)
        order = np.argsort(self.rng.random(liked_UT.shape), axis=1)  # earlier slots hold more popular items
        liked_UT, cause_UT = (np.take_along_axis(table, order, axis=1) for table in (liked_UT, cause_UT))
        pool = liked_UT.ravel()
        noise_UT = distinct(lambda slots: pool[self.rng.integers(0, len(pool), len(slots))], length, liked_UT, size)
        noise_UT = self.rng.spawn(1)[0].permuted(noise_UT, axis=1)  # the same: earlier slots hold more popular items
        noisy_UT = self.rng.random((users, length)) < rho
        items_UT = np.where(noisy_UT, noise_UT, liked_UT[:, :length])
        cause_UT[:, :length][noisy_UT] = NOISE
        clean_UC = liked_UT[:, length:]

        def uninteresting(slots: np.ndarray) -> np.ndarray:
            drawn = pool[self.rng.integers(0, len(pool), len(slots))]
            asked = topics_UMK[slots // POPULAR] == self.item_topic_NM[drawn][:, :, None]
            return np.where(asked.any(axis=(1, 2)) & (not null), 0, drawn)

        popular_UC = distinct(uninteresting, POPULAR, np.concatenate([liked_UT, items_UT], axis=1), size)
        split = split_of(np.concatenate([items_UT, clean_UC[:, :1]], axis=1), catalog.vocab)
        causes = cause_UT[:, : length + 1].ravel().astype(np.int8)
        candidates = np.concatenate([clean_UC, popular_UC], axis=1)
        return PlantedCauses(split, catalog, causes, self.preference_UM, self.item_topic_NM, topics_UMK, candidates)

    def _causes(self, each: int) -> np.ndarray:
        point_UT = self.rng.random((len(self.preference_UM), each))
        edges_UM = np.cumsum(self.preference_UM, axis=1)[:, :-1]
        return np.asarray((point_UT[:, :, None] >= edges_UM[:, None]).sum(axis=2))

    def _user_topics(self, each: int) -> np.ndarray:
        """(U, M, K) distinct topics that hold enough items, every one as likely."""
        users, modalities = self.preference_UM.shape
        found = np.full((users, modalities, self.interests), -2)
        for m in np.flatnonzero(self.preference_UM.any(axis=0)):
            sizes = np.diff(self._index[m][1])
            able = np.flatnonzero(sizes >= _SPARE * each / self.interests)
            if len(able) < self.interests:
                raise UsageError(
                    f"modality {m} has {len(able)} topics with items enough for {each} per user; more items"
                )
            found[:, m] = able[np.argsort(self.rng.random((users, len(able))), axis=1)[:, : self.interests]]
        return found

    @cached_property
    def _index(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each modality: its items sorted by topic, where each topic begins, and popularity cumulated over them."""
        found = []
        for topic_N in self.item_topic_NM.T:
            has = np.flatnonzero(topic_N >= 0)
            items = has[np.argsort(topic_N[has], kind="stable")].astype(np.int32)
            starts = np.concatenate([[0], np.cumsum(np.bincount(topic_N[has]))])
            found.append((items, starts, np.concatenate([[0.0], np.cumsum(self.popularity_N[items])])))
        return found

    def _of_topic(self, modality_n: np.ndarray, topic_n: np.ndarray) -> np.ndarray:
        """(n,) items of topics, by popularity."""
        drawn, point = np.zeros(len(topic_n), np.int32), self.rng.random(len(topic_n))
        for m, (items, starts, edges) in enumerate(self._index):
            here = np.flatnonzero(modality_n == m)
            low, high = edges[starts[topic_n[here]]], edges[starts[topic_n[here] + 1]]
            spot = np.searchsorted(edges, low + point[here] * (high - low), side="right") - 1
            drawn[here] = items[np.minimum(spot, starts[topic_n[here] + 1] - 1)]
        return drawn

    def _any(self, slots: np.ndarray) -> np.ndarray:
        return self.rng.choice(len(self.popularity_N), len(slots), p=self.popularity_N).astype(np.int32)
