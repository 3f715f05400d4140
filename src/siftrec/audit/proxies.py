"""Small models that stand for whatever will be trained on the log, each with and without weights.

Counted models count an interaction by its weight, SASRec weights its loss at the interaction that is predicted; neither
weights what it reads when it is asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from siftrec import seeds
from siftrec.audit.gains import Pair
from siftrec.audit.judging import weighted
from siftrec.data.catalog import Catalog
from siftrec.data.split import TEST, Part, Split
from siftrec.evaluate.evaluation import Evaluation, evaluate
from siftrec.methods.base import Counted, Method
from siftrec.methods.ease import EASE
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.sasrec import SASRec
from siftrec.train.fit import fit
from siftrec.train.settings import Training

CUTOFF = 50
"""Of NDCG: a long list, for the gains of most users lie beyond the first ten places."""
EASE_UP_TO = 4000
_LEARNED_SEEDS = 3
"""With two, Student's t of two degrees of freedom would hide a gain of a tenth behind the luck of training."""
_TRAINING = Training(epochs=12, schedule="constant", patience=2, validate_users=5000)


@dataclass(frozen=True)
class Proxy:
    """A method, and how it is trained.

    Attributes:
        name: shown to people.
        method: its settings.
        training: of learned methods.
        repeats: trainings per side, each with a seed of its own.
    """

    name: str
    method: Method
    training: Training
    repeats: int = 1


def proxies(items: int, quick: bool) -> tuple[Proxy, ...]:
    """ItemKNN; EASE where its dense matrix is small; unless quick, a small SASRec, thrice, for its training is random."""
    chosen = [Proxy("ItemKNN", ItemKNN(), Training())]
    if items <= EASE_UP_TO:
        chosen.append(Proxy("EASE", EASE(), Training()))
    if not quick:
        small = SASRec(dim=48, length=30, blocks=1, heads=1)
        chosen.append(Proxy("SASRec", small, _TRAINING, _LEARNED_SEEDS))
    return tuple(chosen)


def metric(items: int) -> str:
    """`ndcg@50`, or over the whole of a smaller catalog."""
    return f"ndcg@{min(CUTOFF, items)}"


def pairs(chosen: tuple[Proxy, ...], split: Split, weights: np.ndarray, *, most: int, seed: int) -> Iterator[Pair]:
    """Train every proxy with and without weights and judge it on the holdout.

    Args:
        chosen: the proxies.
        split: the log, cut, with its own weights if it has any.
        weights: (E,) of `split.log`'s events; those of the holdout are not read.
        most: at most so many users are asked, drawn at random.
        seed: of training and of the draw.

    Yields:
        One pair per proxy; of a counted one a second, against every interaction at the mean weight.
    """
    later = split.role == TEST
    own = np.ones(len(later), np.float32) if split.log.weights is None else split.log.weights
    arms = {
        "weighted": np.where(later, 1, weights),
        "raw": np.where(later, 1, own),
        "level": np.where(later, 1, own * (weights[~later].sum() / max(own[~later].sum(), 1e-9))),
    }
    asked = _some(split.test, most, seed)
    for proxy in chosen:
        names = arms if isinstance(proxy.method, Counted) else ("weighted", "raw")
        found = {name: _trained(proxy, _with(split, arms[name]), asked, seed) for name in names}
        for name in names:
            if name != "weighted":
                yield Pair(proxy.name, name, found["weighted"], found[name])


def _with(split: Split, weights: np.ndarray) -> Split:
    return replace(split, log=weighted(split.log, weights))


def _some(part: Part, most: int, seed: int) -> Part:
    if len(part) <= most:
        return part
    rows = seeds.rng(seed, "audit questions").choice(len(part), most, replace=False)
    return part.take(np.sort(rows))


def _trained(proxy: Proxy, split: Split, asked: Part, seed: int) -> tuple[Evaluation, ...]:
    catalog = Catalog(split.items.ids)
    cutoffs = (min(CUTOFF, len(catalog) - 1),)
    runs = []
    for repeat in range(proxy.repeats):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "training ended after few steps")  # on a small log it is meant to
            trained = fit(
                proxy.method, split, catalog, training=proxy.training, seed=seeds.derive(seed, "proxy", repeat)
            )
        runs.append(evaluate(trained, asked, cutoffs))
    return tuple(runs)
