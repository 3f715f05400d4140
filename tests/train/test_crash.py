"""Training that is killed or told to stop loses nothing: same weights, same log (RELIABILITY 1)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from siftrec.methods.ccl4rec import CCL4Rec
from train.tiny import content_fit, weights_hash

HERE = Path(__file__).parent
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(("chains", "stride"), [(1, 4), pytest.param(60, 1, marks=pytest.mark.slow)])
def test_killed_anywhere_the_resumed_run_is_the_uninterrupted_one(tmp_path: Path, chains: int, stride: int) -> None:
    """Before every fourth durable step, and in the slow suite before every one."""
    command = [sys.executable, str(HERE / "crash.py"), str(tmp_path), str(chains), str(stride)]
    done = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    right = result["right"]
    assert result["problems"] == []
    assert right["count"] > 50
    steps = [(line["epoch"], line["step"]) for line in right["log"] if line["event"] == "stepped"]
    assert steps == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert right["hidden"] == []
    found = result["artifacts"]
    assert set(found) == {0, 1}
    assert found == sorted(found), "an old artifact came back after the new one was complete"


ONE_KILL = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from train.tiny import content_fit
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.train.events import Stepped
def kill(event):
    if isinstance(event, Stepped) and (event.epoch, event.step) == (1, 2):
        os.kill(os.getpid(), signal.SIGKILL)
content_fit(CCL4Rec(dim=8, length=5), Path(sys.argv[2]), on_event=kill)
"""


def test_ccl4rec_killed_within_its_contrast_goes_on_as_if_it_were_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ONE_KILL, str(HERE.parent), str(tmp_path)]
    assert subprocess.run(command, env=ONE_THREAD, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "checkpoints" / "e00001-s00000001").exists()
    method = CCL4Rec(dim=8, length=5)
    assert weights_hash(content_fit(method, tmp_path, resume=True)) == weights_hash(content_fit(method))


SLOW_RUN = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from train.tiny import Tiny, tiny_fit
from siftrec.errors import SiftrecError
def say(event):
    print(type(event).__name__, flush=True)
try:
    tiny_fit(Path(sys.argv[1]), method=Tiny(slow=0.05), epochs=200, patience=0, on_event=say, checkpoint_steps=None)
except SiftrecError as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_last_step_within_five_seconds(tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-c", SLOW_RUN, str(tmp_path / "run"), str(HERE.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ONE_THREAD) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "EpochEnded":
            pass
        process.send_signal(number)
        began = time.monotonic()
        assert process.wait(30) == code
        assert time.monotonic() - began < 5
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    progress = json.loads((newest / "state.json").read_text())["progress"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    logged = [(line["epoch"], line["step"]) for line in lines if line["event"] == "stepped"]
    assert (progress["epoch"], progress["step"]) >= logged[-1]
