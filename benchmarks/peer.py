"""RecTools beside ours: started in its own environment, on our training sequences, judged by our metrics."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from datasets import Data

    from siftrec.data.sequences import Sequences
    from siftrec.evaluate.evaluation import Evaluation

HERE = Path(__file__).resolve().parent / "peers" / "rectools"
LONGEST = 50  # cut-off of the metrics
SETTINGS = ("--loss", "gBCE", "--negatives", "256", "--length", "20", "--epochs", "8")
"""Of the run whose accuracy is judged."""


def call(*arguments: str) -> dict[str, Any]:
    """The last line that the peer's script prints, as JSON."""
    python = HERE / ".venv" / "bin" / "python"
    if not python.exists():
        sys.exit("RecTools' environment is missing; run: make peer-rectools")
    command = [str(python), str(HERE / "sasrec.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def save(sequences: Sequences, path: Path) -> str:
    """Write items and offsets for the peer."""
    np.savez(path, items=sequences.items, offsets=sequences.offsets)
    return str(path)


def peer_speed(data: Data, arguments: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """Time RecTools on the training sequences."""
    with tempfile.TemporaryDirectory() as folder:
        train = save(data.split.train, Path(folder, "train.npz"))
        return call("speed", train, "--seconds", str(seconds), *arguments)


def peer_evaluation(data: Data, seed: int) -> tuple[Evaluation, dict[str, Any]]:
    """RecTools' SASRec trained fully: its unfiltered lists, ranked as ours are.

    Lists are long enough that leaving out a user's seen items still leaves the longest cut-off.
    """
    part = data.split.test
    k = min(LONGEST + int(part.seen.lengths.max()), len(data.catalog) - 1)
    settings = (*SETTINGS, "--seed", str(seed))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "lists.npz")
        files = (save(data.split.train, Path(folder, "train.npz")), save(part.histories, Path(folder, "asked.npz")))
        told = call("rank", *files, str(out), "--k", str(k), *settings)
        with np.load(out) as arrays:
            lists = arrays["items"]
    told["method"] = {"use": "rectools:SASRecModel", **told.pop("settings")}
    return judged(lists, data, seed), told | {"modalities": []}


def judged(lists: np.ndarray, data: Data, seed: int) -> Evaluation:
    """An evaluation of the best items of each question, (Q, k) codes; a target that is not listed is missed."""
    from siftrec.evaluate.evaluation import About, Evaluation
    from siftrec.evaluate.metrics import METRICS, Ranks, accuracy, names

    part, split = data.split.test, data.split
    places, before = listed(lists, part.targets, part.seen)
    cutoffs, owners, count = (5, 10, 20, LONGEST), part.targets.owners, part.targets.lengths
    ranks = {"seen": places - before, "none": places}
    values = {filter: accuracy(Ranks(each, owners, count), cutoffs) for filter, each in ranks.items()}
    about = About(
        method="rectools:SASRecModel",
        seed=seed,
        split="test",
        protocol=split.protocol,
        items=len(data.catalog) - 1,
        fingerprint=split.fingerprint,
        tied=0.0,
        coverage={"filtered": {}, "unfiltered": {}},
        slices={},
    )
    return Evaluation(part.user_ids, names(METRICS, cutoffs), values, about)  # type: ignore[arg-type]


def listed(lists: np.ndarray, targets: Sequences, seen: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Place of each target in its question's list, and how many seen items stand before it; far off when not listed."""
    is_target = lists[targets.owners] == targets.items[:, None]
    found = is_target.any(axis=1)
    places = np.where(found, is_target.argmax(axis=1) + 1, lists.shape[1] + 10**6)
    width = int(max(lists.max(initial=0), seen.items.max(initial=0))) + 1
    is_seen = np.isin(lists + np.arange(len(lists))[:, None] * width, seen.owners * width + seen.items)
    counts = np.concatenate([np.zeros((len(lists), 1), np.int64), np.cumsum(is_seen, axis=1)], axis=1)
    before = counts[targets.owners, np.where(found, places - 1, 0)]
    return places, before
