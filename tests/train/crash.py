"""Kills training with SIGKILL before its n-th durable step, for every n or every STRIDE-th, resumes it, and compares.

    python tests/train/crash.py FOLDER CHAINS STRIDE

A durable step is a call that changes the disk: fsync, rename, replace, mkdir, unlink, rmdir, truncate, and the first and
second half of every written file; and each training step. Each run is a forked child, so torch is imported once. Prints
one JSON line: the uninterrupted run, what differed from it, and which artifact (0 old, 1 new) a killed save left.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import safetensors.torch
import torch._dynamo  # noqa: F401  the optimiser imports it at its first use: once here, not in every child

from siftrec import artifact
from train.tiny import Tiny, tiny_fit, weights_hash

OPERATIONS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "truncate")


class Killer:
    """Counts durable steps and kills the process before the n-th; n = -1 only counts."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def tick(self) -> None:
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def install(self) -> None:
        for name in OPERATIONS:
            setattr(os, name, self._before(getattr(os, name)))
        Tiny.loss = self._before(Tiny.loss)  # type: ignore[method-assign]
        save_file = safetensors.torch.save_file

        def halves(tensors: Any, path: Path) -> None:
            save_file(tensors, path)
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            self.tick()
            path.write_bytes(whole)

        safetensors.torch.save_file = halves

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.tick()
            return call(*args, **options)

        return counted


def child(folder: Path, at: int, resume: bool, report: Path) -> int:
    """One forked run; gives its raw exit status."""
    process = os.fork()
    if process == 0:
        try:
            killer = Killer(at)
            killer.install()
            trained = tiny_fit(folder, resume=resume, epochs=2, checkpoints=2)
            killer.at = -1
            report.write_text(json.dumps({"hash": weights_hash(trained), "count": killer.count}))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(process, 0)[1]


def outcome(folder: Path, report: Path) -> dict[str, Any]:
    """Hash, log without clocks, and anything left lying about."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    clocks = {"targets_per_second", "seconds"}
    kept = [{k: v for k, v in line.items() if k not in clocks} for line in lines if line["event"] != "started"]
    hidden = sorted(p.name for p in folder.rglob(".*") if p.name != ".lock")
    found = json.loads(report.read_text())
    return {"hash": found["hash"], "log": kept, "hidden": hidden, "count": found["count"]}


def differs(name: str, found: dict[str, Any], right: dict[str, Any]) -> list[str]:
    return [f"{name}: {key} {found[key]}" for key in ("hash", "log", "hidden") if found[key] != right[key]]


def every(root: Path, right: dict[str, Any], chains: int, stride: int) -> list[str]:
    """Killed once before every `stride`-th durable step; and `chains` times killed three times in a row at random steps."""
    problems: list[str] = []
    plans = [[at] for at in range(0, right["count"], stride)]
    plans += [[random.Random(n).randrange(right["count"]) for _ in range(3)] for n in range(chains)]
    for number, plan in enumerate(plans):
        folder, report = root / f"killed{number}", root / "report.json"
        for attempt, at in enumerate(plan):
            status = child(folder, at, attempt > 0, report)
            if attempt == 0 and not os.WIFSIGNALED(status):
                problems.append(f"{plan}: was not killed, status {status}")
        if child(folder, -1, True, report) != 0:
            problems.append(f"{plan}: could not resume")
            continue
        problems += differs(str(plan), outcome(folder, report), right)
    return problems


def replacing(folder: Path, at: int) -> int:
    """A forked process that saves one artifact, and is killed while it replaces it by another; its raw status."""
    process = os.fork()
    if process == 0:
        old, new = tiny_fit(epochs=0), tiny_fit(epochs=0, seed=8)
        artifact.save(old, folder)
        killer = Killer(at)
        killer.install()
        artifact.save(new, folder)
        os._exit(0)
    return os.waitpid(process, 0)[1]


def checking(folder: Path) -> int:
    """A forked process that loads what is there; 0 = the old artifact, 1 = the new one, anything else is wrong."""
    process = os.fork()
    if process == 0:
        found = weights_hash(artifact.load(folder, trust=("train",)))
        old, new = tiny_fit(epochs=0), tiny_fit(epochs=0, seed=8)
        artifact.save(new, folder)
        clean = [p.name for p in folder.parent.iterdir()] == [folder.name]
        hashes = [weights_hash(old), weights_hash(new)]
        os._exit(hashes.index(found) if clean and found in hashes else 9)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def artifacts(root: Path) -> list[int]:
    """What a reader finds after a kill before every durable step of replacing an artifact."""
    found: list[int] = []
    at, killed = 0, True
    while killed:
        folder = root / f"artifact{at}" / "artifact"
        killed = os.WIFSIGNALED(replacing(folder, at))
        found.append(checking(folder))
        at += 1
    return found


def main(root: Path, chains: int, stride: int) -> dict[str, Any]:
    report = root / "report.json"
    assert child(root / "whole", -1, False, report) == 0
    right = outcome(root / "whole", report)
    return {"right": right, "problems": every(root, right, chains, stride), "artifacts": artifacts(root)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
