"""What was seen before it was tested, tested on seeds that nobody had looked at.

    python benchmarks/fresh.py list              the cells, done or not
    python benchmarks/fresh.py run --jobs 2      run what is not done
    python benchmarks/fresh.py compare           results/fresh/comparisons.json, once every cell is done

A difference that was found among many is a finding, not a test. Those that matter are declared in `TESTS` before a cell of
theirs is run, with seeds, metric and family; then they are run once. Noise and training are new with every seed, users and
their test questions are the same: what is tested is whether a difference belongs to the seeds it was found with.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import machine
import per_user
from accuracy import Cell, Setting, run_cell
from comparisons import stored

from siftrec.evaluate.compare import compare, corrected

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "fresh"
SEEDS = (11, 12, 13, 14, 15)
METRIC = "ndcg@20"


@dataclass(frozen=True)
class Test:
    """One declared difference; all of `TESTS` are one family.

    Attributes:
        setting: where.
        a: who was found ahead.
        b: of whom.
        found: what had been seen, and with which seeds.
    """

    setting: Setting
    a: str
    b: str
    found: str


TESTS = (
    Test(Setting("microlens50k", 0.3), "demure", "late", "+3.9 % with seeds 1 to 3"),
    Test(Setting("microlens50k", 0.0, 0.2), "demure-content", "late-content", "+3.1 % with seeds 1 to 3"),
)
"""Declared on 2026-11-23, before any of their cells was run."""


class Fresh(Cell):
    """A cell of a fresh seed: like any other, kept apart from those that tables and comparisons read."""

    @property
    def result(self) -> Path:
        """The figures."""
        return RESULTS / f"{self}.json"


def cells() -> Iterator[Fresh]:
    """Every cell, both sides of a test for one seed after the other."""
    for seed in SEEDS:
        for test in TESTS:
            for method in (test.a, test.b):
                yield Fresh(test.setting.data, test.setting.rho, method, seed, test.setting.foreign)


def show(_: argparse.Namespace) -> None:
    """List the cells."""
    for cell in cells():
        print(f"{'done' if cell.done else '    '}  {cell}")


def run(given: argparse.Namespace) -> None:
    """Run what is not done, each cell in a process of its own with one thread."""
    todo = [str(cell) for cell in cells() if not cell.done]
    machine.run_each(__file__, "cell", todo, given.data, given.jobs)


def one(given: argparse.Namespace) -> None:
    """Run a single cell in this process."""
    machine.one_thread()
    RESULTS.mkdir(parents=True, exist_ok=True)
    run_cell(next(cell for cell in cells() if str(cell) == given.only), given.data)


def compare_all(_: argparse.Namespace) -> None:
    """Compare, once: all seeds of all tests have to be there."""
    missing = [str(cell) for cell in cells() if not cell.done]
    if missing:
        sys.exit(f"{len(missing)} cells are not done, the first is {missing[0]}; run: python benchmarks/fresh.py run")
    made = []
    for test in TESTS:
        sides = [
            [per_user.read(cell.values) for cell in cells() if cell.setting == test.setting and cell.method == method]
            for method in (test.a, test.b)
        ]
        made.append(compare(*sides, METRIC))
    told = [
        test.setting._asdict() | stored(found) | {"a": test.a, "b": test.b, "found": test.found, "seeds": list(SEEDS)}
        for test, found in zip(TESTS, corrected(made), strict=True)
    ]
    out = RESULTS / "comparisons.json"
    out.write_text(
        json.dumps({"schema": 1, "command": "python benchmarks/fresh.py compare", "tests": told}, indent=1) + "\n"
    )
    print(f"wrote {out}", file=sys.stderr)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("cell", one), ("compare", compare_all)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        if name == "cell":
            command.add_argument("only", metavar="CELL")
        if name in ("run", "cell"):
            command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
        if name == "run":
            command.add_argument("--jobs", type=int, default=1, help="cells at a time, one thread each")
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
