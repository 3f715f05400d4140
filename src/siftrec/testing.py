"""The contract every method and every reader keeps, as tests for whoever writes a new one.

def test_contract():
    check_method(MyMethod(dim=16))
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.interactions import Interactions
from siftrec.data.loader import Batch, pad
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, Fitting, Split
from siftrec.errors import UsageError
from siftrec.methods.base import Learned, ListensToWeights, Losses, Method, Model, Scorer, refusal, scores_of, total
from siftrec.methods.model import SequenceModel
from siftrec.methods.positions import Causal
from siftrec.settings import build, describe, spelled
from siftrec.synthetic import behaviours
from siftrec.train.settings import Training

_TOLERANCE = 1e-6
_SHORT = Training(epochs=4, batch_size=32, rows_per_user=1, learning_rate=0.01, schedule="constant")
_PADDING = (
    "scores: the amount of padding matters; it stands on the left, where real_BL is False, and nothing may read it: "
    "siftrec.nn.encoders.first_columns moves it to the right for layers that read in order, last_columns moves it back"
)
_READS_ON = (
    "changes with later columns, one of which is what it is asked for; with rows = 'sequence' a column must read no later "
    "column: pad convolutions on the left alone, mask attention"
)


def check_method(method: Method, *, seed: int = 7) -> None:
    """Check all that siftrec relies on in a method, on a small log with planted interests.

    The settings survive writing and reading; scores have the right shape and kind and do not depend on padding, batch
    or company; the same seed gives the same state and another seed another; the test part has no influence, whatever its
    items and however often; weights of the log change what it learns (unless it says that it does not listen to them, see
    `ListensToWeights`), and weights of 1 change nothing; kept tensors restore the scorer; histories of any length and of
    untrained items are answered; with `rows = "sequence"` no column reads a later one; and it learns: test targets rank
    clearly above chance.

    Args:
        method: small settings make a fast test: three short trainings are run.
        seed: of the data and of the runs.

    Raises:
        AssertionError: naming the promise that is broken.
    """
    _check_settings(method)
    data = _Data.planted(seed)
    fitting = data.split.fitting.recode(data.catalog.vocab)
    if isinstance(method, Learned):
        _check_loss(method, data.catalog, fitting, seed)  # before training stumbles over the same
    scorer = _fitted(method, data, seed)
    _check_scores(method, scorer, data)
    _check_histories(method, scorer, data)
    _check_restored(method, scorer, data)
    if isinstance(method, Learned) and method.rows == "sequence" and method.length > 1:
        _check_columns(method, scorer, data, fitting, seed)
    _check_seeds(method, scorer, data, seed)
    if not isinstance(method, Learned):
        method.fit(fitting)
    _require(fitting.train.fingerprint == data.split.train.fingerprint, "fit: changes the training data in place")
    _check_weights(method, data.catalog, fitting, seed)
    _check_learning(method, scorer, data)


@dataclass(frozen=True)
class _Data:
    """A planted log in which one item, `cold`, occurs as a test target only, and half the items lack a second modality."""

    split: Split
    catalog: Catalog
    cold: int

    @classmethod
    def planted(cls, seed: int) -> _Data:
        world = behaviours("easy", rho=0.0, users=500, items=600, length=12, seed=seed)
        split, cold = world.split, int(world.candidates[0, 0])
        kept = (split.role == TEST) | (split.log.items != cold)
        content = world.catalog.modalities["content"].modality
        half = Modality(content.features[:, ::2], np.arange(len(content.features)) % 2 == 0)
        catalog = Catalog(world.catalog.vocab.ids, content=content, half=half)
        return cls(replace(split, log=split.log.where(kept), role=split.role[kept]), catalog, cold)

    @property
    def with_other_tests(self) -> Split:
        """The split with a few items as everybody's test targets: who is asked for what and every count are others."""
        log, tests = self.split.log, np.flatnonzero(self.split.role == TEST)
        items = log.items.copy()
        items[tests] = 1 + np.arange(len(tests)) % 9
        return replace(self.split, log=replace(log, items=items))

    @property
    def weighing_one(self) -> Split:
        """`with_other_tests`, and every interaction has a weight: 1."""
        split = self.with_other_tests
        return replace(split, log=replace(split.log, weights=np.ones(len(split.log.items), np.float32)))


def _require(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(promise)


def _fitted(method: Method, data: _Data, seed: int, split: Split | None = None) -> Scorer:
    from siftrec.train.fit import fit

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "training ended after few steps")
        try:
            return fit(method, data.split if split is None else split, data.catalog, training=_SHORT, seed=seed).scorer
        except UsageError as error:
            raise AssertionError(str(error)) from None


def _check_settings(method: Method) -> None:
    problem = refusal(method)
    _require(not problem, f"method: {problem}")
    table = json.loads(json.dumps(describe(method)))
    _require(build(table, "method") == method, f"settings: build(describe(method)) is another method; table: {table}")
    _require(method.length >= 1, f"settings: length must be at least 1, not {method.length}")


def _score(scorer: Scorer, items_BL: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return scores_of(scorer, items_BL)


def _histories(method: Method, *rows: list[int]) -> torch.Tensor:
    """items_BL as siftrec makes it: the last `method.length` items, padded on the left."""
    lengths = np.array([len(row) for row in rows])
    flat = np.array([code for row in rows for code in row], dtype=np.int32)
    return pad(Sequences.from_items(flat, lengths), np.arange(len(rows)), method.length)


def _near(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    scale = max(1.0, float(a.abs().max()))
    return a.shape == b.shape and float((a - b).abs().max()) <= tolerance * scale


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and _near(a[:, 1:], b[:, 1:], _TOLERANCE)


def _check_scores(method: Method, scorer: Scorer, data: _Data) -> None:
    questions, size = data.split.valid, len(data.catalog)
    items_BL = pad(questions.histories, np.arange(40), method.length)
    scores_BN = _score(scorer, items_BL)
    _require(
        scores_BN.shape == (40, size), f"scores: shape {tuple(scores_BN.shape)} where (B, N) = (40, {size}) is due"
    )
    _require(scores_BN.dtype == torch.float32, f"scores: {scores_BN.dtype} where float32 is due")
    _require(bool(scores_BN[:, 1:].isfinite().all()), "scores: NaN or infinity for a real item")
    _require(not scores_BN[:, 0].isnan().any(), "scores: NaN in the padding column")
    _require(_same(_score(scorer, items_BL), scores_BN), "scores: asking twice gives two answers")
    backwards = torch.arange(39, -1, -1)
    _require(_same(_score(scorer, items_BL[backwards]), scores_BN[backwards]), "scores: the order of the batch matters")
    alone = torch.cat([_score(scorer, items_BL[row : row + 1]) for row in range(40)])
    _require(_same(alone, scores_BN), "scores: a history scores differently alone than in a batch")
    short = _histories(method, *([code] for code in range(1, 9)))
    room = min(method.length, 64) - short.shape[1]
    padded = torch.nn.functional.pad(short, (room, 0))
    _require(_same(_score(scorer, padded), _score(scorer, short)), _PADDING)


def _check_histories(method: Method, scorer: Scorer, data: _Data) -> None:
    last = len(data.catalog) - 1
    cases: dict[str, list[int]] = {
        "an empty history": [],
        "a history of one item": [1],
        "a history of 10,000 items": [1 + i % last for i in range(10_000)],
        "a history of one item again and again": [5] * 50,
        "a history of an item never trained on": [data.cold],
        "a history with an item never trained on": [3, data.cold, 8],
    }
    for name, history in cases.items():
        scores_BN = _score(scorer, _histories(method, history))
        _require(bool(scores_BN[:, 1:].isfinite().all()), f"histories: {name} gives NaN or infinity for a real item")


def _restored(method: Learned, kept: Mapping[str, torch.Tensor], data: _Data) -> Model:
    with seeds.initialised(1, "restore"):
        model = method.build(data.catalog)
    model.load_state_dict(kept)
    return model.eval()


def _check_restored(method: Method, scorer: Scorer, data: _Data) -> None:
    kept = {name: tensor.clone() for name, tensor in scorer.tensors().items()}
    _require(bool(kept), "tensors: nothing to keep; an artifact would be empty")
    fresh = _restored(method, kept, data) if isinstance(method, Learned) else method.restore(kept)
    items_BL = pad(data.split.valid.histories, np.arange(40), method.length)
    _require(
        torch.equal(_score(fresh, items_BL), _score(scorer, items_BL)), "tensors: the restored scorer scores otherwise"
    )


def _equal(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _check_seeds(method: Method, scorer: Scorer, data: _Data, seed: int) -> None:
    state = scorer.tensors()
    if not _equal(_fitted(method, data, seed, data.weighing_one).tensors(), state):  # which of the three is it?
        again = _fitted(method, data, seed).tensors()
        _require(_equal(again, state), "seed: the same seed gives two trained states")
        other = _fitted(method, data, seed, data.with_other_tests).tensors()
        _require(_equal(other, state), "leak: other test targets change the trained state")
        _require(False, "weights: a log whose weights are all 1 gives another trained state than one without weights")
    if isinstance(method, Learned):
        other = _fitted(method, data, seed + 1).tensors()
        _require(not _equal(other, state), "seed: another seed gives the same trained state")


def _first_step(
    method: Learned, catalog: Catalog, fitting: Fitting, seed: int
) -> tuple[Losses, dict[str, torch.Tensor]]:
    """Parts of the loss of one batch, and the gradient of every parameter that has one."""
    with seeds.initialised(seed, "check"):
        model = method.build(catalog)
    _require(
        isinstance(model, Model), f"build: gives {type(model).__name__}, which is not a siftrec.methods.base.Model"
    )
    model.eval()
    method.start_epoch(model, fitting, 0, seed)
    model.train()
    batch = _batch(method, fitting, seed)
    with seeds.initialised(seed, "check", "loss"):
        losses = method.loss(model, batch, seeds.generator(seed, "check"))
    _total(losses).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _batch(method: Learned, fitting: Fitting, seed: int) -> Batch:
    from siftrec.train.loop import loader_of

    return next(loader_of(method, fitting, Training(batch_size=64), seed).epoch(0))


def _check_loss(method: Learned, catalog: Catalog, fitting: Fitting, seed: int) -> None:
    losses, gradients = _first_step(method, catalog, fitting, seed)
    for name, part in losses.items():
        _require(bool(part.isfinite()), f"loss: part {name!r} is {part.item()}")
    _require(any(bool(g.any()) for g in gradients.values()), "loss: no parameter receives a gradient")
    for name, gradient in gradients.items():
        _require(bool(gradient.isfinite().all()), f"loss: the gradient of {name!r} is not finite")


def _check_weights(method: Method, catalog: Catalog, fitting: Fitting, seed: int) -> None:
    if isinstance(method, ListensToWeights) and not method.weighted_targets:
        return
    weights = seeds.rng(seed, "check", "weights").random(len(fitting.train.items), np.float32)
    weighted = replace(fitting, train=replace(fitting.train, weights=weights))
    if isinstance(method, Learned):
        what, how = "gradient", "multiply the loss of each target by batch.weights_BP"
        without, others = (_first_step(method, catalog, each, seed)[1] for each in (fitting, weighted))
    else:
        what, how = "count", "let each interaction count by train.weights (float32, None = all by 1)"
        without, others = (method.fit(each).tensors() for each in (fitting, weighted))
    _require(
        not _equal(without, others),
        f"weights: the log's weights change no {what}, so a log that was sifted trains as if it were not; {how}, or say "
        "weighted_targets = False",
    )


def _check_columns(method: Learned, scorer: Scorer, data: _Data, fitting: Fitting, seed: int) -> None:
    if isinstance(scorer, SequenceModel) and hasattr(scorer.encoder, "states"):
        _check_states(method, scorer, data)
    else:
        _check_targets(method, scorer, data, _batch(method, fitting, seed), seed)


def _others(codes: torch.Tensor, data: _Data) -> torch.Tensor:
    """Another item in the place of each."""
    return torch.where(codes > 0, 1 + codes % (len(data.catalog) - 1), 0)


@torch.inference_mode()
def _check_states(method: Learned, model: SequenceModel, data: _Data) -> None:
    items_BL = pad(data.split.valid.histories, np.arange(40), method.length)
    cut = items_BL.shape[1] // 2
    changed_BL = torch.cat([items_BL[:, :cut], _others(items_BL[:, cut:], data)], dim=1)
    vectors_BLD, changed_BLD = (model.history(model.kept, each).vectors_BLD for each in (items_BL, changed_BL))
    real_BL = items_BL > 0
    states_BLD, others_BLD = (
        cast(Causal, model.encoder).states(each, real_BL, None) for each in (vectors_BLD, changed_BLD)
    )
    early_BL = real_BL & (torch.arange(items_BL.shape[1]) < cut)
    _require(_near(states_BLD[early_BL], others_BLD[early_BL]), f"states: that of a column {_READS_ON}")
    _require(
        _near(states_BLD[:, -1], model.encoder(vectors_BLD, real_BL, None)),
        "states: that of the last column is not what forward gives, so what is trained is not what recommends; let forward "
        "give states(...)[:, -1]",
    )


def _check_targets(method: Learned, scorer: Scorer, data: _Data, batch: Batch, seed: int) -> None:
    """How much more one target loses than another, the same whatever comes later; all else of a loss may change."""
    cut, kept = batch.targets_BP.shape[1] // 2, scorer.tensors()
    targets_BP = batch.targets_BP * (torch.arange(batch.targets_BP.shape[1]) == cut - 1)
    changed_BL = torch.cat([batch.items_BL[:, :cut], _others(batch.items_BL[:, cut:], data)], dim=1)

    def lost(items_BL: torch.Tensor, targets_BP: torch.Tensor) -> torch.Tensor:
        asked = replace(batch, items_BL=items_BL, targets_BP=targets_BP)
        with seeds.initialised(seed, "check", "loss"):
            return _total(method.loss(_restored(method, kept, data), asked, seeds.generator(seed, "check"))).detach()

    before, after = (
        lost(items_BL, targets_BP) - lost(items_BL, _others(targets_BP, data))
        for items_BL in (batch.items_BL, changed_BL)
    )
    _require(_near(before, after), f"loss: that of a target {_READS_ON}")


def _total(losses: Losses) -> torch.Tensor:
    try:
        return total(losses)
    except UsageError as error:
        raise AssertionError(str(error)) from None


def _check_learning(method: Method, scorer: Scorer, data: _Data) -> None:
    test = data.split.test
    targets = torch.from_numpy(test.targets.items.astype(np.int64))
    scores_BN = _score(scorer, pad(test.histories, np.arange(len(test)), method.length))[:, 1:]
    own = scores_BN.gather(1, targets[:, None] - 1)
    below = (scores_BN < own).float().mean(dim=1) + 0.5 * (scores_BN == own).float().mean(dim=1)
    beaten, error = float(below.mean()), float(below.std()) / len(test) ** 0.5
    chance = 0.5 + 3 * error
    told = f"learning: a test target beats {beaten:.3f} of the catalog; chance and three errors are {chance:.3f}"
    if isinstance(method, Learned):
        told += (
            f" (after {_SHORT.epochs} epochs of one row per user in batches of {_SHORT.batch_size}, learning rate "
            f"{_SHORT.learning_rate}; fresh item vectors longer than about 1, as nn.Embedding's, hardly move in these: draw "
            "them with std = dim ** -0.5)"
        )
    _require(beaten > chance, told)


def check_reader(read: Callable[[Path], Interactions], path: str | Path) -> None:
    """Check that a reader keeps the promises of `Interactions` on one source.

    Args:
        read: the reader.
        path: a file or folder it reads.

    Raises:
        AssertionError: naming the promise that is broken.
    """
    events = read(Path(path))
    name = spelled(type(events))
    _require(isinstance(events, Interactions), f"reader: gives {name} where Interactions are due")
    frame = events.frame
    _require(frame.height > 0, "reader: no interaction")
    nulls = [column for column in frame.columns if frame[column].null_count()]
    _require(not nulls, f"reader: nulls in {', '.join(nulls)}")
    _require(
        events.time_kind in {"clock", "order"}, f"reader: time_kind {events.time_kind!r} is neither clock nor order"
    )
    for column in ("time", "row"):
        _require(frame[column].dtype == pl.Int64, f"reader: {column} is {frame[column].dtype} where Int64 is due")
    for column in ("user", "item"):
        kind = frame[column].dtype
        _require(kind == pl.String or kind.is_integer(), f"reader: {column} is {kind}; ids are text or whole numbers")
    _require(int(frame["row"].min()) >= 0, "reader: a negative source row")  # type: ignore[arg-type]
    if "label" in frame.columns:
        _require(frame["label"].is_in([0, 1]).all(), "reader: a label that is neither 0 nor 1")
    if "weight" in frame.columns:
        _require(bool(frame["weight"].is_between(0, 1).all()), "reader: a weight outside [0, 1]")
    _require(read(Path(path)).frame.equals(frame), "reader: reading twice gives two logs")
