"""`siftrec train` as a process: killed and told to stop at any moment it loses nothing, and no network is asked for."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec.cli import main
from siftrec.files import sha256

EXPERIMENT = """
[data]
path = "log.csv"
[data.inject]
rho = 0.3
[modality.text]
path = "text.parquet"
[method]
use = "siftrec:CCL4Rec"
dim = 8
length = 6
[method.views]
queue = 32
[train]
epochs = 4
learning_rate = 0.01
batch_size = 32
patience = 0
checkpoint_steps = 1
log_steps = 1
[evaluate]
cutoffs = [5]
"""
SIFTREC = [sys.executable, "-m", "siftrec"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment, its data, and the run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(5)
    rows = [(f"u{u}", f"i{(u + t * t) % 30}", t) for u in range(60) for t in range(7)]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(folder / "log.csv")
    items, vectors = [f"i{i}" for i in range(30) if i % 5], rng.standard_normal((24, 6)).astype(np.float32)
    pl.DataFrame({"item": items, "vector": vectors}).write_parquet(folder / "text.parquet")
    (folder / "exp.toml").write_text(EXPERIMENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main.run(train(folder)) == 0
    return folder


def train(folder: Path) -> list[str]:
    """The command; run from anywhere else, its folder has the same name."""
    return ["train", str(folder / "exp.toml"), "-o", "run"]


Moment = Callable[[Path], bool]


def logged(run: Path) -> int:
    """Steps in the log."""
    return (run / "log.jsonl").read_text().count('"stepped"') if (run / "log.jsonl").exists() else 0


def steps(count: int) -> Moment:
    """When so many steps have been logged since the first look: before that a process may not be listening yet."""
    first: list[int] = []

    def reached(run: Path) -> bool:
        first.extend([] if first else [logged(run)])
        return logged(run) >= first[0] + count

    return reached


def planting(run: Path) -> bool:
    """When the truth of what is planted is being written, or just has been."""
    return run.exists() and any("injected" in name for name in os.listdir(run))


def after(seconds: float) -> Moment:
    """So long after the first look."""
    began = time.monotonic()
    return lambda run: time.monotonic() - began >= seconds


def stopped(folder: Path, here: Path, moment: Moment, number: int) -> int:
    """Go on with the run in `here / "run"` and send a signal at a moment; gives the exit code."""
    command, told = [*SIFTREC, *train(folder), "--resume"], here / "told"
    with told.open("w") as file, subprocess.Popen(command, cwd=here, stdout=file, stderr=file) as process:
        while process.poll() is None and not moment(here / "run"):
            time.sleep(0.001)
        process.send_signal(number)
        try:
            code = process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    if code == 143:
        assert told.read_text().splitlines()[-1].startswith("error: stopped by SIGTERM; run again with --resume")
    # What is planted is there as it will be, or not at all: a reader may come at any moment.
    planted = here / "run" / "injected.parquet"
    assert not planted.exists() or sha256(planted) == sha256(folder / "run" / "injected.parquet")
    return code


def losses(run: Path) -> list[object]:
    """Of every step."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["step"], line["losses"]) for line in lines if line["event"] == "stepped"]


def finished_alike(folder: Path, here: Path) -> None:
    """Finish the run; what it leaves is, to the last bit, what the uninterrupted one left."""
    command = [*SIFTREC, *train(folder), "--resume"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    run, whole = here / "run", folder / "run"
    names = ["metrics.json", "injected.parquet", *(f"artifact/{path.name}" for path in (whole / "artifact").iterdir())]
    assert {name: sha256(run / name) for name in names} == {name: sha256(whole / name) for name in names}
    assert [path.name for path in run.rglob(".*")] == [".lock"]
    assert losses(run) == losses(whole)


def test_killed_and_told_to_stop_the_command_goes_on_as_if_it_were_not(tmp_path: Path, folder: Path) -> None:
    """Whoever trains for a day on a machine that may go away must not have to wonder what the result is worth."""
    assert stopped(folder, tmp_path, steps(11), signal.SIGKILL) == -signal.SIGKILL
    assert stopped(folder, tmp_path, steps(7), signal.SIGTERM) == 143
    assert not (tmp_path / "run" / "run.json").exists(), "its presence means that the run is complete"
    finished_alike(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("chain", range(8))
def test_killed_at_any_moment_the_command_goes_on_as_if_it_were_not(tmp_path: Path, folder: Path, chain: int) -> None:
    """While it plants noise; and while it starts, reads, trains, saves or ends, as the moments are drawn."""
    draws = random.Random(chain)
    assert stopped(folder, tmp_path, planting, signal.SIGKILL) == -signal.SIGKILL
    assert stopped(folder, tmp_path, steps(draws.randrange(1, 30)), signal.SIGKILL) == -signal.SIGKILL
    assert stopped(folder, tmp_path, after(draws.uniform(1, 10)), signal.SIGKILL) in (-signal.SIGKILL, 0)
    finished_alike(folder, tmp_path)


UNCONNECTED = """
import socket, sys
tried = []
def hook(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"}:
        tried.append(event)
        raise OSError(f"{event} {arguments[1:]}")
sys.addaudithook(hook)
from siftrec.cli.main import run
commands = [
    ["train", sys.argv[1], "-o", "run", "--set", "train.epochs=1"],
    ["evaluate", "run"],
    ["recommend", "run", "--history", "i1,i2", "--explain"],
]
codes = [run(command) for command in commands]
print(codes, tried, file=sys.stderr)
try:
    socket.create_connection(("localhost", 9))
except OSError:
    print(tried, file=sys.stderr)
"""


def test_no_network_is_asked_for(tmp_path: Path, folder: Path) -> None:
    """A log of behaviour stays where it is, and a machine without a network trains as any other."""
    command = [sys.executable, "-c", UNCONNECTED, str(folder / "exp.toml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[-2] == "[0, 0, 0] []"
    assert said[-1] != "[]", "the hook does see what it is for"
