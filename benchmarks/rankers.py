"""CCL4Rec beside rankers that read history and candidate together: what they need, how fast they answer, how well.

    python benchmarks/rankers.py list                               the cells, done or not
    python benchmarks/rankers.py run --only 'answer.*'              parameters, and time per candidate
    python benchmarks/rankers.py run --only 'train.ml100k.*.seed1'  training, and GAUC over real exposure
    python benchmarks/rankers.py compare                            paired over users and seeds, for what is done
    python benchmarks/render.py                                     docs/results.md from the stored figures

All on one thread. Every cell goes into `results/rankers.json`, and is made again when its settings change. `answer` cells
use MicroLens' 19,220 items with ids and content, full histories, weights as they start: speed does not depend on them. In
`train` cells rated films are what was shown, 4 and more stars a click; the last fifth of each user's is the test, the tenth
before it decides on epochs and learning rate. `grouped`: up to ten impressions are judged from one history; `single`: each
from its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine

if TYPE_CHECKING:
    import torch

    from siftrec.data.exposure import ImpressionSplit
    from siftrec.methods.base import Learned
    from siftrec.train.events import Event
    from siftrec.train.settings import Training

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "rankers.json"
VALUES = HERE / "results" / "values"

LENGTHS = (20, 100, 300)
CANDIDATES = 343
USERS = 64
BATCH = f"candidates, {USERS} users at once"
FEW = 4
CATALOG_BATCH = f"catalog, {USERS} users at once, {FEW} where candidates are read"
MEASURES = {
    "answer": {"us_per_candidate": ("candidates", "catalog", BATCH, CATALOG_BATCH)},
    "train": {"test": ("gauc", "auc")},
}
"""Kind of cell → figures → what is measured of every method."""
DATASETS = ("ml100k", "ml_latest_small")
METHODS = ("two-tower", "ccl4rec-clicks", "ccl4rec", "din", "self-attention")
MODES = {"grouped": 10, "single": 1}
SEEDS = (1, 2, 3)
RATES = (1e-3, 4e-3)
HIDDEN = 8
"""Width of the layers of CCL4Rec's encoder: none of 8, 16 and 64 is told from another by validation GAUC."""
IMPRESSIONS = 640
"""Impressions per step, in groups or not."""


@dataclass(frozen=True)
class Cell:
    """What is measured at once.

    Attributes:
        kind: `answer` or `train`.
        method: one of `METHODS`.
        length: L.
        data: name of the data set; `train` only, like what follows.
        mode: of `MODES`.
        seed: of training.
    """

    kind: str
    method: str
    length: int
    data: str = ""
    mode: str = ""
    seed: int = 0

    def __str__(self) -> str:
        parts = [self.kind, self.data, self.method, f"L{self.length}", self.mode, f"seed{self.seed}"]
        return ".".join(parts if self.kind == "train" else [self.kind, self.method, f"L{self.length}"])

    @property
    def values(self) -> Path:
        """Impressions and AUC of each test user."""
        return VALUES / f"rankers.{self}.npz"


def cells(patterns: list[str] | None = None) -> list[Cell]:
    """All cells whose name matches a pattern, the quick ones first."""
    every = [Cell("answer", method, length) for length in LENGTHS for method in METHODS if method != "ccl4rec-clicks"]
    every += [
        Cell("train", method, length, data, mode, seed)
        for length, seed, data, mode, method in product(LENGTHS, SEEDS, DATASETS, MODES, METHODS)
    ]
    return [cell for cell in every if not patterns or any(fnmatch(str(cell), pattern) for pattern in patterns)]


def method_of(name: str, length: int, ids: bool = True) -> Learned:
    """One of `METHODS`: all have 64 dimensions and the same item tower."""
    from siftrec.methods.ccl4rec import CCL4Rec
    from siftrec.methods.contrast import Contrast
    from siftrec.methods.din import DIN
    from siftrec.methods.selfattention import SelfAttentionRanker

    no_contrast = Contrast(vanilla=0.0, graded=0.0, over=0.0)
    makes: dict[str, Callable[[], Learned]] = {
        "two-tower": lambda: CCL4Rec(length=length, ids=ids, encoder="mean", hidden=64, contrast=no_contrast),
        "ccl4rec-clicks": lambda: CCL4Rec(length=length, ids=ids, hidden=HIDDEN, contrast=no_contrast),
        "ccl4rec": lambda: CCL4Rec(length=length, ids=ids, hidden=HIDDEN),
        "din": lambda: DIN(length=length, ids=ids),
        "self-attention": lambda: SelfAttentionRanker(length=length, ids=ids),
    }
    return makes[name]()


def training_of(cell: Cell, rate: float) -> Training:
    """How it is trained, at one of the learning rates."""
    from siftrec.train.settings import Training

    groups = IMPRESSIONS // MODES[cell.mode]
    return Training(epochs=40, patience=4, metric="gauc", batch_size=groups, learning_rate=rate, schedule="constant")


def settings_of(cell: Cell) -> dict[str, Any]:
    """What decides the figures beside the data and the code."""
    from siftrec.settings import describe

    settings = {"method": describe(method_of(cell.method, cell.length))}
    if cell.kind == "train":
        settings["training"] = describe(training_of(cell, RATES[0]))
    return dict(json.loads(json.dumps(settings)))


def stored() -> dict[str, Any]:
    """What is in the file."""
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"schema": 1, "cells": {}}


def store(change: Callable[[dict[str, Any]], object]) -> None:
    """Change the file."""
    figures = stored()
    change(figures)
    figures["cells"] = dict(sorted(figures["cells"].items()))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


def is_done(cell: Cell) -> bool:
    """Whether everything that is measured now is there, made with the settings of now."""
    figures = stored()["cells"].get(str(cell))
    if figures is None or not current(cell, figures):
        return False
    told = (name in figures[kind] for kind, names in MEASURES[cell.kind].items() for name in names)
    return all(told) and (cell.kind == "answer" or cell.values.exists())


def current(cell: Cell, figures: dict[str, Any]) -> bool:
    """Whether stored figures were made with the settings of now."""
    return machine.unchanged(figures.get("settings"), settings_of(cell))


def answer(cell: Cell, folder: Path) -> dict[str, Any]:
    """Parameters by what they are for, and microseconds per candidate for users with full histories."""
    import torch
    from datasets import load

    from siftrec import seeds
    from siftrec.methods.base import VectorScorer
    from siftrec.methods.model import SequenceModel
    from siftrec.nn.rows import products

    data, method = load("microlens50k", folder), method_of(cell.method, cell.length)
    with seeds.initialised(1, "rankers"):
        model = method.build(data.catalog)
    base = model if isinstance(model, SequenceModel) else model.base
    base.count(data.split.fitting.recode(data.catalog.vocab))
    model.eval()
    draw, size = seeds.generator(1, "rankers"), len(data.catalog)
    history_1L = torch.randint(1, size, (1, cell.length), generator=draw)
    asked_1C = torch.randint(1, size, (1, CANDIDATES), generator=draw)
    histories_BL = torch.randint(1, size, (USERS, cell.length), generator=draw)
    asked_BC = torch.randint(1, size, (USERS, CANDIDATES), generator=draw)
    with torch.inference_mode():
        if isinstance(model, VectorScorer):
            user_D = model.users(history_1L)[0]
            works: dict[str, tuple[int, Callable[[], object]]] = {
                "candidates": (CANDIDATES, lambda: products(model.items(), asked_1C, model.users(history_1L))),
                "catalog": (size - 1, lambda: model.scores(history_1L)),
                BATCH: (USERS * CANDIDATES, lambda: products(model.items(), asked_BC, model.users(histories_BL))),
                CATALOG_BATCH: (USERS * (size - 1), lambda: model.scores(histories_BL)),
                "candidates, user known": (CANDIDATES, lambda: products(model.items(), asked_1C, user_D.unsqueeze(0))),
                "catalog, user known": (size - 1, lambda: model.items() @ user_D),
            }
        else:
            works = {
                "candidates": (CANDIDATES, lambda: model.scored(history_1L, asked_1C)),
                "catalog": (size - 1, lambda: model.scores(history_1L)),
                BATCH: (USERS * CANDIDATES, lambda: model.scored(histories_BL, asked_BC)),
                CATALOG_BATCH: (FEW * (size - 1), lambda: model.scores(histories_BL[:FEW])),
            }
        spent = {name: [x / count * 1e6 for x in seconds(work)] for name, (count, work) in works.items()}
    return {"parameters": parameters(model), "items": size - 1, "us_per_candidate": spent, "rates": machine.rates()}


def seconds(work: Callable[[], object], repeats: int = 5, least: float = 0.1) -> list[float]:
    """CPU seconds of `work`, one figure per repeat; each repeat is as many calls as take `least` seconds."""
    work()
    began = time.process_time()
    work()
    calls = max(1, round(least / max(time.process_time() - began, 1e-6)))
    found = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(calls):
            work()
        found.append((time.process_time() - began) / calls)
    return found


def parameters(model: torch.nn.Module) -> dict[str, int]:
    """How many numbers are learned: the id table, maps of content, what only losses use, and the network."""
    counts = {"ids": 0, "content": 0, "losses only": 0, "network": 0}
    for name, parameter in model.named_parameters():
        found = {"tower.ids.": "ids", "tower.maps.": "content", "extra.": "losses only"}
        kind = next((kind for part, kind in found.items() if part in name), "network")
        counts[kind] += parameter.numel()
    return counts


def exposure(data: str, folder: Path, group: int) -> ImpressionSplit:
    """Rated films as impressions."""
    from datasets import LOGS

    from siftrec.data.exposure import impressions, rated
    from siftrec.data.read import read

    return impressions(rated(read(folder / LOGS[data], rating="rating")), group=group)


def trained(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train at each learning rate, keep the one that validates best, and judge the test impressions by it."""
    import numpy as np

    from siftrec.evaluate.impressions import evaluate_impressions
    from siftrec.train.fit import fit

    split, runs = exposure(cell.data, folder, MODES[cell.mode]), []
    for rate in RATES:
        clock = Clock()
        model = fit(
            method_of(cell.method, cell.length), split, training=training_of(cell, rate), seed=cell.seed, on_event=clock
        )
        runs.append((clock, rate, model))
        print(f"{cell}: rate {rate:g}, {len(clock.curve)} epochs, best {clock.best:.4f}", file=sys.stderr, flush=True)
    clock, rate, model = max(runs, key=lambda run: run[0].best)
    judged = evaluate_impressions(model, split.test)
    VALUES.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(cell.values, shown=judged.shown, aucs=judged.aucs)
    epochs = np.diff([0.0, *(spent for spent, _ in clock.curve)])
    return {
        "learning_rate": rate,
        "rates_tried": {f"{run[1]:g}": run[0].best for run in runs},
        "curve": clock.curve,
        "epoch_cpu_s": statistics.median(epochs.tolist()),
        "histories": len(split.train),
        "impressions": len(split.train.labels),
        "items": len(split.items) - 1,
        "test_users": len(judged.shown),
        "test": judged.means(),
    }


class Clock:
    """CPU seconds of training, validation left out, beside the validation GAUC of each epoch."""

    def __init__(self) -> None:
        self.curve: list[tuple[float, float]] = []
        self._spent, self._began, self._ended = 0.0, 0.0, 0.0

    def __call__(self, event: Event) -> None:
        from siftrec.train.events import EpochEnded, Started, Stepped

        now = time.process_time()
        if isinstance(event, Started):
            self._began = now
        elif isinstance(event, Stepped):
            self._ended = now
        elif isinstance(event, EpochEnded):
            self._spent += self._ended - self._began
            self.curve.append((self._spent, float(event.value or 0.0)))
            self._began = now

    @property
    def best(self) -> float:
        """The best validation GAUC."""
        return max(value for _, value in self.curve)


def run(given: argparse.Namespace) -> None:
    """Run what is not done."""
    todo = [cell for cell in cells(given.only) if given.again or not is_done(cell)]
    print(f"{len(todo)} cells to do", file=sys.stderr)
    for cell in todo:
        figures = (answer if cell.kind == "answer" else trained)(cell, given.data)
        figures |= {
            "cell": cell.__dict__,
            "settings": settings_of(cell),
            "machine": machine.describe(),
            "commit": machine.commit(),
            "command": f"python benchmarks/rankers.py run --only '{cell}'",
        }
        store(lambda all, cell=cell, figures=figures: all["cells"].update({str(cell): figures}))  # type: ignore[misc]
        print(f"{cell}: done", file=sys.stderr, flush=True)


def show(given: argparse.Namespace) -> None:
    """List the cells."""
    for cell in cells(given.only):
        print(f"{'done' if is_done(cell) else '    '}  {cell}")


def compare(given: argparse.Namespace) -> None:
    """Pair what is done over users and seeds, and judge the same test by clicks of each item alone."""
    from rankers_compare import compared, controls

    pairs, alone = compared(), {data: controls(data, given.data) for data in DATASETS}
    store(lambda figures: figures.update(comparisons=pairs, controls=alone))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("compare", compare)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        command.add_argument("--only", nargs="+", metavar="PATTERN", help="names of cells, with * and ?")
        command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    commands.choices["run"].add_argument("--again", action="store_true", help="also cells that are done")
    given = parser.parse_args()
    machine.one_thread()
    given.work(given)


if __name__ == "__main__":
    main()
