"""implicit's ALS and BPR on training sequences given by the benchmark: what they recommend.

Runs in its own environment (see README.md beside this file) and never imports siftrec. Training sequences come as `.npz`
with `items` (E,) int32 codes, `offsets` (U+1,) and `weights` (E,); asked users as `users` (Q,).

    python factors.py rank als train.npz asked.npz lists.npz --k 300        best items of each asked user
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import implicit  # noqa: E402
import numpy as np  # noqa: E402
from implicit.als import AlternatingLeastSquares  # noqa: E402
from implicit.bpr import BayesianPersonalizedRanking  # noqa: E402
from scipy import sparse  # noqa: E402


def matrix(path: Path, items: int, sampled: bool, seed: int) -> sparse.csr_matrix:
    """(U, items) float32 confidences; sampled: 1 with the probability that is the weight."""
    with np.load(path) as arrays:
        columns, offsets, weights = arrays["items"], arrays["offsets"], arrays["weights"].astype(np.float32)
    if sampled:
        weights = (np.random.default_rng(seed).random(len(weights)) < weights).astype(np.float32)
    made = sparse.csr_matrix((weights, columns, offsets), shape=(len(offsets) - 1, items))
    made.sum_duplicates()
    made.eliminate_zeros()
    return made


def rank(options: argparse.Namespace) -> None:
    """Train fully, then write each asked user's best items, nothing filtered, for our metrics to judge."""
    started = time.process_time()
    train = matrix(options.train, options.items, options.model == "bpr", options.seed)
    kind = {"als": AlternatingLeastSquares, "bpr": BayesianPersonalizedRanking}[options.model]
    model = kind(factors=options.factors, num_threads=1, random_state=options.seed)
    model.fit(train, show_progress=False)
    with np.load(options.asked) as arrays:
        users = arrays["users"]
    # Column 0 is padding: nobody has it, and it must not be recommended.
    lists, _ = model.recommend(
        users, train[users], N=options.k, filter_already_liked_items=False, filter_items=np.array([0])
    )
    np.savez_compressed(options.out, items=lists.astype(np.int32))
    told = {"cpu_s": time.process_time() - started, "versions": {"implicit": implicit.__version__}}
    print(json.dumps(told | {"settings": {"factors": options.factors, "seed": options.seed}}))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command = parser.add_subparsers(dest="command", required=True).add_parser("rank")
    command.set_defaults(run=rank)
    command.add_argument("model", choices=["als", "bpr"])
    for name in ("train", "asked", "out"):
        command.add_argument(name, type=Path)
    command.add_argument("--items", type=int, required=True, help="N, padding included")
    command.add_argument("--k", type=int, default=300)
    command.add_argument("--factors", type=int, default=64)
    command.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())
