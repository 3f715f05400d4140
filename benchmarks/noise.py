"""How well noise is found: every unit (data set, mechanism, share of noise, what judges, seed) is resumable.

    python benchmarks/noise.py list                                the units, done or not
    python benchmarks/noise.py run                                 all that are not done, one after the other
    python benchmarks/noise.py run --only 'microlens50k.replace.*.seed1'
    python benchmarks/render.py                                    docs/results.md from the stored figures

A unit leaves `results/noise/UNIT.json`. Noise is planted in train and validation interactions (`siftrec.noise.inject`),
and those are judged; the mechanism `rating` plants nothing: every rating is an interaction, and the truth is a rating
of at most 2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "noise"
SEEDS = (1, 2, 3)
DENOISERS = ("tce", "rce", "hsd")
"""Of variants.py."""

SEEN = "a model that has seen the user: that of the next row of another fold"


@dataclass(frozen=True)
class Unit:
    """One log with known noise, and what judges it.

    Attributes:
        data: name of the data set.
        mechanism: of `siftrec.noise.inject`, or `rating`.
        rho: share of planted noise.
        judges: `scorers`: all that see the noisy log only; `ceiling`: the likelihood fitted on the clean log; `denoisers`:
            opponents of variants.py that denoise, as they are trained there.
        seed: of noise, scorers and background.
    """

    data: str
    mechanism: str
    rho: float
    judges: str
    seed: int

    def __str__(self) -> str:
        return f"{self.data}.{self.mechanism}.rho{self.rho:g}.{self.judges}.seed{self.seed}"

    @property
    def result(self) -> Path:
        """The figures."""
        return RESULTS / f"{self}.json"

    @property
    def done(self) -> bool:
        """Whether it is there with everything that is measured now, made with the settings that are the defaults now."""
        if not self.result.exists():
            return False
        told = json.loads(self.result.read_text("utf-8"))
        complete = self.judges != "scorers" or "over_denoising" in told["figures"]["likelihood"]
        return complete and current(self, told)


def current(unit: Unit, told: dict[str, Any]) -> bool:
    """Whether stored figures were made with the settings of now."""
    return machine.unchanged(told.get("settings"), settings(unit))


def settings(unit: Unit) -> dict[str, Any]:
    """What decides the figures beside the data and the code."""
    from variants import method_of, training_of

    from siftrec.detectors.likelihood import Likelihood
    from siftrec.settings import describe

    if unit.judges == "denoisers":
        told = {
            name: {"method": describe(method_of(unit.data, name)), "training": describe(training_of(unit.data, name))}
            for name in DENOISERS
        }
        return dict(json.loads(json.dumps(told)))
    return dict(json.loads(json.dumps({"likelihood": describe(Likelihood()), "seen": SEEN})))


def units(patterns: list[str] | None = None) -> list[Unit]:
    """All units whose name matches a pattern, in the order they run: the main one first."""
    main = ("microlens50k", "replace", 0.3)
    every = [Unit(*main, "scorers", 1), Unit(*main, "ceiling", 1)]
    every += [Unit(*main, "scorers", seed) for seed in SEEDS[1:]]
    every += [Unit("microlens50k", mechanism, 0.3, "scorers", 1) for mechanism in ("insert", "swap", "autoplay")]
    every += [Unit("microlens50k", "replace", 0.1, "scorers", 1)]
    every += [Unit(data, "rating", 0.0, "scorers", 1) for data in ("ml100k", "ml_latest_small")]
    every += [Unit(data, "replace", 0.3, "scorers", seed) for data in ("ml100k", "ml1m") for seed in SEEDS]
    every += [Unit(data, "replace", 0.3, "ceiling", 1) for data in ("ml100k", "ml1m")]
    every += [Unit(data, "replace", 0.3, "denoisers", seed) for data in ("microlens50k", "ml1m") for seed in SEEDS]
    return [unit for unit in every if not patterns or any(fnmatch(str(unit), pattern) for pattern in patterns)]


def run_unit(unit: Unit, folder: Path) -> None:
    """Judge one log and store the figures."""
    from judges import ceiling, denoisers, figures_of, noisy_log, scorers
    from variants import method_of, training_of

    started = time.process_time()
    case = noisy_log(unit.data, unit.mechanism, unit.rho, unit.seed, folder)
    if unit.judges == "denoisers":
        methods = {name: (method_of(unit.data, name), training_of(unit.data, name)) for name in DENOISERS}
        judged = denoisers(case, methods, unit.seed)  # type: ignore[arg-type]
    else:
        judged = scorers(case, unit.seed) if unit.judges == "scorers" else {"ceiling": ceiling(case, unit.seed)}
    figures = figures_of(case, judged, unit.seed)
    told = {
        "schema": 1,
        "unit": asdict(unit),
        "events": len(case.log.items),
        "users": len(case.log),
        "content": list(case.catalog.modalities),
        "figures": figures,
        "cpu_s": time.process_time() - started,
        "scorer_cpu_s": {name: each.cpu_s for name, each in judged.items()},
        "machine": machine.describe(),
        **machine.origin(case.log),
        "settings": settings(unit),
        "command": f"python benchmarks/noise.py run --only '{unit}'",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    unit.result.write_text(json.dumps(told, indent=1) + "\n")


def run(given: argparse.Namespace) -> None:
    """Run what is not done, each unit in a process of its own with one thread."""
    todo = [unit for unit in units(given.only) if given.again or not unit.done]
    failed = []
    for unit in todo:
        began = time.perf_counter()
        command = [sys.executable, __file__, "unit", str(unit), "--data", str(given.data)]
        code = subprocess.run(command, env=os.environ | machine.THREADS, check=False).returncode
        state = f"FAILED ({code})" if code else "done"
        print(f"{unit}: {state} in {time.perf_counter() - began:,.0f} s", file=sys.stderr, flush=True)
        failed += [str(unit)] * bool(code)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def show(given: argparse.Namespace) -> None:
    """List the units."""
    for unit in units(given.only):
        print(f"{'done' if unit.done else '    '}  {unit}")


def one(given: argparse.Namespace) -> None:
    """Run a single unit in this process."""
    machine.one_thread()
    run_unit(units(given.only)[0], given.data)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("unit", one)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        if name == "unit":
            command.add_argument("only", nargs=1, metavar="UNIT")
        else:
            command.add_argument("--only", nargs="+", metavar="PATTERN", help="names of units, with * and ?")
        if name != "list":
            command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    commands.choices["run"].add_argument("--again", action="store_true", help="also units that are done")
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
