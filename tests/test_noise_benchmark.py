"""The controls of benchmarks/judges.py are what they are called."""

from __future__ import annotations

import judges
import numpy as np
import pytest

import noise
from methods.kinds import KIND, mixed
from siftrec.data.catalog import Catalog
from siftrec.data.split import TEST
from siftrec.detectors.likelihood import Likelihood
from siftrec.detectors.slots import pieces, replaced
from siftrec.methods.adt import ADT
from siftrec.methods.sasrec import SASRec
from siftrec.noise.measure import auroc
from siftrec.train.settings import Training


@pytest.mark.parametrize("folds", [2, 4])
def test_a_model_that_has_seen_the_user_is_of_another_fold(folds: int) -> None:
    """The next row shares the fold half of the time; then the control would be ours under another name."""
    fitted, users = Likelihood(folds=folds, dim=2).build(5000, 0), np.arange(3000)
    own, other = (fitted.fold(judges.torch.from_numpy(rows)) for rows in (users, judges.strangers(fitted, users)))
    assert (own != other).all()
    assert (other.bincount() > 0.8 * len(users) / folds).all()


def test_a_unit_says_which_fold_judges_whom_or_how_denoisers_were_trained() -> None:
    scorers, denoisers = noise.units(["microlens50k.replace.rho0.3.[sd]*.seed1"])
    assert set(noise.settings(scorers)) == {"likelihood", "seen"}
    assert set(noise.settings(denoisers)) == {"tce", "rce", "hsd"}


def test_denoisers_are_judged_by_what_they_took_away_and_left() -> None:
    """Users who like one of two kinds, and a log without kinds: there genuine interactions and noise are taken alike."""
    for planted in (True, False):
        split = mixed(planted)
        log = split.log.where(split.role < TEST)
        liked = split.users.to_numpy().astype(np.int64)[log.owners] % 2
        truth = (split.items.decode(log.items).to_numpy() >= KIND) != liked
        catalog, background = Catalog(split.items.ids), replaced(pieces(log, 20), log.owners, 500, 1)
        case = judges.Case(log, log, truth, catalog, "replace", background, split)
        training = Training(epochs=6, batch_size=32, learning_rate=0.01, schedule="constant", patience=0)
        method = ADT(base=SASRec(dim=16, length=10, blocks=1, heads=1), share=0.2, ramp=40)
        judged = judges.denoisers(case, {"tce": (method, training)}, 1)
        figures = judges.figures_of(case, judged, 1)["tce"]
        at = np.flatnonzero(~np.isnan(judged["tce"].score))
        assert figures["auroc_score"] == pytest.approx(auroc(truth[at], -judged["tce"].score[at]))
        dropped = 1 - judged["tce"].kept
        assert figures["over_denoising"] == pytest.approx(dropped[~truth].mean())
        assert figures["under_denoising"] == pytest.approx(1 - dropped[truth].mean())
        difference = 1 - figures["under_denoising"] - figures["over_denoising"]
        assert difference > 0.08 if planted else abs(difference) < 0.05
