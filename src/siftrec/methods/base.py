"""What a method is, and what everything after training may ask of a trained model.

A method is a frozen settings class. A learned one has `build` and `loss`, a counted one has `fit`. Both give a `Scorer`:
scores for a history. Everything later (ranking, evaluation, artifact, recommend) is written against that alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

import torch

from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting
from siftrec.errors import UsageError

Losses = Mapping[str, torch.Tensor]
"""Named scalar parts of a loss; the total is their sum."""


def total(losses: Losses) -> torch.Tensor:
    """The sum of the parts: what is minimised.

    Raises:
        UsageError: they are no named scalars.
    """
    if not isinstance(losses, Mapping) or not losses:
        given = "none" if isinstance(losses, Mapping) else f"a {type(losses).__name__}"
        raise UsageError(f"loss must give a mapping of named scalars, e.g. {{'next_item': loss}}, not {given}")
    for name, part in losses.items():
        if not isinstance(part, torch.Tensor) or part.ndim:
            given = f"shape {tuple(part.shape)}" if isinstance(part, torch.Tensor) else f"a {type(part).__name__}"
            raise UsageError(f"loss: part {name!r} has {given} where a scalar is due")
    return torch.stack(tuple(losses.values())).sum()


@runtime_checkable
class Scorer(Protocol):
    """Gives scores to items for histories."""

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        """scores_BN float32 of every catalog row for histories padded with 0 on the left; column 0 is ignored."""
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """All the state an artifact must keep."""
        ...


@runtime_checkable
class VectorScorer(Scorer, Protocol):
    """A scorer whose score is the inner product of a user vector and an item vector."""

    def users(self, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None = None) -> torch.Tensor:
        """users_BD of histories; `shown_BLM` as in `Batch`, for those that read content apart from items."""
        ...

    def items(self) -> torch.Tensor:
        """items_ND of the whole catalog; row 0 is zero."""
        ...


@runtime_checkable
class Extensible(Protocol):
    """A scorer that can take more items, by their content alone.

    Attributes:
        reads: the modalities it reads; without any, nothing can be added.
    """

    @property
    def reads(self) -> tuple[str, ...]: ...

    def widened(self, count: int) -> Scorer:
        """A scorer with room for `count` more items, of which nothing is known yet; see `extended`."""
        ...

    def extended(self, raw: Mapping[str, torch.Tensor], present: Mapping[str, torch.Tensor]) -> Scorer:
        """A scorer with n more items, whose codes follow the others; it shares what it can, and this one stays.

        Args:
            raw: every modality of `reads` → (n, F) float32 finite vectors, of any value where absent.
            present: every modality of `reads` → (n,) bool.
        """
        ...


@runtime_checkable
class CandidateScorer(Scorer, Protocol):
    """A scorer that reads history and candidate together, so that there are no vectors to multiply."""

    def scored(self, items_BL: torch.Tensor, candidates_BC: torch.Tensor) -> torch.Tensor:
        """scores_BC of candidates of each history; those of code 0 mean nothing."""
        ...


class Model(torch.nn.Module):
    """Base of learned models, and the only base class in the library: a torch module that is a `Scorer`.

    One that is a `VectorScorer` is scored by its vectors; any other has `scores` of its own.
    """

    @torch.no_grad()
    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        """See `Scorer.scores`."""
        assert isinstance(self, VectorScorer), f"{type(self).__name__} has neither vectors nor scores of its own"
        return self.users(items_BL) @ self.items().T

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state dict: parameters and persistent buffers."""
        return dict(self.state_dict())


@runtime_checkable
class Learned(Protocol):
    """A method trained by gradient descent.

    Attributes:
        length: L, the longest history it reads.
        rows: which training rows it wants (see `Loader`).
    """

    @property
    def length(self) -> int: ...
    @property
    def rows(self) -> Literal["prefix", "sequence"]: ...

    def build(self, catalog: Catalog) -> Model:
        """A fresh model; its parameters are drawn from torch's generator, which the caller has seeded.

        Buffers that are fitted later have their final shapes already, so that `load_state_dict` fits a fresh model.
        """
        ...

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """Refresh the model's buffers from training data (epoch 0: statistics; every epoch: what follows the vectors).

        Depends on the model's state, `data`, `epoch` and `seed` alone, so that a resumed run repeats it exactly.
        """
        ...

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """Named parts of the training loss of one batch; all randomness comes from `rng`."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A learned method that fits something before its first epoch."""

    def prepare(self, model: Model, data: Fitting, seed: int, share: float = 1.0) -> None:
        """Fill buffers of a fresh model; depends on `data` and `seed` alone, and is not repeated when a run resumes.

        With a `share` below 1 only that part of the work is done, to see what the whole will cost.
        """
        ...


@runtime_checkable
class Concluding(Protocol):
    """A learned method that measures something on the weights an epoch ended with."""

    def end_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """Fill buffers of a model in evaluation mode, after the last step of an epoch and before it is validated.

        Depends on the weights, `data`, `epoch` and `seed` alone; a run that resumes after the last step repeats it.
        """
        ...


@runtime_checkable
class Surveying(Protocol):
    """A learned method whose loss looks at what the user did around each target.

    Attributes:
        around: whether it does, with these settings (see `Loader`).
    """

    @property
    def around(self) -> bool: ...


@runtime_checkable
class ListensToWeights(Protocol):
    """A method that says whether it listens to the log's weights; one that does not say so listens.

    Attributes:
        weighted_targets: whether it does, with these settings (see `Batch.weights_BP` and `Sequences.weights`).
    """

    @property
    def weighted_targets(self) -> bool: ...


@runtime_checkable
class Impressed(Protocol):
    """A learned method whose loss takes batches of impressions too (see `Batch.exposed`).

    Attributes:
        impressions: whether it does, with these settings.
    """

    @property
    def impressions(self) -> bool: ...


@runtime_checkable
class Noted(Protocol):
    """A method that has something to say about the data before it is trained on."""

    def notes(self, data: Fitting) -> dict[str, float]:
        """Named figures, shown before training and kept in the log."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A method that counts instead of descending.

    Attributes:
        length: L, the longest history it reads.
    """

    @property
    def length(self) -> int: ...

    def fit(self, data: Fitting) -> Scorer:
        """Count the training interactions; all randomness comes from `data.seed`."""
        ...

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> Scorer:
        """The scorer whose `tensors()` these are."""
        ...


Method = Learned | Counted


def scores_of(scorer: Scorer, items_BL: torch.Tensor) -> torch.Tensor:
    """What a scorer, which anybody may have written, gives for histories: scores_BN.

    Raises:
        UsageError: it is no table of scores; what is due.
    """
    scores_BN = scorer.scores(items_BL)
    kind = isinstance(scores_BN, torch.Tensor) and scores_BN.is_floating_point()
    if kind and scores_BN.ndim == 2 and len(scores_BN) == len(items_BL):
        return scores_BN
    given = f"{type(scores_BN).__module__}.{type(scores_BN).__name__}"
    if hasattr(scores_BN, "shape"):
        given += f" of {scores_BN.dtype} and shape {tuple(scores_BN.shape)}"
    raise UsageError(
        f"{type(scorer).__name__}.scores gives a {given}; due is a torch.Tensor of torch.float32 and shape "
        f"({len(items_BL)}, N): a row for each history, a column for each item, and column 0 for padding"
    )


def tried(scorer: Scorer, size: int) -> Scorer:
    """A scorer that answers an empty history with a score for each of `size` catalog rows.

    Raises:
        UsageError: it does not.
    """
    if not isinstance(scorer, Scorer):
        raise UsageError(f"{type(scorer).__name__} is no {lacking(scorer, Scorer)}")
    columns = scores_of(scorer, torch.zeros(1, 1, dtype=torch.int64)).shape[1]
    if columns != size:
        raise UsageError(
            f"{type(scorer).__name__}.scores gives shape (1, {columns}) where (1, {size}) is due: "
            f"the catalog has {size - 1} items, and column 0 is for padding"
        )
    return scorer


def lacking(thing: object, kind: type) -> str:
    """What a protocol asks for and a thing has not, e.g. `Counted (lacks fit, restore)`; "" where nothing is lacking."""
    lost = [name for name in vars(kind) if not name.startswith("_") and not hasattr(thing, name)]
    return f"{kind.__name__} (lacks {', '.join(lost)})" if lost else ""


def refusal(thing: object) -> str:
    """Why something is not a method, in words that tell its author what to write; "" for a method."""
    name = type(thing).__name__
    if isinstance(thing, type):
        return f"{thing.__name__} is a class; give its settings, {thing.__name__}()"
    learned, counted = lacking(thing, Learned), lacking(thing, Counted)
    if learned and counted:
        return f"{name} is neither {learned} nor {counted}"
    if not dataclasses.is_dataclass(thing):
        return f"{name} is not a settings class; put @settings of siftrec.settings above it"
    return ""
