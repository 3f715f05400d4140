"""implicit's ALS, BPR and item-kNN on training sequences given by the benchmark: what they recommend, and what it costs.

Runs in its own environment (see README.md beside this file) and never imports siftrec; `exchange.py` says what the files
hold.

    python factors.py rank als train.npz asked.npz lists.npz --k 300        best items of each asked user
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import exchange  # noqa: E402
import implicit  # noqa: E402
import numpy as np  # noqa: E402
from implicit.als import AlternatingLeastSquares  # noqa: E402
from implicit.bpr import BayesianPersonalizedRanking  # noqa: E402
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender  # noqa: E402
from scipy import sparse  # noqa: E402

NEIGHBOURS = {"cosine": CosineRecommender, "bm25": BM25Recommender}


def matrix(arrays: dict[str, np.ndarray], size: int, sampled: bool, seed: int) -> sparse.csr_matrix:
    """(R, size) float32 confidences; sampled: 1 with the probability that is the weight."""
    weights = arrays["weights"].astype(np.float32)
    if sampled:
        weights = (np.random.default_rng(seed).random(len(weights)) < weights).astype(np.float32)
    made = sparse.csr_matrix((weights, arrays["items"], arrays["offsets"]), shape=(len(arrays["offsets"]) - 1, size))
    made.sum_duplicates()
    made.eliminate_zeros()
    return made


def built(options: argparse.Namespace) -> tuple[Any, int]:
    """The model with one thread, and how often it goes through its data."""
    if options.model == "itemknn":
        return NEIGHBOURS[options.weighting](K=options.neighbours, num_threads=1), 1
    shared = {"factors": options.factors, "regularization": options.regularization, "random_state": options.seed}
    if options.model == "als":
        model = AlternatingLeastSquares(**shared, alpha=options.alpha, num_threads=1)
    else:
        model = BayesianPersonalizedRanking(**shared, learning_rate=options.learning_rate, num_threads=1)
    return model, model.iterations


def rank(options: argparse.Namespace) -> dict[str, Any]:
    """Train fully, then write each asked user's best items, nothing filtered, for our metrics to judge."""
    arrays, asked = exchange.read(options.train), exchange.read(options.asked)
    size = int(arrays["size"])
    train = matrix(arrays, size, options.model == "bpr", options.seed)
    histories = matrix(asked, size, False, options.seed)
    model, passes = built(options)
    started = time.process_time()
    model.fit(train, show_progress=False)
    fitted = time.process_time()
    # ALS folds a history in; item-kNN reads nothing but the history; BPR knows the users it was trained on.
    recommend = partial(model.recommend, filter_items=np.array([0]), recalculate_user=options.model == "als")
    few = slice(0, exchange.ASKED)
    before = time.process_time()
    recommend(asked["users"][few], histories[few], N=exchange.K, filter_already_liked_items=True)
    answered = time.process_time() - before
    lists, _ = recommend(asked["users"], histories, N=options.k, filter_already_liked_items=False)
    exchange.write(options.out, lists)
    return {
        "fit_cpu_s": fitted - started,
        "targets_per_s": passes * train.nnz / (fitted - started),
        "users_per_s": min(exchange.ASKED, len(asked["users"])) / answered,
        "versions": {"implicit": implicit.__version__},
    }


def main() -> None:
    """Read the command line; what does not concern the model is not asked for."""
    parser = exchange.parser(__doc__, ("als", "bpr", "itemknn"))
    parser.add_argument("--regularization", type=float, default=0.01, help="of ALS and BPR")
    parser.add_argument("--alpha", type=float, help="of ALS: weight of an interaction, default 1")
    parser.add_argument("--learning-rate", type=float, help="of BPR, default .01")
    parser.add_argument("--weighting", choices=list(NEIGHBOURS), help="of item-kNN, default cosine")
    parser.add_argument("--neighbours", type=int, help="of item-kNN, default 20")
    options = parser.parse_args()
    defaults = {"als": {"alpha": 1.0}, "bpr": {"learning_rate": 0.01}}
    for key, value in defaults.get(options.model, {"weighting": "cosine", "neighbours": 20}).items():
        setattr(options, key, value if getattr(options, key) is None else getattr(options, key))
    if options.model == "itemknn":
        options.factors = options.regularization = None
    told = rank(options)
    told |= {"cpu_s": time.process_time(), "peak_bytes": exchange.peak_bytes(), "settings": exchange.chosen(options)}
    print(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
