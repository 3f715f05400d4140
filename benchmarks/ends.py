"""Whether the last interactions of a log are asked for like the others, or something is missing before the end.

    python benchmarks/ends.py ml1m microlens50k

Cuts the last k − 1 interactions off every history, and asks a first-order Markov chain, which leans on nothing but the item
before, for the one that is last then. Where a log is whole its figures change little by little with k, without
a step between 1 and 2.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import machine
import polars as pl
from datasets import DEFAULT, LOGS, without_last

from siftrec.data.interactions import Interactions
from siftrec.data.read import read
from siftrec.data.split import leave_one_out
from siftrec.evaluate.evaluation import evaluate
from siftrec.methods.markov import Markov
from siftrec.train.fit import fit

DEEPEST = 8
LEAST = 4
"""Interactions that a history must keep when it has lost the most."""


def asked(events: Interactions, k: int) -> float:
    """NDCG@10 of the k-th interaction from the end, over users with at least `DEEPEST + LEAST` interactions."""
    split = leave_one_out(without_last(events, k - 1))
    return evaluate(fit(Markov(), split), split.test, (10,)).means()["ndcg@10"]


def main() -> None:
    """Print a line for each k."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(LOGS))
    parser.add_argument("--data", type=Path, default=DEFAULT)
    given = parser.parse_args()
    machine.one_thread()
    for name in given.names:
        events = long_enough(read(given.data / LOGS[name]))
        print(f"{name}: NDCG@10 of a Markov chain for the k-th interaction from the end")
        for k in range(1, DEEPEST + 1):
            print(f"  k = {k}  {asked(events, k):.4f}", flush=True)


def long_enough(events: Interactions) -> Interactions:
    """The log of users who have interactions left for every k: the same people are asked each time."""
    return replace(events, frame=events.frame.filter(pl.len().over("user") >= DEEPEST + LEAST))


if __name__ == "__main__":
    main()
