"""What a counted method of one's own is given, and what it is told where it gives something else than is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from data.shown import sides
from siftrec.data.catalog import Catalog
from siftrec.data.exposure import ImpressionSplit, impressions
from siftrec.data.split import Fitting, Split
from siftrec.errors import UsageError
from siftrec.evaluate.evaluation import evaluate
from siftrec.methods.base import Scorer
from siftrec.seeds import rng
from siftrec.settings import settings
from siftrec.train.fit import fit
from train.tiny import split, weights_hash


@settings
class Drawn:
    """Counted: scores are drawn; `give` changes what `scores` gives of them."""

    give: str = "tensor"
    length = 1

    def fit(self, data: Fitting) -> Scorer:
        return self.restore({"drawn_N": torch.from_numpy(rng(data.seed, "drawn").random(len(data.items), np.float32))})

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> Scorer:
        return Given(tensors["drawn_N"], GIVES[self.give])


@dataclass(frozen=True)
class Given:
    drawn_N: torch.Tensor
    give: Callable[[torch.Tensor], Any]

    def scores(self, items_BL: torch.Tensor) -> Any:
        return self.give(self.drawn_N.expand(len(items_BL), -1).clone())

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"drawn_N": self.drawn_N}


GIVES: dict[str, Callable[[torch.Tensor], Any]] = {
    "tensor": lambda scores_BN: scores_BN,
    "numpy": lambda scores_BN: scores_BN.numpy(),
    "list": lambda scores_BN: scores_BN.tolist(),
    "counts": lambda scores_BN: (100 * scores_BN).long(),
    "flat": lambda scores_BN: scores_BN[0],
    "short": lambda scores_BN: scores_BN[:, 1:],
}


def test_a_counted_method_draws_from_the_seed_of_the_run() -> None:
    """Without it, "five seeds" of a method that draws are one, and look as if nothing hung on the seed."""
    first, again, other = (weights_hash(fit(Drawn(), split(), seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    wider = Catalog(["new", *split().items.ids])
    alike = fit(Drawn(), split(), wider, seed=1).scorer.tensors()["drawn_N"]
    assert torch.equal(alike, fit(Drawn(), split(), wider, seed=1).scorer.tensors()["drawn_N"])
    assert not torch.equal(alike, fit(Drawn(), split(), wider, seed=2).scorer.tensors()["drawn_N"])
    assert split().fitting.seed == 0, "made without a run"


@pytest.mark.parametrize(
    ("give", "told"),
    [
        ("numpy", r"Given.scores gives a numpy.ndarray of float32 and shape \(1, \d+\); due is a torch.Tensor of"),
        ("list", "Given.scores gives a builtins.list; due is a torch.Tensor of torch.float32"),
        ("counts", "Given.scores gives a torch.Tensor of torch.int64 and shape .*; due is .* torch.float32"),
        (
            "flat",
            r"Given.scores gives a torch.Tensor of torch.float32 and shape \(\d+,\); due is .*: a row for each history",
        ),
        ("short", r"Given.scores gives shape \(1, \d+\) where \(1, \d+\) is due: the catalog has"),
    ],
)
def test_what_a_counted_method_must_give_is_told_when_it_is_fitted(give: str, told: str) -> None:
    """It was found by an evaluation, deep inside, and a column too few gave everybody the neighbours of their items."""
    with pytest.raises(UsageError, match=f"^fit of Drawn: {told}") as error:
        fit(Drawn(give=give), split())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [split(), impressions(sides(planted=False))], ids=["interactions", "impressions"])
def test_scores_are_refused_wherever_they_are_asked_for(cut: Split | ImpressionSplit) -> None:
    """A learned method with `scores` of its own is not tried when it is fitted; it ended with an AttributeError."""
    model = fit(Drawn(), cut)
    broken = replace(model, scorer=Given(model.scorer.tensors()["drawn_N"], GIVES["numpy"]))
    with pytest.raises(UsageError, match=r"^Given.scores gives a numpy.ndarray .*; due is a torch.Tensor"):
        evaluate(broken, cut.test)
    with pytest.raises(UsageError, match=r"^Given.scores gives a numpy.ndarray .*; due is a torch.Tensor"):
        broken.recommend([model.items.ids[0]])
