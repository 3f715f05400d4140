"""What a run will cost, measured before it starts on a copy that is thrown away."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.split import Fitting
from siftrec.evaluate.rank import BLOCK_BYTES
from siftrec.methods.base import Concluding, Learned, Model, Preparing, total
from siftrec.train.checkpoint import State, adamw
from siftrec.train.events import Estimate
from siftrec.train.loop import loader_of
from siftrec.train.settings import Training
from siftrec.train.validate import sampled, validate

PROCESS = Path("/proc/self/status")

PLACES = (0.5, 0.1, 0.3, 0.5, 0.7, 0.9)
"""Which batches are tried, among all by length, for a long one takes longer; the first one warms up and does not count."""

PREPARED = 0.03
"""Share of the work before the first epoch that is tried."""

QUESTIONS = 256
SCORE_BYTES = 16


def estimate(method: Learned, state: State, catalog: Catalog, data: Fitting, training: Training, seed: int) -> Estimate:
    """Time and memory of what is still to do; `state` is not changed.

    Validation is timed on a few questions, steps as those of the last epoch, when every part of the loss is on.

    Args:
        method: its settings.
        state: where the run stands.
        catalog: items and modalities.
        data: training data.
        training: settings.
        seed: of the run; the copy draws from streams of its own.
    """
    with seeds.initialised(seed, "estimate"):
        trial = method.build(catalog)
    trial.load_state_dict(state.model.state_dict())
    once = _prepare_seconds(method, trial, data, seed) if state.is_new else 0.0
    refresh = _seconds(lambda: method.start_epoch(trial.eval(), data, state.progress.epoch, seed))
    method.start_epoch(trial, data, max(training.epochs - 1, state.progress.epoch), seed)
    ended = _seconds(lambda: method.end_epoch(trial, data, 0, seed)) if isinstance(method, Concluding) else 0.0
    before = peak_memory()
    step = _step_seconds(method, trial, data, training, seed)
    asked = sampled(data.valid, training.validate_users)
    batch = max(peak_memory() - before, min(len(asked) * len(catalog) * SCORE_BYTES, BLOCK_BYTES))

    few = asked.take(np.arange(min(QUESTIONS, len(asked))))
    answers = _seconds(lambda: validate(method, trial, replace(data, valid=few), training))  # impressions: all of them
    answers *= len(asked) / max(len(few), 1) if data.impressions is None else 1

    steps = len(loader_of(method, data, training, seed).plan(0))
    epochs = max(training.epochs - state.progress.epoch, 0)
    seconds = once + epochs * (refresh + step * steps + ended + answers) - step * state.progress.step
    weights = sum(tensor.nbytes for tensor in trial.state_dict().values())
    extra = 3 * sum(p.nbytes for p in trial.parameters()) + weights
    return Estimate(max(seconds, 0.0), before + extra + batch, weights, extra, batch, held_bytes(catalog))


def _prepare_seconds(method: Learned, trial: Model, data: Fitting, seed: int) -> float:
    if not isinstance(method, Preparing):
        return 0.0
    method.prepare(trial.eval(), data, seed, 0.0)
    fixed = _seconds(lambda: method.prepare(trial, data, seed, 0.0))
    tried = _seconds(lambda: method.prepare(trial, data, seed, PREPARED))
    return fixed + max(tried - fixed, 0.0) / PREPARED


def _step_seconds(method: Learned, trial: Model, data: Fitting, training: Training, seed: int) -> float:
    optimiser = adamw(trial, training)
    loader = loader_of(method, data, training, seed)
    plan = sorted(loader.plan(0), key=lambda rows: int(rows[1].max(initial=0)))
    times = []
    trial.train()
    for number, place in enumerate(PLACES):
        batch = loader.batch(*plan[int(place * len(plan))])
        began = time.perf_counter()
        name = (seed, "estimate", number)
        with seeds.initialised(*name):
            losses = method.loss(trial, batch, seeds.generator(*name))
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total(losses))
        optimiser.step()
        times.append(time.perf_counter() - began)
    return float(np.mean(times[1:]))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def held_bytes(catalog: Catalog) -> int:
    """Bytes of content vectors that are in memory rather than memory-mapped."""
    features = [aligned.modality.features for aligned in catalog.modalities.values()]
    return sum(array.nbytes for array in features if not isinstance(array, np.memmap))


def give_back_memory() -> None:
    """Hand back to the system what was freed but kept by the C library (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def peak_memory() -> int:
    """The most bytes this process has held at once.

    On Linux since its program began; `getrusage` counts on there from the process that started it.
    """
    if PROCESS.exists():
        found = re.search(r"^VmHWM:\s*(\d+) kB$", PROCESS.read_text("ascii"), re.MULTILINE)
        if found is not None:
            return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
