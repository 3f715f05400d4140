"""The published protocol, for whoever has the files: CCL4Rec, two towers and DIN on a log of impressions.

    python benchmarks/headline_protocol.py --format kuairand KuaiRand-Pure --signal is_click
    python benchmarks/headline_protocol.py --format microvideo MicroVideo-1.7M --content image=cover.npy --ids items.tsv
    python benchmarks/headline_protocol.py --format kuaivideo KuaiVideo_x1 --json out.json

MicroVideo and KuaiVideo keep their published training and test files; validation is cut from the end of each user's training
impressions. (Published figures of both were stopped on the test file; these are not.) KuaiRand is cut in time. All methods
get the same content, and ids where items of the test occur in training. Two learning rates each, chosen on validation. One
thread. Prints AUC, GAUC and P, R, F1 at 50 in both definitions (see `siftrec.evaluate.impressions`), null where no user has
what a measure needs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from rankers import METHODS, RATES, Clock, method_of

if TYPE_CHECKING:
    from siftrec.data.exposure import ImpressionSplit
    from siftrec.data.interactions import Interactions

FORMATS = ("kuairand", "kuaivideo", "microvideo")


def read(given: argparse.Namespace) -> Interactions:
    """The log."""
    from siftrec.data.readers import kuairand, kuaivideo, microvideo

    if given.format == "kuairand":
        return kuairand.read(given.path, given.signal)
    return {"kuaivideo": kuaivideo.read, "microvideo": microvideo.read}[given.format](given.path)


def trained_before(split: ImpressionSplit) -> float:
    """Share of the test impressions whose item was shown in training."""
    import numpy as np

    return float(np.isin(split.test.shown.items, split.train.shown.items).mean())


def measured(name: str, split: ImpressionSplit, catalog: Any, ids: bool, given: argparse.Namespace) -> dict[str, Any]:
    """Train at each learning rate, and judge the test by the one that validates best."""
    from siftrec.evaluate.impressions import evaluate_impressions
    from siftrec.train.fit import fit

    method, began, runs = method_of(name, given.length, ids), time.process_time(), []
    for rate in RATES:
        settings = {"metric": "gauc", "epochs": given.epochs, "batch_size": given.batch, "learning_rate": rate}
        settings |= {"schedule": "constant", "patience": 4}  # as in rankers.py
        clock = Clock()
        runs.append((clock, rate, fit(method, split, catalog, seed=given.seed, on_event=clock, **settings)))
    spent = time.process_time() - began
    clock, rate, model = max(runs, key=lambda each: each[0].best)
    test = evaluate_impressions(model, split.test).means()
    found = {measure: None if math.isnan(value) else value for measure, value in test.items()}
    return {"learning_rate": rate, "validation gauc": clock.best, "cpu_s": spent} | found


def main() -> None:
    """Read the command line, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the folder")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--signal", choices=("is_click", "long_view"), default="is_click", help="kuairand only")
    parser.add_argument("--content", nargs="*", default=[], metavar="NAME=FILE", help="vectors of items")
    parser.add_argument("--ids", type=Path, help="the ids of the rows of the vectors, where they are not in the file")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["two-tower", "ccl4rec", "din"])
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--group", type=int, default=20, help="training impressions judged from one history")
    parser.add_argument("--batch", type=int, default=64, help="groups per step")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures go too")
    given = parser.parse_args()
    machine.one_thread()
    from siftrec.data.catalog import Catalog
    from siftrec.data.exposure import impressions
    from siftrec.modality.precomputed import features

    events = read(given)
    split = impressions(events, by="time" if given.format == "kuairand" else "split", group=given.group)
    content = {name: features(file, ids=given.ids) for name, _, file in (each.partition("=") for each in given.content)}
    catalog, known = Catalog(events.items, **content), trained_before(split)
    if not known and not content:
        sys.exit("no test item occurs in training, and there is no content to know them by: give --content")
    told: dict[str, Any] = {
        "impressions": {name: len(getattr(split, name).labels) for name in ("train", "valid", "test")},
        "share of test impressions with an item of training": known,
        "ids": known > 0,
        "protocol": split.protocol,
        "methods": {},
    }
    print(json.dumps(told, indent=1))
    for name in given.methods:
        told["methods"][name] = measured(name, split, catalog, known > 0, given)
        print(json.dumps({name: told["methods"][name]}, indent=1), flush=True)
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
