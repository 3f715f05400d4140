"""Cornac's VBPR on training sequences and content given by the benchmark: what it recommends, and what it costs.

Runs in its own environment (see README.md beside this file) and never imports siftrec; `exchange.py` says what the files
hold.

    python visual.py rank vbpr train.npz asked.npz lists.npz --k 300        best items of each asked user
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import OrderedDict
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import cornac  # noqa: E402
import exchange  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from cornac.data import Dataset, ImageModality  # noqa: E402
from cornac.models import VBPR  # noqa: E402

ONE_BY_ONE = 1_000
"""Users asked about when the speed of answers is measured: Cornac answers one at a time."""


def dataset(arrays: dict[str, np.ndarray], seed: int) -> Dataset:
    """Cornac's dataset: every user and every item is known, in the order of its code, also those without interactions.

    Cornac numbers items as they turn up and takes features by number, so without that an item would be given another's.
    """
    users = np.repeat(np.arange(len(arrays["offsets"]) - 1), np.diff(arrays["offsets"]))
    items = range(1, int(arrays["size"]))
    triples = [(user, item, 1.0) for user, item in zip(users.tolist(), arrays["items"].tolist(), strict=True)]
    made = Dataset.build(
        triples,
        global_uid_map=OrderedDict((user, user) for user in range(len(arrays["offsets"]) - 1)),
        global_iid_map=OrderedDict((item, item - 1) for item in items),
        seed=seed,
    )
    content = ImageModality(features=arrays["content"][1:], ids=list(items), normalized=False)
    made.add_modalities(item_image=content.build(id_map=made.iid_map))
    return made


def rank(options: argparse.Namespace) -> dict[str, Any]:
    """Train fully, then write each asked user's best items, nothing filtered, for our metrics to judge."""
    arrays, asked = exchange.read(options.train), exchange.read(options.asked)
    data = dataset(arrays, options.seed)
    half = options.factors // 2
    model = VBPR(k=half, k2=options.factors - half, n_epochs=options.epochs, seed=options.seed, verbose=False)
    started = time.process_time()
    model.fit(data)
    fitted = time.process_time()
    for user in asked["users"][:ONE_BY_ONE].tolist():
        model.recommend(user, k=exchange.K, remove_seen=True, train_set=data)
    answered = time.process_time() - fitted
    lists = np.zeros((len(asked["users"]), options.k), np.int32)
    for row, user in enumerate(asked["users"].tolist()):
        scores = np.asarray(model.score(user))
        best = np.argpartition(-scores, options.k - 1)[: options.k]
        lists[row] = 1 + best[np.argsort(-scores[best], kind="stable")]
    exchange.write(options.out, lists)
    return {
        "fit_cpu_s": fitted - started,
        "targets_per_s": options.epochs * len(arrays["items"]) / (fitted - started),
        "users_per_s": min(ONE_BY_ONE, len(asked["users"])) / answered,
        "versions": {"cornac": cornac.__version__, "torch": torch.__version__},
    }


def main() -> None:
    """Read the command line."""
    parser = exchange.parser(__doc__, ("vbpr",))
    parser.add_argument("--epochs", type=int, default=50, help="Cornac's default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    told = rank(options)
    told |= {"cpu_s": time.process_time(), "peak_bytes": exchange.peak_bytes(), "settings": exchange.chosen(options)}
    print(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
