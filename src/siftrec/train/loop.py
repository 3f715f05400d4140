"""The training loop. It reads top to bottom, yields events and prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import torch

from siftrec import seeds
from siftrec.data.loader import Batch, ImpressionLoader, Loader
from siftrec.data.split import Fitting
from siftrec.errors import DataError, NonFiniteLossError, SettingsError
from siftrec.methods.base import Concluding, Impressed, Learned, Losses, Model, Preparing, Surveying, total
from siftrec.train.checkpoint import Progress, State
from siftrec.train.events import EpochEnded, Event, Stepped, Stopped, Warned
from siftrec.train.interrupts import Interrupts
from siftrec.train.settings import Training
from siftrec.train.validate import validate

FEW_STEPS = 500
"""Fewer than so many in all seldom teach a method what it can learn."""

_GRADIENT = "gradient norm"
_OF_IMPRESSIONS = ("gauc", "auc")


def train(
    method: Learned,
    state: State,
    data: Fitting,
    training: Training,
    seed: int,
    save: Callable[[State], None] = lambda state: None,
    interrupts: Interrupts | None = None,
) -> Iterator[Event]:
    """Train from where `state` stands to the end, then leave the best weights in the model.

    Saved states lie between two steps, never inside one: after step s of an epoch with s ≥ 1 and before its validation.
    So a resumed run repeats no step, and `start_epoch` runs again exactly when nothing of the epoch was saved.

    Args:
        method: gives the loss.
        state: from `State.fresh`, or restored.
        data: training sequences and validation questions, in the model's codes.
        training: settings.
        seed: of the run; every random stream is derived from it by name.
        save: makes the state durable; called at the end of every epoch, every `checkpoint_steps`, and when interrupted.
        interrupts: who notices signals.

    Raises:
        NonFiniteLossError: the loss or the gradient is NaN or infinite.
        Terminated: SIGTERM; the state was saved.
    """
    interrupts = interrupts or Interrupts()
    model, progress = state.model, state.progress
    loader = loader_of(method, data, training, seed)
    steps = len(loader.plan(0))
    while progress.epoch < training.epochs and not _patience_is_over(progress, training) and not interrupts.enough:
        if progress.step == 0:
            _start_epoch(method, state, data, seed)
        with interrupts.held():
            model.train()
            clock = Clock()
            for batch in loader.epoch(progress.epoch, skip=progress.step):
                _set_rate(state, training, steps)
                _step(method, state, batch, training, seed)
                clock.targets += batch.asked
                if progress.step % training.log_steps == 0 or progress.step == steps:
                    yield _stepped(progress, clock)
                if interrupts.asked or progress.step == steps or _is_due(progress.step, training.checkpoint_steps):
                    save(state)
                    interrupts.check()

        began = time.perf_counter()
        value = _end_epoch(method, state, data, training, seed)
        better = value is None or progress.best is None or value > progress.best
        if better:
            state.keep_best()
            progress.best, progress.best_epoch = value, progress.epoch
        yield EpochEnded(progress.epoch, training.metric, value, better, time.perf_counter() - began)
        progress.epoch, progress.step = progress.epoch + 1, 0

    state.load_best()
    if 0 < progress.epoch * steps < FEW_STEPS:
        yield Warned(_short(progress.epoch * steps, training))
    early = "asked to stop" if interrupts.enough else f"no better for {training.patience} epochs"
    reason = early if progress.epoch < training.epochs else "done"
    yield Stopped(reason, progress.epoch, progress.best_epoch, training.metric, progress.best)


def _start_epoch(method: Learned, state: State, data: Fitting, seed: int) -> None:
    state.model.eval()
    if state.is_new and isinstance(method, Preparing):
        method.prepare(state.model, data, seed)
    method.start_epoch(state.model, data, state.progress.epoch, seed)


def _end_epoch(method: Learned, state: State, data: Fitting, training: Training, seed: int) -> float | None:
    """The value of validation, after what the method measures before it."""
    model = state.model.eval()
    if isinstance(method, Concluding):
        method.end_epoch(model, data, state.progress.epoch, seed)
    return validate(method, model, data, training)


def _set_rate(state: State, training: Training, steps: int) -> None:
    """By where the run stands alone: a resumed run needs no memory of it."""
    passed = (state.progress.epoch * steps + state.progress.step) / (training.epochs * steps)
    for group in state.optimiser.param_groups:
        group["lr"] = training.rate(passed)


def _step(method: Learned, state: State, batch: Batch, training: Training, seed: int) -> None:
    model, progress = state.model, state.progress
    step = (progress.epoch, progress.step)
    with seeds.initialised(seed, "layers", *step):  # for those that draw from torch's own generator, such as Dropout
        losses = method.loss(model, batch, seeds.generator(seed, "loss", *step))
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(total(losses))
    parts = _finite_parts(losses, model, progress)
    if training.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
    state.optimiser.step()
    progress.step += 1
    progress.summed += 1
    for part, value in parts.items():
        progress.sums[part] = progress.sums.get(part, 0.0) + value


def loader_of(method: Learned, data: Fitting, training: Training, seed: int) -> Loader | ImpressionLoader:
    """The batches of a run.

    Raises:
        DataError: not one training row.
        SettingsError: impressions, and settings that are not for them; or the other way round.
    """
    if data.impressions is not None:
        check_impressed(method, training)
        shown = data.impressions[0]
        return ImpressionLoader(shown, method.length, training.batch_size, seed, training.rows_per_user)
    check_ranked(training)
    around = isinstance(method, Surveying) and method.around
    loader = Loader(data.train, method.rows, method.length, training.batch_size, seed, training.rows_per_user, around)
    if not (data.train.lengths > 1).any():
        raise DataError("nothing to learn from: no user has two training interactions, one to follow the other")
    return loader


def check_impressed(method: Learned, training: Training) -> None:
    """Whether a method with these settings can be trained on impressions.

    Raises:
        SettingsError: it cannot, or the metric is not one of impressions.
    """
    if not isinstance(method, Impressed) or not method.impressions:
        name = type(method).__name__
        problem = f"{name} with these settings is not trained on impressions; DIN and CCL4Rec can be"
        raise SettingsError("method.use", problem)
    if training.metric not in _OF_IMPRESSIONS:
        problem = f"impressions are judged by 'gauc' or 'auc', not by {training.metric!r}"
        raise SettingsError("train.metric", f'{problem}; write metric = "gauc" under [train], or metric="gauc" to fit')


def check_ranked(training: Training) -> None:
    """Whether the metric says anything where the whole catalog is ranked.

    Raises:
        SettingsError: it is one of impressions.
    """
    if training.metric in _OF_IMPRESSIONS:
        problem = f"{training.metric!r} judges impressions, which this split does not have; e.g. 'ndcg@10' ranks"
        raise SettingsError("train.metric", problem)


def _short(steps: int, training: Training) -> str:
    longer = f", a larger patience (now {training.patience})" if training.patience else ""
    return (
        f"training ended after few steps, {steps:,} in all; more may help: a smaller batch_size (now "
        f"{training.batch_size:,}), more epochs (now {training.epochs:,}){longer}"
    )


def _patience_is_over(progress: Progress, training: Training) -> bool:
    return 0 < training.patience <= progress.waited


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def _gradient_norm(model: Model) -> float:
    norms = [torch.linalg.vector_norm(p.grad) for p in model.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def _finite_parts(losses: Losses, model: Model, progress: Progress) -> dict[str, float]:
    parts = {name: float(part.detach()) for name, part in losses.items()} | {_GRADIENT: _gradient_norm(model)}
    wrong = {name: value for name, value in parts.items() if not abs(value) < float("inf")}
    if not wrong:
        return parts
    named = {
        name: p for name, p in model.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())
    }
    tensors = f"; gradients that are not finite: {', '.join(named)}" if named else ""
    raise NonFiniteLossError(
        f"epoch {progress.epoch}, step {progress.step}: {_spelled(wrong)}{tensors}; "
        "try a smaller learning_rate or set clip_norm"
    )


def _spelled(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} is {value}" for name, value in parts.items())


class Clock:
    """Targets per second since the last look."""

    def __init__(self) -> None:
        self.targets, self._since = 0, time.perf_counter()

    def speed(self) -> float:
        """Targets per second since the last call, and start again."""
        seconds, self._since = time.perf_counter() - self._since, time.perf_counter()
        targets, self.targets = self.targets, 0
        return targets / max(seconds, 1e-9)


def _stepped(progress: Progress, clock: Clock) -> Stepped:
    means = {name: value / progress.summed for name, value in progress.sums.items()}
    gradient, over = means.pop(_GRADIENT), progress.summed
    progress.sums, progress.summed = {}, 0
    return Stepped(progress.epoch, progress.step, over, means, gradient, clock.speed())
