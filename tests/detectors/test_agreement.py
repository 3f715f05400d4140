"""Content agreement against a loop; planted noise without any training; nothing to go by is no opinion."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from detectors.worlds import world
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.detectors.agreement import Agreement, ContentAgreement
from siftrec.detectors.content import content_of, units
from siftrec.detectors.fitted import judge
from siftrec.errors import SettingsError
from siftrec.synthetic import Name


def fitted(log: Sequences, content_NG: torch.Tensor, seed: int = 7) -> ContentAgreement:
    return ContentAgreement(Agreement(), len(content_NG)).fit(log, content_NG, seed)


def scored(log: Sequences, content_NG: torch.Tensor, seed: int = 7) -> np.ndarray:
    return judge(fitted(log, content_NG, seed), log, content_NG)


def test_scores_equal_a_loop() -> None:
    easy = world()
    vectors, scores, hub_N = (
        easy.content,
        scored(easy.log, easy.content),
        fitted(easy.log, easy.content).get_buffer("hub"),
    )
    for row in (0, 17):
        history = easy.log[row].tolist()
        for place, item in enumerate(history):
            alike = sorted((float(vectors[item] @ vectors[other]) for other in history if other != item), reverse=True)
            expected = sum(alike[:3]) / 3 - float(hub_N[item])
            assert float(scores[easy.log.offsets[row] + place]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("level", "least"), [("easy", 0.95), ("mid", 0.88), ("hard", 0.78)])
def test_planted_noise_is_found(level: Name, least: float) -> None:
    assert world(level).found(scored(world(level).log, world(level).content)) > least


def test_where_nothing_is_planted_nothing_is_found() -> None:
    null = world("easy", null=True)
    assert null.found(scored(null.log, null.content)) == pytest.approx(0.5, abs=0.03)


def test_items_that_nobody_had_are_judged_by_their_content() -> None:
    """Fitted on half of the log's users and items, it finds noise among the others."""
    mid = world("mid")
    half = np.arange(0, len(mid.log), 2)
    some = mid.log.take(half).where(mid.log.take(half).items % 2 == 0)
    content_NG = units(content_of(mid.catalog, torch.from_numpy(some.counts(len(mid.catalog))).float()))
    scores = judge(fitted(some, content_NG), mid.log, content_NG)
    new = (mid.log.items % 2 == 1) & (mid.log.owners % 2 == 1)
    noisy, score = mid.noisy[new], scores[new]
    assert (score[~noisy][:, None] > score[noisy][None]).mean() > 0.88


def test_without_content_there_is_no_opinion() -> None:
    present = np.arange(1, 9) != 3
    vectors = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    catalog = Catalog(pl.Series(range(1, 9)), tags=Modality(vectors, present))
    log = Sequences.from_items(np.array([1, 2, 4, 5, 6, 3, 7, 7, 3, 8]), np.array([6, 2, 2]))
    scores = scored(log, units(content_of(catalog, torch.from_numpy(log.counts(9)).float())))
    assert scores[:5].all()
    assert (scores[5:] == 0).all(), "an item without content; the same item twice; a neighbour without content"
    with pytest.raises(SettingsError, match=r"^detector: .*content"):
        Agreement().build(5, 0)


def test_the_seed_only_moves_the_hubs() -> None:
    easy = world()
    one, same, other = (fitted(easy.log, easy.content, seed).get_buffer("hub") for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_every_modality_an_item_has_counts_alike() -> None:
    """Two modalities that say the same say what one says; one that an item lacks has no say about it."""
    easy = world()
    twice_NG = torch.cat([easy.content, easy.content], dim=1)
    np.testing.assert_allclose(scored(easy.log, twice_NG), scored(easy.log, easy.content), atol=1e-5)
    half_NG = torch.cat([easy.content, torch.zeros_like(easy.content)], dim=1)
    np.testing.assert_allclose(scored(easy.log, half_NG), scored(easy.log, easy.content), atol=1e-5)
