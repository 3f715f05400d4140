"""The controls of benchmarks/judges.py are what they are called."""

from __future__ import annotations

import judges
import numpy as np
import pytest

import noise
from siftrec.detectors.likelihood import Likelihood


@pytest.mark.parametrize("folds", [2, 4])
def test_a_model_that_has_seen_the_user_is_of_another_fold(folds: int) -> None:
    """The next row shares the fold half of the time; then the control would be ours under another name."""
    fitted, users = Likelihood(folds=folds, dim=2).build(5000, 0), np.arange(3000)
    own, other = (fitted.fold(judges.torch.from_numpy(rows)) for rows in (users, judges.strangers(fitted, users)))
    assert (own != other).all()
    assert (other.bincount() > 0.8 * len(users) / folds).all()


def test_a_unit_says_which_fold_judges_whom() -> None:
    assert set(noise.settings()) == {"likelihood", "seen"}
