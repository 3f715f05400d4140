"""What the scripts of the peers share: the files that go in and out, and what a process needed. Never imports siftrec.

Sequences come as `.npz` with `items` (E,) int32 codes, `offsets` (R+1,) and perhaps `weights` (E,); those to train on also
with `size`, the number of codes N, and perhaps `content` (N, F); those to be asked about with `users` (R,), their rows in
the sequences to train on. Code 0 is padding: nobody has it, and it must not be recommended.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ASKED, K = 10_000, 50
"""Whoever is asked about when the speed of answers is measured, and how long those lists are."""


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file; events without weights weigh 1."""
    with np.load(path) as arrays:
        found = dict(arrays)
    return {"weights": np.ones(len(found["items"]), np.float32)} | found


def write(path: Path, lists: np.ndarray) -> None:
    """Keep the best items of each asked row, (R, k) codes; below 0 = no more."""
    np.savez(path, items=np.maximum(lists, 0).astype(np.int32))


def parser(description: str | None, models: Iterable[str]) -> argparse.ArgumentParser:
    """`rank MODEL train.npz asked.npz lists.npz --k 300 --seed 1`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("command", choices=["rank"])
    made.add_argument("model", choices=list(models))
    for name in ("train", "asked", "out"):
        made.add_argument(name, type=Path)
    made.add_argument("--k", type=int, default=300, help="how many of the best items")
    made.add_argument("--factors", type=int, default=64)
    made.add_argument("--seed", type=int, default=1)
    return made


def chosen(options: argparse.Namespace) -> dict[str, str | int | float]:
    """The settings, without paths; those that do not concern the model are None and left out."""
    settings = {key: value for key, value in vars(options).items() if isinstance(value, str | int | float)}
    return {key: value for key, value in settings.items() if key not in ("command", "model", "k")}


def peak_bytes() -> int | None:
    """The most memory this process had resident; None where the system does not say.

    Not `getrusage`, which counts the memory of whoever started the process.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
