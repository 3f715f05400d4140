"""What the measuring machine is and what it can do: one thread, product and copy rates, versions."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siftrec.data.sequences import Sequences

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


def one_thread() -> None:
    """Start this script again with one thread everywhere, unless it was started so.

    Thread pools are sized when their libraries are imported, so the environment must be right from the start.
    """
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)


def run_each(script: str, command: str, names: Sequence[str], data: Path, jobs: int) -> None:
    """Run `script command NAME --data DATA` for each name in a process of its own with one thread, some at a time.

    Raises:
        SystemExit: naming those that failed, after all have run.
    """
    print(f"{len(names)} to do", file=sys.stderr)

    def start(name: str) -> bool:
        began = time.perf_counter()
        line = [sys.executable, script, command, name, "--data", str(data)]
        code = subprocess.run(line, env=os.environ | THREADS, check=False).returncode
        state = f"FAILED ({code})" if code else "done"
        print(f"{name}: {state} in {time.perf_counter() - began:,.0f} s", file=sys.stderr, flush=True)
        return code == 0

    with ThreadPoolExecutor(jobs) as pool:
        failed = [name for name, fine in zip(names, pool.map(start, names), strict=True) if not fine]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def describe() -> dict[str, str | int]:
    """Processor, cores, system and the versions that decide speed."""
    versions: dict[str, str | int] = {name: version(name) for name in ("siftrec", "torch", "numpy", "polars")}
    return {"processor": _processor(), "cores": os.cpu_count() or 0, "python": platform.python_version(), **versions}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is measured; `+` behind it where files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False).stdout
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "../src", "*.py"], capture_output=True, text=True, check=False
    ).stdout
    return head.strip() + ("+" if changed.strip() else "")


def origin(log: Sequences) -> dict[str, str]:
    """What a unit stores of where its figures come from: the commit, and a SHA-256 of the log that they are of.

    Args:
        log: U rows as they were judged or trained on, with what is planted in them; of clocks the SHA-256 knows nothing.
    """
    return {"commit": commit(), "log_sha256": log.fingerprint}


def rates() -> dict[str, float]:
    """What one thread reaches now: float32 product of 1024² matrices, and copying 64 MiB (bytes read and written)."""
    import torch

    torch.set_num_threads(1)
    a, b, c = (torch.ones(1024, 1024) for _ in range(3))
    x, y = torch.ones(16 << 20), torch.empty(16 << 20)
    gemm = per_cpu_second(lambda: torch.mm(a, b, out=c), 2 * 1024**3)
    copy = per_cpu_second(lambda: y.copy_(x), 2 * 64 << 20)
    return {"gemm_gflops": gemm / 1e9, "copy_gb_per_s": copy / 1e9}


def per_cpu_second(work: Callable[[], object], amount: float, repeats: int = 9) -> float:
    """`amount` per CPU second of `work`: the median over repeats, after one that warms up."""
    work()
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return amount / statistics.median(spent)


@dataclass(frozen=True)
class Same:
    """The value of another setting of the same table."""

    key: str


BEFORE: dict[str, dict[str, Any]] = {
    "siftrec:CCL4Rec": {"hidden": Same("dim")},
    "siftrec:Demure": {"views.row_share": 1.0},
    "siftrec:LateFusion": {"lift": "none"},
    "siftrec:Training": {"schedule": "constant"},
}
"""`use` → key path → what the code did before that was a setting, where that is not today's default."""


def unchanged(stored: Any, now: Mapping[str, Any]) -> bool:
    """Whether stored settings are those of now: what every script asks before it runs a unit again or shows it.

    A setting that came later counts with what was done before, or its default.

    Args:
        stored: tables of `siftrec.settings.describe` and plain values, by name, as they were written; None = none were.
        now: the same of today.
    """
    from siftrec.errors import SettingsError

    if stored is None:
        return False
    try:
        return bool(stored == now or json.loads(json.dumps(_completed(stored))) == now)
    except SettingsError:
        return False


def _completed(stored: Any) -> Any:
    """With what its settings classes have today and had not then."""
    from siftrec.settings import build, describe

    if not isinstance(stored, dict):
        return stored
    if "use" in stored:
        return describe(build(as_before(stored), "settings"))
    return {name: _completed(each) for name, each in stored.items()}


def as_before(table: Mapping[str, Any]) -> dict[str, Any]:
    """A stored table with the values of `BEFORE` that it, or a table inside, has no key for."""
    completed: dict[str, Any] = json.loads(json.dumps(table))
    completed |= {key: as_before(inner) for key, inner in completed.items() if isinstance(inner, dict)}
    for path, value in BEFORE.get(completed.get("use", ""), {}).items():
        *way, key = path.split(".")
        inner: Any = completed
        for step in way:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.setdefault(key, inner[value.key] if isinstance(value, Same) else value)
    return completed
