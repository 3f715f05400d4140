"""Every detector alike: what it promises of scores, of nobody judged by themselves, of saving; and what blending brings."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from detectors.worlds import World, world
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.detectors.agreement import Agreement
from siftrec.detectors.blend import Blend, Detector
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.detectors.fitted import Fitted, calibrated, judge
from siftrec.detectors.likelihood import Likelihood

BRIEF = Likelihood(folds=2, steps=250)
TINY = Likelihood(folds=2, dim=8, epochs=1, steps=20, batch_size=32, negatives=32)
EVERY = [TINY, Cooccurrence(), Agreement(), Blend(likelihood=TINY)]

every = pytest.mark.parametrize("how", EVERY, ids=lambda how: type(how).__name__)


def built(how: Detector, of: World, content: bool = True) -> tuple[Fitted, torch.Tensor]:
    content_NG = of.content if content else of.ids_only
    return how.build(len(of.catalog), content_NG.shape[1]).fit(of.log, content_NG, 7), content_NG


@cache
def small() -> World:
    return world("mid", users=300, items=500, length=12)


@every
def test_order_of_the_batch_and_padding_change_nothing(how: Detector) -> None:
    found, content_NG = built(how, small())
    items_BL = torch.from_numpy(small().log.window(np.arange(8), np.arange(5, 13), 12).astype(np.int64))
    users_B = torch.arange(8)
    score_BL = found.scores(items_BL, content_NG, users_B)
    assert (score_BL[items_BL == 0] == 0).all()
    assert (score_BL[items_BL > 0] != 0).all()
    wider = torch.nn.functional.pad(items_BL, (5, 0))
    torch.testing.assert_close(found.scores(wider, content_NG, users_B)[:, 5:], score_BL, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        found.scores(items_BL.flip(0), content_NG, users_B.flip(0)).flip(0), score_BL, rtol=1e-4, atol=1e-5
    )
    last = torch.full((8, 1), 11)
    one = found.scores(items_BL, content_NG, users_B, last)
    torch.testing.assert_close(one, score_BL[:, 11:], rtol=1e-4, atol=1e-5)


@every
def test_a_restored_detector_judges_the_same(how: Detector) -> None:
    found, content_NG = built(how, small())
    again = how.build(len(small().catalog), content_NG.shape[1])
    again.load_state_dict(found.state_dict())
    for users in (small().users, None):
        assert (judge(again, small().log, content_NG, users) == judge(found, small().log, content_NG, users)).all()


@every
def test_with_nothing_beside_it_nothing_is_said(how: Detector) -> None:
    found, content_NG = built(how, small())
    lonely = Sequences.from_items(np.array([5, 7, 7, 7], np.int32), np.array([1, 3]))
    assert (judge(found, lonely, content_NG) == 0).all()
    nobody = Sequences.from_items(np.empty(0, np.int32), np.zeros(3, int))
    fitted = how.build(len(small().catalog), content_NG.shape[1]).fit(nobody, content_NG, 7)
    assert np.isfinite(judge(fitted, small().log, content_NG)).all()


@every
def test_histories_never_seen_are_judged_without_loss_of_order(how: Detector) -> None:
    """Fitted on the users of one half, planted noise is found among the others."""
    whole = world("easy")
    log, content_NG = whole.log, whole.content
    first, second = np.arange(0, 800, 2), np.arange(1, 800, 2)
    longer = BRIEF if isinstance(how, Likelihood) else how
    found = longer.build(len(whole.catalog), content_NG.shape[1]).fit(log.take(first), content_NG, 7)
    noisy = whole.noisy[log.owners % 2 == 1]
    score = judge(found, log.take(second), content_NG)
    assert (score[~noisy][:, None] > score[noisy][None]).mean() > 0.7


def test_a_blend_is_made_of_its_parts_and_of_content_where_there_is_any() -> None:
    assert list(built(Blend(likelihood=TINY), small())[0].parts) == ["likelihood", "cooccurrence", "agreement", "blend"]
    assert list(built(Blend(likelihood=TINY), small(), content=False)[0].parts) == [
        "likelihood",
        "cooccurrence",
        "blend",
    ]
    assert list(built(Cooccurrence(), small())[0].parts) == ["cooccurrence"]


@pytest.mark.parametrize("content", [True, False])
def test_a_blend_finds_no_less_than_its_best_part(content: bool) -> None:
    mid = world("mid")
    found, content_NG = built(Blend(likelihood=BRIEF), mid, content)
    area = {name: mid.found(judge(part, mid.log, content_NG, mid.users)) for name, part in found.parts.items()}
    whole = area.pop("blend")
    assert whole > max(area.values()) - 0.003
    assert whole > area["likelihood"] + 0.01


@pytest.mark.parametrize(
    "how", [Cooccurrence(), Agreement(), Blend(likelihood=BRIEF)], ids=lambda how: type(how).__name__
)
def test_a_log_ratio_means_what_it_says(how: Detector) -> None:
    """ρ e^(−score) is the probability of noise: among what is given a probability, about that share is noise."""
    mid = world("mid")
    found, content_NG = built(how, mid)
    noise = np.minimum(1, mid.noisy.mean() * np.exp(-judge(found, mid.log, content_NG, mid.users)))
    for low, high in ((0, 0.15), (0.15, 0.5), (0.5, 1.01)):
        inside = (low <= noise) & (noise < high)
        assert inside.sum() > 500
        assert noise[inside].mean() == pytest.approx(mid.noisy[inside].mean(), abs=0.13)


@every
def test_where_nothing_is_planted_nothing_is_flagged(how: Detector) -> None:
    null = world("easy", null=True)
    found, content_NG = built(how, null)
    scores = calibrated(found, null.log, content_NG, null.users)
    assert null.found(scores.score) == pytest.approx(0.5, abs=0.03)
    assert not scores.flagged.any()
    assert scores.rho_upper > 0.9


def test_items_without_content_are_neither_noise_nor_genuine_for_it() -> None:
    """What agreement cannot say of them must not count as the middling score that 0 is."""
    easy = world("easy")
    has = np.random.default_rng(0).random(len(easy.catalog) - 1) < 0.6
    vectors = easy.catalog.modalities["content"].vectors(np.arange(1, len(easy.catalog)))
    partly = World(easy.log, easy.noisy, Catalog(easy.catalog.vocab.ids, content=Modality(vectors, has)))
    found, content_NG = built(Blend(likelihood=TINY), partly)
    noise = np.minimum(1, easy.noisy.mean() * np.exp(-judge(found, easy.log, content_NG, easy.users)))
    there = has[easy.log.items - 1]
    assert noise[there].mean() == pytest.approx(noise[~there].mean(), abs=0.04)
