"""How fast the library's own training loop runs: gathering, forward, loss, backward, checks, update."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from machine import rates
from torch.autograd.profiler_util import EventList

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch
from siftrec.data.split import Fitting, Split
from siftrec.methods.base import Concluding, Learned, Losses, Model
from siftrec.train.checkpoint import State
from siftrec.train.events import Stepped
from siftrec.train.loop import train
from siftrec.train.settings import Training

WARM_UP = 2  # looks at the clock before it starts
EVERY = 3  # steps between two looks
ENDLESS = 100_000
PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"}  # of which the profiler counts operations


@dataclass(frozen=True)
class Speed:
    """One timing.

    Attributes:
        targets_per_s: non-padding targets per CPU second of training.
        start_epoch_s: CPU seconds of `start_epoch`, once an epoch; only in the rate where an epoch ended meanwhile.
        targets_per_epoch: how many targets an epoch has.
    """

    targets_per_s: float
    start_epoch_s: float
    targets_per_epoch: int


class Counting:
    """A method that counts the targets it is trained on, and answers as the method it wraps."""

    def __init__(self, method: Learned) -> None:
        self.method, self.targets, self.start_epoch_s = method, 0, 0.0

    @property
    def length(self) -> int:
        return self.method.length

    @property
    def rows(self) -> Literal["prefix", "sequence"]:
        return self.method.rows

    def build(self, catalog: Catalog) -> Model:
        return self.method.build(catalog)

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        started = time.process_time()
        self.method.start_epoch(model, data, epoch, seed)
        self.start_epoch_s = time.process_time() - started

    def end_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        if isinstance(self.method, Concluding):
            self.method.end_epoch(model, data, epoch, seed)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        self.targets += int(batch.targets_BP.count_nonzero())
        return self.method.loss(model, batch, rng)


def steps(
    method: Counting, split: Split, catalog: Catalog, batch_size: int, epoch: int, seed: int = 1
) -> Iterator[int]:
    """Train for ever from `epoch` on; gives the targets trained on so far, every few steps."""
    torch.set_num_threads(1)
    data = split.fitting.recode(catalog.vocab)
    data = replace(data, valid=data.valid.take(np.arange(0)))  # nothing is asked, so nothing is validated
    training = Training(batch_size=batch_size, epochs=ENDLESS, patience=0, log_steps=EVERY)
    with seeds.initialised(seed, "build"):
        model = method.build(catalog)
    for earlier in range(epoch):
        method.start_epoch(model.eval(), data, earlier, seed)
    state = State.fresh(model, training)
    state.progress.epoch = epoch
    for event in train(method, state, data, training, seed):
        if isinstance(event, Stepped):
            yield method.targets


def targets_per_second(
    method: Learned, split: Split, catalog: Catalog, batch_size: int, seconds: float, epoch: int = 0
) -> Speed:
    """Targets per CPU second over about `seconds` CPU seconds of training.

    Args:
        method: what is trained.
        split: the data; validation and test are left out.
        catalog: items and content.
        batch_size: rows per batch.
        seconds: CPU seconds to measure for.
        epoch: where to begin, for losses that start after a warm-up.
    """
    counting = Counting(method)
    running = steps(counting, split, catalog, batch_size, epoch)
    before = [next(running) for _ in range(WARM_UP)][-1]
    spent, after, start = 0.0, before, time.process_time()
    while spent < seconds:
        after = next(running)
        spent = time.process_time() - start
    running.close()
    targets_per_epoch = int(np.maximum(split.train.lengths - 1, 0).sum())
    return Speed((after - before) / spent, counting.start_epoch_s, targets_per_epoch)


def profile(method: Learned, split: Split, catalog: Catalog, batch_size: int, epoch: int = 0) -> str:
    """Where the time of training goes: what its matrix products allow, and the operators that cost most, as a table."""
    counting = Counting(method)
    running = steps(counting, split, catalog, batch_size, epoch)
    before = [next(running) for _ in range(WARM_UP)][-1]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], with_flops=True) as measured:
        after = [next(running) for _ in range(4)][-1]
    running.close()
    averages = measured.key_averages()
    return f"{limit(averages, after - before)}\n\n{averages.table(sort_by='self_cpu_time_total', row_limit=25)}"


def limit(averages: EventList, targets: int) -> str:
    """How long one target must take for its matrix products alone, and how long it does."""
    best, total = rates()["gemm_gflops"], sum(each.self_cpu_time_total for each in averages)
    products = [each for each in averages if each.key in PRODUCTS]
    flops, spent = sum(each.flops for each in products), sum(each.self_cpu_time_total for each in products)
    return (
        f"{flops / targets / 1e6:.2f} MFLOP a target in matrix products, but for those that add in place:"
        f" {flops / targets / best / 1e3:.1f} us of the {total / targets:.1f} us it takes here, at the {best:.0f} GFLOP/s of"
        f" products of 1024² matrices. They take {spent / targets:.1f} us, {flops / spent / 1e3:.0f} GFLOP/s, for they are"
        " narrower than that; the rest gathers and adds up rows, takes exponentials, normalises and updates weights, and is"
        " bound by memory and by the calls."
    )
