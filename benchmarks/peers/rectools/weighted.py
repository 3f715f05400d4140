"""RecTools' SASRec on a log with weights: `sasrec.py rank`, where the loss of each target is multiplied by its weight.

A script of its own, because what is stored of sasrec.py is of that file as it is (`peer_settings` in benchmarks/peer.py).

    python weighted.py rank train.npz histories.npz lists.npz --epochs 8       best items of each history, for our metrics
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import exchange
import numpy as np
import sasrec
from rectools import Columns


def rank(options: argparse.Namespace) -> None:
    """Train fully on weighted targets, then write each history's best items, nothing filtered, for our metrics to judge."""
    train = exchange.read(options.train)
    given = sasrec.dataset(train["items"], train["offsets"])
    given.interactions.df[Columns.Weight] = train["weights"].astype(
        float
    )  # rows are in the order that they were given in
    fitted = sasrec.model(options, options.epochs, [])
    fitted.fit(given)
    items, offsets = sasrec.load(options.histories)
    np.savez_compressed(options.out, items=sasrec.listed(fitted, items, offsets, options.k, filter_viewed=False))
    told = {"cpu_s": time.process_time(), "epochs": options.epochs}
    print(json.dumps(told | {"versions": sasrec.versions(), "settings": sasrec.chosen(options)}))


if __name__ == "__main__":
    sasrec.rank = rank  # all else of its command line is kept
    sys.exit(sasrec.main())
