"""What CCL4Rec does where the truth is planted: five seeds, every part on and off, a null setting beside it.

    python benchmarks/planted.py detect            untrained importance on easy, mid, hard and their null settings
    python benchmarks/planted.py weights           weights of the losses and epochs, on a seed that nothing else has
    python benchmarks/planted.py train             trained variants on hard, rho = .4
    python benchmarks/planted.py clean             the same without noise: no harm
    python benchmarks/planted.py encoders          next-item, vanilla and full around every encoder
    python benchmarks/planted.py parts             what each part is worth: the full method with one thing changed
    python benchmarks/planted.py hardness          a sweep of the hardness of views
    python benchmarks/planted.py over              a sweep of the weight of contrast over contrast
    python benchmarks/planted.py all --seeds 5 --jobs 2
    python benchmarks/render.py                    docs/results.md from the stored figures

Each (command, variant, seed) is one resumable unit in `results/planted/`; it is made again when its settings change.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import machine

if TYPE_CHECKING:
    from siftrec.synthetic.behaviours import Name

RESULTS = Path(__file__).resolve().parent / "results" / "planted"
LEVELS = ("easy", "mid", "hard")
DETECT = [f"{level}{null}" for level in LEVELS for null in ("", "-null")]
COMMANDS = ("detect", "weights", "train", "clean", "encoders", "parts", "hardness", "over")
MOST_SEEDS = 10
"""Seeds of the tables come before the one by which weights were chosen."""


def units(command: str, seeds: int) -> list[str]:
    """Names `command.variant.seedN` of what a command runs, seed by seed."""
    if command == "all":
        return [unit for each in COMMANDS for unit in units(each, seeds)]
    from planted_measures import CHOICE, TRIALS

    variants = list(TRIALS.get(command, DETECT))
    drawn = (CHOICE,) if command == "weights" else range(1, seeds + 1)
    return [f"{command}.{variant}.seed{seed}" for seed in drawn for variant in variants]


def parts_of(unit: str) -> tuple[str, str, int]:
    """Command, variant and seed."""
    command, rest = unit.split(".", 1)
    variant, seed = rest.rsplit(".seed", 1)
    return command, variant, int(seed)


def settings_of(unit: str) -> dict[str, Any]:
    """What decides the figures beside the data and the code, as it will be read back."""
    from planted_measures import FULL, TRAINING, TRIALS

    from siftrec.settings import describe
    from siftrec.train.settings import Training

    command, variant, _ = parts_of(unit)
    if command == "detect":
        return dict(json.loads(json.dumps({"method": describe(FULL)})))
    method, changes = TRIALS[command][variant]
    made = {"method": describe(method), "training": describe(Training(**{**TRAINING, **changes}))}
    return dict(json.loads(json.dumps(made)))


def is_done(unit: str) -> bool:
    """Whether the figures are there, made with the settings of now."""
    path = RESULTS / f"{unit}.json"
    return path.exists() and is_current(unit, json.loads(path.read_text("utf-8")))


def is_current(unit: str, figures: dict[str, Any]) -> bool:
    """Whether stored figures were made with the settings of now."""
    return machine.unchanged(figures.get("settings"), settings_of(unit))


def measure(unit: str) -> dict[str, float]:
    """The figures of one unit."""
    import planted_measures as measures

    from siftrec.synthetic import behaviours

    command, variant, seed = parts_of(unit)
    if command == "detect":
        level, null = variant.removesuffix("-null"), variant.endswith("-null")
        planted = behaviours(cast("Name", level), rho=0.4, null=null, seed=seed)
        return measures.detection(measures.untrained(planted, measures.FULL, seed), planted)
    planted = behaviours("hard", rho=0.0 if command == "clean" else 0.4, seed=seed)
    method, changes = measures.TRIALS[command][variant]
    trained = measures.trained_on(planted, method, seed, **changes)
    figures = measures.ranking(trained, planted) | measures.recommendations(trained, planted)
    if command == "clean":
        return figures
    figures |= {"shield": measures.shield(trained, planted), "concordance": measures.concordance(trained, planted)}
    return figures | measures.spread(trained, planted) | {"auroc": measures.detection(trained, planted)["agreement"]}


def main() -> None:
    """Run what is not done, each unit in a process of its own with one thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[*COMMANDS, "all", "unit"])
    parser.add_argument("name", nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    if given.seeds > MOST_SEEDS:
        parser.error(f"--seeds: at most {MOST_SEEDS}")
    if given.command == "unit":
        machine.one_thread()
        began = time.process_time()
        figures = measure(given.name)
        RESULTS.mkdir(parents=True, exist_ok=True)
        kept = {"schema": 1, "unit": given.name, "figures": figures, "cpu_s": time.process_time() - began}
        made = {"settings": settings_of(given.name), "commit": machine.commit(), "machine": machine.describe()}
        (RESULTS / f"{given.name}.json").write_text(json.dumps(kept | made, indent=1) + "\n")
        return

    def start(unit: str) -> int:
        done = subprocess.run([sys.executable, __file__, "unit", unit], env=os.environ | machine.THREADS, check=False)
        print(f"{unit}: {'done' if done.returncode == 0 else 'FAILED'}", file=sys.stderr, flush=True)
        return done.returncode

    todo = [unit for unit in units(given.command, given.seeds) if not is_done(unit)]
    with ThreadPoolExecutor(given.jobs) as pool:
        sys.exit(max(pool.map(start, todo), default=0))


if __name__ == "__main__":
    main()
