"""RecTools' SASRec on training sequences given by the benchmark: how fast it trains, and what it recommends.

Runs in its own environment (see README.md beside this file) and never imports siftrec. Sequences come as `.npz` with
`items` (E,) int32 codes and `offsets` (R+1,): exactly the data our side trains on.

    python sasrec.py speed train.npz --loss softmax --seconds 20             one JSON object on stdout
    python sasrec.py rank  train.npz histories.npz lists.npz --epochs 8       best items of each history, for our metrics
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")
for noisy in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
    logging.getLogger(noisy).setLevel(logging.ERROR)

import exchange  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytorch_lightning as lightning  # noqa: E402
import rectools  # noqa: E402
import torch  # noqa: E402
from rectools import Columns  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402

WARM_UP = 3  # steps before the clock starts
BLOCK = 5_000  # histories asked about at once, to bound memory


class Clock(lightning.Callback):
    """Counts real targets and CPU seconds between the warm-up and the moment the time is used up."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.steps, self.targets, self.start, self.spent = seconds, 0, 0, 0.0, 0.0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        """One step is over; its loading, forward, backward and update lie before this call."""
        self.steps += 1
        if self.steps <= WARM_UP:
            self.start = time.process_time()
            return
        self.targets += int((batch["y"] != 0).sum())
        self.spent = time.process_time() - self.start
        trainer.should_stop = self.spent >= self.seconds


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Items (E,) and offsets (R+1,)."""
    with np.load(path) as arrays:
        return arrays["items"], arrays["offsets"]


def dataset(items: np.ndarray, offsets: np.ndarray) -> Dataset:
    """RecTools' dataset; a position counts as a day, for RecTools wants a date."""
    lengths = np.diff(offsets)
    position = np.arange(len(items)) - np.repeat(offsets[:-1], lengths)
    frame = {
        Columns.User: np.repeat(np.arange(len(lengths)), lengths),
        Columns.Item: items.astype(np.int64),
        Columns.Weight: 1.0,
        Columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(position, unit="D"),
    }
    return Dataset.construct(pd.DataFrame(frame))


def model(options: argparse.Namespace, epochs: int, callbacks: list[lightning.Callback]) -> SASRecModel:
    """Their model with the given sizes and their defaults for the rest."""
    made = SASRecModel(
        session_max_len=options.length,
        n_factors=options.dim,
        n_blocks=options.blocks,
        n_heads=options.heads,
        dropout_rate=options.dropout,
        batch_size=options.batch_size,
        loss=options.loss,
        n_negatives=options.negatives,
        gbce_t=options.gbce_t,
        lr=options.lr,
    )
    # The public way to choose a trainer after construction; theirs, with the clock added and one CPU device.
    made._trainer = lightning.Trainer(
        max_epochs=epochs,
        min_epochs=1 if callbacks else epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )
    return made


def speed(options: argparse.Namespace) -> None:
    """Train for some CPU seconds and print targets per CPU second."""
    fitted = model(options, 1_000, [Clock(options.seconds)])
    fitted._trainer.fit_loop.min_epochs = 0  # may stop inside the first epoch
    fitted.fit(dataset(*load(options.train)))
    clock = next(c for c in fitted.fit_trainer.callbacks if isinstance(c, Clock))
    result = {"targets": clock.targets, "cpu_s": clock.spent, "steps": clock.steps - WARM_UP}
    print(json.dumps(result | {"versions": versions(), "settings": chosen(options)}))


def rank(options: argparse.Namespace) -> None:
    """Train fully, then write each history's best items, nothing filtered, for our metrics to judge."""
    started = time.process_time()
    fitted = model(options, options.epochs, [])
    fitted.fit(dataset(*load(options.train)))
    trained_s = time.process_time() - started
    items, offsets = load(options.histories)
    few = offsets[: exchange.ASKED + 1]
    before = time.process_time()
    listed(fitted, items, few, exchange.K, filter_viewed=True)
    answered_s = time.process_time() - before
    np.savez_compressed(options.out, items=listed(fitted, items, offsets, options.k, filter_viewed=False))
    told = {
        "fit_cpu_s": trained_s,
        "targets_per_s": options.epochs * len(load(options.train)[0]) / trained_s,
        "users_per_s": (len(few) - 1) / answered_s,
        "cpu_s": time.process_time(),
        "peak_bytes": exchange.peak_bytes(),
        "epochs": options.epochs,
    }
    print(json.dumps(told | {"versions": versions(), "settings": chosen(options)}))


def listed(fitted: SASRecModel, items: np.ndarray, offsets: np.ndarray, k: int, filter_viewed: bool) -> np.ndarray:
    """(R, k) the best items of each history; 0 where there are no more."""
    lists = np.zeros((len(offsets) - 1, k), np.int32)
    for first in range(0, len(lists), BLOCK):
        cut = offsets[first : first + BLOCK + 1]
        asked = dataset(items[cut[0] : cut[-1]], cut - cut[0])
        rows = np.flatnonzero(np.diff(cut) > 0)
        answer = fitted.recommend(rows, asked, k, filter_viewed=filter_viewed, on_unsupported_targets="ignore")
        lists[first + answer[Columns.User].to_numpy(), answer[Columns.Rank].to_numpy() - 1] = answer[Columns.Item]
    return lists


def versions() -> dict[str, str]:
    """What was measured."""
    return {"rectools": rectools.__version__, "torch": torch.__version__, "pytorch-lightning": lightning.__version__}


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """The settings, without paths."""
    return {key: value for key, value in vars(options).items() if isinstance(value, str | int | float)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("speed", speed), ("rank", rank)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("train", type=Path)
        if run is rank:
            command.add_argument("histories", type=Path)
            command.add_argument("out", type=Path)
            command.add_argument("--epochs", type=int, default=8)
            command.add_argument("--k", type=int, default=300)
        else:
            command.add_argument("--seconds", type=float, default=20.0)
        command.add_argument("--loss", choices=["softmax", "gBCE", "sampled_softmax"], default="softmax")
        command.add_argument("--negatives", type=int, default=256)
        command.add_argument("--gbce-t", type=float, default=0.2)
        command.add_argument("--length", type=int, default=50)
        command.add_argument("--dim", type=int, default=64)
        command.add_argument("--blocks", type=int, default=2)
        command.add_argument("--heads", type=int, default=4)
        command.add_argument("--dropout", type=float, default=0.2)
        command.add_argument("--batch-size", type=int, default=128)
        command.add_argument("--lr", type=float, default=0.001)
        command.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lightning.seed_everything(options.seed, verbose=False)
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())
