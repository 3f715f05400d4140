"""Foreign content is found from what one modality showed in the history, and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from siftrec.data.catalog import Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import UsageError
from siftrec.noise.content import ModalityNoise, judge_content
from siftrec.noise.foreign import Foreign
from siftrec.noise.measure import auroc, detection
from siftrec.synthetic import behaviours

BRIEF = Likelihood(folds=2, epochs=1, steps=100, dim=16)
NAMES = ("text", "image", "audio")
TINY = Likelihood(folds=2, epochs=1, steps=5, dim=4)


@cache
def case(null: bool = False) -> tuple[Sequences, Catalog, np.ndarray]:
    """A log of known events, its catalog and its truth."""
    world = behaviours("easy", rho=0.0, users=600, items=1500, length=15, null=null)
    vectors, rng = world.catalog.modalities["content"].vectors(np.arange(1, 1501)), np.random.default_rng(0)
    views = [vectors @ rng.standard_normal((64, width)).astype("f4") for width in (40, 70, 20)]
    masks = [np.ones(1500, bool), rng.random(1500) > 0.3, np.ones(1500, bool)]
    content = {n: Modality(*each) for n, each in zip(NAMES, zip(views, masks, strict=True), strict=True)}
    catalog = Catalog(world.catalog.vocab.ids, **content)
    found = Foreign(rho=0.3, modalities=("text", "image"))(world.split, catalog, 1)
    known = found.split.role < TEST
    return found.split.log.where(known), catalog, found.foreign_EM[known]


@cache
def judged(null: bool = False) -> ModalityNoise:
    log, catalog, _ = case(null)
    return judge_content(log, catalog, likelihood=BRIEF)


def test_planted_foreign_content_gets_high_probabilities() -> None:
    found, (_, _, truth_EM) = judged(), case()
    for m, name in enumerate(("text", "image")):
        here = found.present_EM[:, m]
        area = auroc(truth_EM[here, m], found.noise_EM[here, m].astype(np.float64))
        assert area is not None
        assert area > 0.85
        assert truth_EM[here, m].mean() < found.rho_interval[m][1]
        assert truth_EM[:, m][found.flagged_EM[:, m]].mean() > 0.5
        scores = found.of(name)
        assert len(scores.noise) == here.sum()
        np.testing.assert_array_equal(scores.at(found.q), found.flagged_EM[here, m])
        assert scores.rho_upper == found.rho_upper[m]


def test_content_that_nobody_touched_is_called_less_foreign() -> None:
    found = judged()
    assert found.names == NAMES
    assert found.rho_upper[2] < min(found.rho_upper[:2])


def test_without_information_nothing_is_found() -> None:
    """The null setting: the way content was planted must not show by itself."""
    found, (_, _, truth_EM) = judged(null=True), case(null=True)
    assert not found.flagged_EM.any()
    assert min(found.rho_upper) > 0.8
    for m in range(2):
        here = found.present_EM[:, m]
        assert auroc(truth_EM[here, m], -found.score_EM[here, m].astype(float)) == pytest.approx(0.5, abs=0.03)


def test_the_own_row_of_the_catalog_is_not_looked_at() -> None:
    """Told other item codes over the same content it says the same, bit by bit: it cannot find an exchange as such."""
    log, catalog, _ = case()
    small = log.take(np.arange(100))
    shuffled = replace(small, items=np.roll(small.items, 7))
    one, other = (judge_content(each, catalog, likelihood=TINY) for each in (small, shuffled))
    np.testing.assert_array_equal(one.noise_EM, other.noise_EM)
    np.testing.assert_array_equal(one.score_EM, other.score_EM)


def test_other_modalities_have_no_say() -> None:
    log, catalog, _ = case()
    small = log.take(np.arange(100))
    assert small.shown is not None
    shown = small.shown.copy()
    shown[:, 1:] = np.random.default_rng(0).permutation(shown[:, 1:])
    one, other = (judge_content(each, catalog, likelihood=TINY) for each in (small, replace(small, shown=shown)))
    np.testing.assert_array_equal(one.noise_EM[:, 0], other.noise_EM[:, 0])
    assert (one.noise_EM[:, 1] != other.noise_EM[:, 1]).any()


def test_absent_content_has_no_score_and_lone_content_no_verdict() -> None:
    found, (log, catalog, _) = judged(), case()
    assert log.shown is not None
    np.testing.assert_array_equal(found.present_EM[:, 1], catalog.modalities["image"].present[log.shown[:, 1]])
    for table in (found.noise_EM, found.score_EM):
        np.testing.assert_array_equal(np.isnan(table), ~found.present_EM)
        assert table.dtype == np.float32
    assert not (found.flagged_EM | (found.evidence_EM > 0))[~found.present_EM].any()
    assert np.nanmin(found.noise_EM) >= 0
    assert np.nanmax(found.noise_EM) <= 1
    alone = log.where(np.arange(len(log.items)) == log.offsets[:-1][log.owners])
    nothing = judge_content(alone, catalog, likelihood=TINY)
    assert not nothing.flagged_EM.any()
    assert not nothing.evidence_EM.any()


def test_without_shown_content_each_item_shows_its_own() -> None:
    log, catalog, _ = case()
    small = replace(log.take(np.arange(60)), shown=None)
    told = replace(small, shown=np.repeat(small.items[:, None], 3, axis=1))
    one, other = (judge_content(each, catalog, likelihood=TINY) for each in (small, told))
    np.testing.assert_array_equal(one.noise_EM, other.noise_EM)


@pytest.mark.filterwarnings("ignore:modality 'b' has vectors for only")
def test_a_modality_that_nothing_in_the_log_has() -> None:
    catalog = Catalog(
        pl.Series(range(1, 31)),
        a=Modality(np.eye(30, 5, dtype="f4") + 0.1, np.ones(30, bool)),
        b=Modality(np.ones((30, 2), "f4"), np.arange(30) == 29),
    )
    log = Sequences.from_items(np.tile(np.arange(1, 25), 5), np.full(30, 4))
    found = judge_content(log, catalog, likelihood=TINY)
    assert np.isnan(found.noise_EM[:, 1]).all()
    assert not found.present_EM[:, 1].any()


def test_progress_counts_all_folds_and_the_seed_decides() -> None:
    log, catalog, _ = case()
    small, folds = log.take(np.arange(60)), []
    one = judge_content(small, catalog, likelihood=TINY, on_fold=lambda done, of: folds.append((done, of)))
    same, other = (judge_content(small, catalog, likelihood=TINY, seed=seed) for seed in (7, 8))
    assert folds == [(n, 6) for n in range(1, 7)]
    np.testing.assert_array_equal(one.score_EM, same.score_EM)
    assert (np.nan_to_num(one.score_EM) != np.nan_to_num(other.score_EM)).any()


def test_what_was_found_is_measured_as_interactions_are() -> None:
    found, (log, catalog, truth_EM) = judged(), case()
    assert log.shown is not None
    here = found.present_EM[:, 0]
    popularity = log.counts(len(catalog))[log.shown[here, 0]]
    lengths = np.repeat(log.lengths, log.lengths)[here]
    told = detection(found.of("text"), truth_EM[here, 0], log.owners[here], popularity, lengths)
    assert told["calibrated_on"] == "foreign"
    assert told["auroc"] > 0.85
    assert told["auroc_popularity"] == pytest.approx(0.5, abs=0.03)


def test_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(UsageError, match="no modality 'imgae' was judged; did you mean 'image'"):
        judged().of("imgae")
    log, catalog, _ = case()
    with pytest.raises(UsageError, match="no modality"):
        judge_content(log, Catalog(catalog.vocab.ids))
    assert log.shown is not None
    with pytest.raises(UsageError, match="2 modalities, but the catalog has 3"):
        judge_content(replace(log, shown=log.shown[:, :2]), catalog)
