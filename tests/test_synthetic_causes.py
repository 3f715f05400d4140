"""Planted causes: the truth is what generated the log, it can be found where there is information and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from siftrec.data.catalog import Catalog, Modality
from siftrec.data.split import TEST
from siftrec.detectors.content import content_of, units
from siftrec.errors import UsageError
from siftrec.synthetic import PlantedCauses, Size, modalities, over
from siftrec.synthetic.causes import NOISE

SMALL = Size(users=600, items=1500, length=12)


@cache
def world(name: str = "plain") -> PlantedCauses:
    settings = {
        "plain": {},
        "useless": {"extra": "useless"},
        "look_alike": {"extra": "look_alike"},
        "missing": {"missing": {"image": 0.4}},
        "null": {"null": True},
        "noisy": {"rho": 0.3},
    }
    return modalities(size=SMALL, **settings[name])  # type: ignore[arg-type]


def test_a_notebook_shows_a_world_in_one_line() -> None:
    planted = world()
    assert repr(planted) == f"PlantedCauses({planted.split!r}, causes: {', '.join(planted.catalog)})"


def histories(planted: PlantedCauses) -> tuple[np.ndarray, np.ndarray]:
    """Items and causes (U, T), the test target aside."""
    shape = (len(planted.preference_UM), -1)
    return planted.split.log.items.reshape(shape)[:, :-1], planted.cause_E.reshape(shape)[:, :-1]


def vectors(planted: PlantedCauses, m: int) -> np.ndarray:
    counts = torch.from_numpy(planted.split.train.counts(len(planted.catalog))).float()
    return units(content_of(planted.catalog, counts)[m : m + 1]).numpy()


def agreement(planted: PlantedCauses) -> np.ndarray:
    """(U, T, M) mean of the three largest cosines to the rest of the history, against random items' there."""
    items, _ = histories(planted)
    rng, found = np.random.default_rng(0), []
    for m, name in enumerate(planted.names):
        unit = vectors(planted, m)
        cosine = unit[items] @ unit[items].transpose(0, 2, 1)
        cosine[items[:, :, None] == items[:, None, :]] = -2
        raw = np.sort(cosine, axis=2)[:, :, -3:].mean(axis=2)
        other = unit[rng.choice(planted.split.train.items, (len(items), 40))] @ unit[items].transpose(0, 2, 1)
        chance = np.sort(other, axis=2)[:, :, -3:].mean(axis=2)
        present = planted.catalog.modalities[name].present[items]
        found.append(np.where(present, (raw - chance.mean()) / chance.std(), -np.inf))
    return np.stack(found, axis=2)


def top1(planted: PlantedCauses) -> float:
    cause = histories(planted)[1]
    return float((agreement(planted).argmax(axis=2) == cause)[cause >= 0].mean())


def test_an_interaction_is_of_a_topic_of_its_cause() -> None:
    """Whoever measures "cause found" against this truth would measure nothing if it were not what drew the items."""
    for name in ("plain", "missing", "useless", "look_alike", "noisy"):
        planted = world(name)
        log, cause = planted.split.log, planted.cause_E
        here = np.flatnonzero(cause >= 0)
        topic = planted.item_topic_NM[log.items[here], cause[here]]
        asked = planted.user_topics_UMK[log.owners[here], cause[here]]
        assert (topic[:, None] == asked).any(axis=1).all()
        assert (topic >= 0).all()


def test_causes_follow_the_preference() -> None:
    planted = world()
    cause = histories(planted)[1]
    share = np.stack([(cause == m).mean(axis=1) for m in range(3)], axis=1)
    np.testing.assert_allclose(planted.preference_UM.sum(axis=1), 1)
    asked = planted.preference_UM
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        here = (asked >= low) & (asked < high)
        assert share[here].mean() == pytest.approx(asked[here].mean(), abs=0.02)


def test_noise_has_no_cause_and_the_test_target_always_one() -> None:
    planted = world("noisy")
    causes = planted.cause_E[planted.split.role < TEST]
    assert (causes == -1).mean() == pytest.approx(0.3, abs=0.02)
    assert (planted.cause_E[planted.split.role == TEST] >= 0).all()


def test_causes_can_be_found_from_content_and_not_where_there_is_none() -> None:
    """The null beside it: a method that beats a third there reads the answer from somewhere it must not."""
    assert top1(world()) > 0.6
    assert top1(world("null")) == pytest.approx(1 / 3, abs=0.02)


def test_popularity_and_position_say_nothing_of_the_cause() -> None:
    planted = world()
    items, cause = histories(planted)
    counts = planted.split.train.counts(len(planted.catalog))[items]
    place = np.broadcast_to(np.arange(items.shape[1]), items.shape)
    for score in (counts, place):
        assert roc_auc_score((cause == 0).ravel(), score.ravel()) == pytest.approx(0.5, abs=0.03)


def test_an_extra_modality_changes_nothing_else() -> None:
    """So that a figure with it and one without are paired."""
    for name in ("useless", "look_alike"):
        extra = world(name)
        np.testing.assert_array_equal(extra.split.log.items, world().split.log.items)
        np.testing.assert_array_equal(extra.cause_E, world().cause_E)
        assert extra.names == (*world().names, name)
        assert not extra.preference_UM[:, 3].any()


def test_a_look_alike_modality_looks_alike_even_when_standardised() -> None:
    """Otherwise standardising alone would defeat it, and it would prove nothing of calibration."""
    planted = world("look_alike")
    items, _ = histories(planted)
    raw = vectors(planted, 3)
    three = np.sort(raw[items] @ raw[items].transpose(0, 2, 1), axis=2)[:, :, -4:-1].mean(axis=2)
    text = vectors(planted, 0)
    others = np.sort(text[items] @ text[items].transpose(0, 2, 1), axis=2)[:, :, -4:-1].mean(axis=2)
    assert np.median(three) > 0.9 > np.quantile(others, 0.9)


def test_what_an_item_lacks_causes_nothing() -> None:
    planted = world("missing")
    image = planted.names.index("image")
    present = planted.catalog.modalities["image"].present
    assert present[1:].mean() == pytest.approx(0.6, abs=0.04)
    assert present[planted.split.log.items[planted.cause_E == image]].all()
    assert (planted.item_topic_NM[1:, image] >= 0)[present[1:]].all()
    assert (planted.item_topic_NM[~present, image] == -1).all()


@pytest.mark.parametrize("name", ["plain", "missing", "null", "noisy"])
def test_candidates_are_new_and_distinct(name: str) -> None:
    planted = world(name)
    users, size = np.arange(SMALL.users)[:, None], len(planted.catalog)
    key = (users * size + planted.candidates).ravel()
    assert planted.candidates.shape == (SMALL.users, 100)
    assert len(np.unique(key)) == len(key)
    assert not np.isin(key, (users * size + histories(planted)[0]).ravel()).any()
    np.testing.assert_array_equal(planted.split.test.targets.items, planted.candidates[:, 0])
    log = planted.split.log
    assert len(np.unique(log.owners * size + log.items)) == len(log.items)


def test_the_seed_decides() -> None:
    small = Size(users=60, items=900, length=6)
    one, same, other = (modalities(size=small, seed=seed) for seed in (1, 1, 2))
    assert one.split.fingerprint == same.split.fingerprint != other.split.fingerprint
    np.testing.assert_array_equal(vectors(one, 1), vectors(same, 1))


def test_refuses_too_little_and_the_unknown() -> None:
    with pytest.raises(UsageError, match="more items"):
        modalities(size=Size(users=10, items=100))
    with pytest.raises(UsageError, match="length >= 2"):
        modalities(size=replace(SMALL, length=1))
    with pytest.raises(UsageError, match=r"no modality 'imgae'.*did you mean 'image'"):
        modalities(size=SMALL, missing={"imgae": 0.1})
    with pytest.raises(UsageError, match=r"no level 'pain'; did you mean 'plain'"):
        modalities("pain", size=SMALL)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"missing\['image'\] must be in \[0, 1\), not 1"):
        modalities(size=SMALL, missing={"image": 1.0})
    with pytest.raises(UsageError, match=r"rho must be in \[0, 1\], not 1\.5"):
        modalities(size=SMALL, rho=1.5)


def test_noise_is_as_popular_early_as_late() -> None:
    """Popular noise at the front would be found by its place."""
    world = modalities(size=Size(1500, 1500, 16), rho=0.5, seed=4)
    log = world.split.log
    popularity = log.counts(len(world.catalog))[log.items]
    noisy = np.flatnonzero(world.cause_E == NOISE)
    early = (noisy - log.offsets[:-1][log.owners[noisy]]) < 8
    assert popularity[noisy[early]].mean() == pytest.approx(popularity[noisy[~early]].mean(), rel=0.04)


def real_like(items: int = 900) -> Catalog:
    """Two modalities of unlike widths, each with twelve heaps of its own; a tenth lacks the second."""
    rng = np.random.default_rng(3)
    parts = []
    for width in (20, 90):
        heap = rng.integers(0, 12, items)
        parts.append((3 * rng.standard_normal((12, width))[heap] + rng.standard_normal((items, width))).astype("f4"))
    has = rng.random(items) > 0.1
    ids = pl.Series([f"v{n:04d}" for n in range(items)])
    return Catalog(ids, cover=Modality(parts[0], np.ones(items, bool)), title=Modality(parts[1], has))


def test_over_a_catalog_causes_are_clusters_of_its_own_content() -> None:
    catalog = real_like()
    planted = over(catalog, topics=12, users=400, length=10)
    assert planted.catalog is catalog
    log, cause = planted.split.log, planted.cause_E
    topic = planted.item_topic_NM[log.items, cause]
    assert (topic[:, None] == planted.user_topics_UMK[log.owners, cause]).any(axis=1).all()
    assert catalog.modalities["title"].present[log.items[cause == 1]].all()
    unit = vectors(planted, 0)
    same = planted.item_topic_NM[1:, 0][:, None] == planted.item_topic_NM[1:, 0]
    cosine = unit[1:] @ unit[1:].T
    assert cosine[same].mean() > cosine[~same].mean() + 0.3
    assert top1(planted) > 0.7
    assert top1(over(catalog, topics=12, users=400, length=10, null=True)) == pytest.approx(0.5, abs=0.03)


def test_over_a_catalog_popularity_is_what_was_asked() -> None:
    catalog = real_like()
    weight = np.concatenate([[0.0], np.where(np.arange(900) % 2, 1.0, 9.0)])
    planted = over(catalog, weight, topics=12, users=400, length=10)
    counts = planted.split.log.counts(len(catalog))
    assert counts[1::2].sum() / counts.sum() == pytest.approx(0.9, abs=0.05)


def test_over_refuses_what_has_no_choice() -> None:
    one = Catalog(pl.Series([1, 2, 3]), title=Modality(np.eye(3, dtype="f4"), np.ones(3, bool)))
    with pytest.raises(UsageError, match="two modalities"):
        over(one)
