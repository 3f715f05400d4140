"""How wide the layers between a history and its user vector should be: CCL4Rec's `hidden`, on validation data only.

    python benchmarks/width.py list                     the trials, done or not
    python benchmarks/width.py run --jobs 2             run what is not done
    python benchmarks/width.py run --only '*.rho0.3.*'

A trial is fitted and judged as in tuning.py: on a log whose test interactions were taken out before anything else, by
NDCG@20, filtered, on every validation question. Its seeds are no cell's of accuracy.py, and noise and training are new with
each. A trial leaves `results/width/TRIAL.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

import machine
from accuracy import fitted
from choices import described
from tuning import METRIC, knowable
from variants import method_of, training_of

from siftrec.methods.ccl4rec import CCL4Rec

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "width"
SEEDS = (101, 102, 103)
WIDTHS = (64, 16, 8)
METHODS = ("ccl4rec-next",)
RHOS = (0.0, 0.3)


@dataclass(frozen=True)
class Trial:
    """One width, fitted and validated.

    Attributes:
        data: name of the data set.
        rho: share of planted noise.
        method: name in `variants.VARIANTS`.
        hidden: H.
        seed: of noise and training.
    """

    data: str
    rho: float
    method: str
    hidden: int
    seed: int

    def __str__(self) -> str:
        return f"{self.data}.rho{self.rho:g}.{self.method}.hidden{self.hidden}.seed{self.seed}"

    @property
    def result(self) -> Path:
        """The figures."""
        return RESULTS / f"{self}.json"


def trials(patterns: list[str] | None = None) -> Iterator[Trial]:
    """All trials whose name matches a pattern, a seed of all widths after the other."""
    for method in METHODS:
        for seed in SEEDS:
            for rho in RHOS:
                for hidden in WIDTHS:
                    trial = Trial("microlens50k", rho, method, hidden, seed)
                    if not patterns or any(fnmatch(str(trial), pattern) for pattern in patterns):
                        yield trial


def run_trial(trial: Trial, folder: Path) -> None:
    """Fit, validate and store one trial."""
    from siftrec.evaluate.evaluation import evaluate

    split, catalog = knowable(trial.data, trial.rho, trial.method, folder, trial.seed)
    started = time.process_time()
    training = training_of(trial.data, trial.method)
    method = replace(cast(CCL4Rec, method_of(trial.data, trial.method)), hidden=trial.hidden)
    trained, told = fitted(str(trial), method, training, split, catalog, trial.seed)
    evaluation = evaluate(trained, split.valid, (20,), split="valid")
    told |= {
        "validation_epochs": told.pop("validation"),
        "validation": {METRIC: evaluation.means()[METRIC]},
        "cpu_s": time.process_time() - started,
        "machine": machine.describe(),
        "commit": machine.commit(),
        "settings": described(method, training),
        "command": f"python benchmarks/width.py run --only '{trial}'",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    trial.result.write_text(json.dumps({"schema": 1, "trial": asdict(trial)} | told, indent=1) + "\n", "utf-8")


def show(given: argparse.Namespace) -> None:
    """List the trials."""
    for trial in trials(given.only):
        print(f"{'done' if trial.result.exists() else '    '}  {trial}")


def run(given: argparse.Namespace) -> None:
    """Run what is not done, each trial in a process of its own with one thread."""
    todo = [str(trial) for trial in trials(given.only) if not trial.result.exists()]
    machine.run_each(__file__, "trial", todo, given.data, given.jobs)


def one(given: argparse.Namespace) -> None:
    """Run a single trial in this process."""
    machine.one_thread()
    run_trial(next(trials(given.only)), given.data)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("trial", one)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        if name == "trial":
            command.add_argument("only", nargs=1, metavar="TRIAL")
        else:
            command.add_argument("--only", nargs="+", metavar="PATTERN", help="names of trials, with * and ?")
        if name in ("run", "trial"):
            command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    commands.choices["run"].add_argument("--jobs", type=int, default=1, help="trials at a time, one thread each")
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
