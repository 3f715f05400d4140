"""`fit`: a method and a split become a trained model, with or without a run folder behind it."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siftrec import seeds
from siftrec.data.catalog import Aligned, Catalog
from siftrec.data.exposure import ImpressionSplit
from siftrec.data.split import Fitting, Split
from siftrec.data.weighed import knows_answers
from siftrec.errors import UsageError, no_memory
from siftrec.methods.base import (
    Counted,
    Extensible,
    Learned,
    ListensToWeights,
    Method,
    Model,
    Noted,
    Scorer,
    refusal,
    tried,
)
from siftrec.methods.trained import Facts, Trained
from siftrec.nn.threads import threads
from siftrec.settings import construct, describe, spelled
from siftrec.train.checkpoint import State
from siftrec.train.estimate import estimate, give_back_memory
from siftrec.train.events import EpochEnded, Estimate, Event, OnEvent, Read, Started, Warned
from siftrec.train.folder import RunFolder, opened
from siftrec.train.interrupts import Interrupts
from siftrec.train.loop import loader_of, train
from siftrec.train.settings import Training

_SMALL = 64 << 20
"""Vectors made in memory are told apart by their bytes up to this size, beyond it by their shape alone."""
_MAY_CHANGE = ("use", "epochs", "patience", "log_steps", "checkpoint_steps", "checkpoints")


def fit(
    method: Method,
    split: Split | ImpressionSplit,
    catalog: Catalog | None = None,
    *,
    training: Training | None = None,
    seed: int = 7,
    folder: str | Path | None = None,
    resume: bool = False,
    on_event: OnEvent | None = None,
    **overrides: Any,
) -> Trained:
    """Train a method on the training part of a split; the test part is never looked at.

    Args:
        method: learned or counted.
        split: the log, cut; of impressions, for methods that are trained on them, with `metric` "gauc" or "auc".
        catalog: items and content; None: the items of the log, without content.
        training: settings of learned methods; counted ones need none.
        seed: the same seed gives the same weights, bit by bit, for an equal number of threads.
        folder: run folder for the log and the checkpoints of a learned method; None keeps nothing. `siftrec.save(model,
            folder)` puts the model there, too.
        resume: go on from the newest whole checkpoint in `folder`; where there is none, start.
        on_event: called with every event, see `siftrec.train.events`; `siftrec.Progress()` prints them. Where it gives True,
            training ends after the epoch at hand, with the best weights so far. None: what the user should know, e.g. that
            fewer than 500 steps were made in all, or that test interactions have weights, is a Python warning.
        overrides: single settings of `training`, e.g. `epochs=5`.

    Raises:
        SettingsError: an override that is no training setting, or fewer epochs than a run to be resumed has trained.
        UsageError: `folder` already holds checkpoints and `resume` is false; what is no method, or a log that is not cut.
        EnvironmentProblem: another process trains in `folder`, or it cannot be written.
        NonFiniteLossError: training diverged.
        Terminated: SIGTERM arrived; the newest checkpoint holds the last step.
    """
    problem = refusal(method)
    if problem:
        raise UsageError(f"method: {problem}")
    if not isinstance(split, Split | ImpressionSplit):
        raise UsageError(f"split: {type(split).__name__} is not cut; try siftrec.leave_one_out(events)")
    training = construct(Training, _values(training or Training()) | overrides, "train")
    if resume and folder is None:
        raise UsageError("resume needs the run folder to resume from")
    catalog = Catalog(split.items.ids) if catalog is None else catalog
    if not isinstance(catalog, Catalog):
        raise UsageError(f"catalog: {type(catalog).__name__} is no Catalog; try siftrec.Catalog(events.items)")
    data = dataclasses.replace(split.fitting.recode(catalog.vocab), seed=seed)
    run = Run(method, data, catalog, training, seed)
    _warn(knows_answers(split), on_event)
    with threads(training.threads):
        scorer, epochs = (
            run.learn(folder, resume, on_event) if isinstance(method, Learned) else (_count(method, data, on_event), 0)
        )
    questions = split.test.recode(catalog.vocab).fingerprint
    facts = Facts(seed, split.protocol, split.train.fingerprint, questions, epochs)
    return Trained(method, scorer, catalog.vocab, run.data.popularity, facts, catalog.contents)


def _warn(message: str, on_event: OnEvent | None) -> None:
    """Tell who called `fit`, where there is anything to be told."""
    if message and on_event is None:
        warnings.warn(message, stacklevel=3)
    elif message and on_event is not None:
        on_event(Warned(message))


def _count(method: Counted, data: Fitting, on_event: OnEvent | None) -> Scorer:
    """What a method counts, tried at once: who wrote it should not learn from an evaluation what is due."""
    if on_event is not None and (notes := _unheeded(method, data)):
        on_event(Read(notes))
    scorer = method.fit(data)
    try:
        return tried(scorer, len(data.items))
    except UsageError as error:
        raise UsageError(f"fit of {type(method).__name__}: {error}") from None


def _unheeded(method: Method, data: Fitting) -> dict[str, int]:
    """That the log has weights and the method says that it does not listen to them; nothing of other methods."""
    weights = data.train.weights
    if weights is None or not isinstance(method, ListensToWeights) or method.weighted_targets:
        return {}
    note = "does not weigh targets by the log's weights (weighted_targets = False); interactions of weight below 1"
    below = int((weights < 1).sum())
    return {f"{type(method).__name__} {note}": below} if below else {}


def _content(aligned: Aligned) -> dict[str, Any]:
    """A modality's vectors, wherever they lie, and which item has which of them."""
    vectors = aligned.modality.features
    content = vectors.tobytes() if not aligned.modality.sha256 and vectors.nbytes < _SMALL else b""
    return {
        "vectors": aligned.modality.sha256 or hashlib.sha256(content).hexdigest(),
        "type": f"{vectors.dtype} {list(vectors.shape)}",
        "rows": hashlib.sha256(aligned.row.tobytes()).hexdigest(),
    }


def _values(training: Training) -> dict[str, Any]:
    return {field.name: getattr(training, field.name) for field in dataclasses.fields(Training)}


@contextmanager
def _noting_memory(method: Learned) -> Iterator[None]:
    """Where memory is short, the error notes the settings that need less of it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if no_memory(error):
            settings, where = describe(method), "method"
            if isinstance(base := settings.get("base"), dict):
                settings, where = base, "method.base"
            keys = [f"{where}.{name}" for name in ("dim", "length") if name in settings]
            error.add_note(f"a smaller {' or '.join([*keys, 'train.batch_size'])} needs less of it")
        raise


@dataclass(frozen=True)
class Run:
    """Everything that decides the outcome of training."""

    method: Method
    data: Fitting
    catalog: Catalog
    training: Training
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be resumed.

        How long to train may change, but not where the rate of every step hangs on it.
        """
        training = describe(self.training)
        if self.training.schedule == "cosine":
            training["schedule"] = f"cosine over {self.training.epochs} epochs"
        return {
            "method": describe(self.method),
            "train": {name: value for name, value in training.items() if name not in _MAY_CHANGE},
            "seed": self.seed,
            "data": self.data.fingerprints,
            "modality": {name: _content(aligned) for name, aligned in self.catalog.modalities.items()},
        }

    def learn(self, folder: str | Path | None, resume: bool, on_event: OnEvent | None) -> tuple[Scorer, int]:
        """Train, keep log and checkpoints; gives the model with its best weights and the epochs trained."""
        assert isinstance(self.method, Learned)
        keep = self.training.checkpoints
        with Interrupts() as interrupts, opened(folder, self.identity, keep) as kept, _noting_memory(self.method):
            with seeds.initialised(self.seed, "weights"):
                model = self.method.build(self.catalog)
            if not isinstance(model, Model):
                raise UsageError(f"build gives {type(model).__name__}, which is not a siftrec.methods.base.Model")
            state = State.fresh(model, self.training)
            told = kept is not None or on_event is not None
            for event in self._events(self.method, state, kept, resume, interrupts, told):
                if isinstance(event, Started | EpochEnded):
                    give_back_memory()  # what the copy that was tried, or validation, has left
                if kept is not None:
                    kept.log.write(event)
                if on_event is None and isinstance(event, Warned):
                    warnings.warn(event.message, stacklevel=3)  # of who called `fit`
                if on_event is not None and on_event(event) is True:
                    interrupts.enough = True
        return model, state.progress.epoch

    def _unread(self, model: Model) -> dict[str, float]:
        """That the catalog has content, and a method which could read it was not told to; nothing of other methods."""
        able = (
            each
            for each in (self.method, getattr(self.method, "base", None))
            if getattr(each, "content", None) is False
        )
        deaf = next(able, None)
        if deaf is None or not len(self.catalog.modalities) or (isinstance(model, Extensible) and model.reads):
            return {}
        note = f"{type(deaf).__name__} reads no content (content=True does); modalities in the catalog"
        return {note: len(self.catalog.modalities)}

    def _events(
        self,
        method: Learned,
        state: State,
        kept: RunFolder | None,
        resume: bool,
        interrupts: Interrupts,
        told: bool,
    ) -> Iterator[Event]:
        """Everything that happens; the cost is estimated only where somebody is told it."""
        if kept is not None and not resume:
            kept.refuse_used()
        for message in kept.resume(state, self.training.epochs) if kept is not None and resume else ():
            yield Warned(message)
        yield Started(
            method=spelled(type(method)),
            parameters=sum(p.numel() for p in state.model.parameters()),
            epoch=state.progress.epoch,
            step=state.progress.step,
            epochs=self.training.epochs,
            steps=len(loader_of(method, self.data, self.training, self.seed).plan(0)),
            estimate=estimate(method, state, self.catalog, self.data, self.training, self.seed) if told else Estimate(),
            notes=(method.notes(self.data) if isinstance(method, Noted) else {})
            | self._unread(state.model)
            | _unheeded(method, self.data),
        )
        save = (lambda state: None) if kept is None else kept.save
        yield from train(method, state, self.data, self.training, self.seed, save, interrupts)
