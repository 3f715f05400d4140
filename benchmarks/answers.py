"""What one answer costs inside the library, without the network: CPU milliseconds on one thread, at 100,000 items, D = 64.

    python benchmarks/answers.py        into benchmarks/results/answers.json

Item vectors are clustered, their spectrum falls and their lengths differ, as those of trained tables; the model is CCL4Rec
as it is built, which costs what a trained one does. Recall is of the ten best against looking at every item, on histories
that the index was not tuned on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine

ITEMS, DIM, HISTORY, ASKED = 100_000, 64, 20, 300
OUT = Path(__file__).parent / "results" / "answers.json"


def model() -> Any:
    """CCL4Rec whose item vectors are its content, whatever the maps are."""
    import numpy as np
    import polars as pl
    import torch

    import siftrec as sr
    from siftrec import seeds
    from siftrec.methods.trained import Facts, Trained

    rng, falling = np.random.default_rng(0), np.arange(1, DIM + 1) ** -0.5
    middle = rng.standard_normal((500, DIM)) * falling
    vectors = middle[rng.integers(0, 500, ITEMS)] + 0.6 * rng.standard_normal((ITEMS, DIM)) * falling
    vectors = (vectors * rng.lognormal(0, 0.3, (ITEMS, 1))).astype(np.float32)
    ids = pl.Series([f"v{i:06d}" for i in range(ITEMS)])
    catalog = sr.Catalog(ids, text=sr.Modality(vectors, np.ones(ITEMS, bool)))
    method = sr.CCL4Rec(dim=DIM)
    with seeds.initialised(0, "benchmark"):
        scorer = method.build(catalog).train().eval()
    scorer.items()[1:] = torch.from_numpy(vectors)
    popularity = np.concatenate([[0], rng.integers(1, 1000, ITEMS)])
    return Trained(method, scorer, catalog.vocab, popularity, Facts(), catalog.contents), vectors


def milliseconds(work: Callable[[Any], object], asked: list[Any]) -> dict[str, float]:
    """CPU per call over all questions, after a few that warm up."""
    for each in asked[:5]:
        work(each)
    spent = []
    for each in asked:
        start = time.process_time()
        work(each)
        spent.append(1e3 * (time.process_time() - start))
    return {"median_ms": round(statistics.median(spent), 3), "fastest_ms": round(min(spent), 3)}


def histories(vectors: Any) -> list[list[str]]:
    """Of items of like direction, as users' are."""
    import numpy as np

    rng, found = np.random.default_rng(1), []
    for start in rng.integers(0, len(vectors), ASKED):
        near = np.argsort(-(vectors @ vectors[start]))[:2000]
        found.append([f"v{row:06d}" for row in rng.choice(near, HISTORY, replace=False)])
    return found


def main() -> None:
    """Measure, and write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    machine.one_thread()
    import torch

    torch.set_num_threads(1)
    trained, vectors = model()
    asked = histories(vectors)
    rows: dict[str, Any] = {
        "recommend": milliseconds(trained.recommend, asked),
        "recommend, 64 at a time": milliseconds(lambda start: trained.recommend_many(asked[:64]), asked[:10]),
        "similar": milliseconds(lambda history: trained.similar(history[0]), asked),
        "add_items, one": milliseconds(
            lambda row: trained.add_items(["new"], {"text": vectors[row : row + 1]}), [*range(20)]
        ),
    }
    if importlib.util.find_spec("faiss"):
        rows |= approximate(trained, asked)
    stored = {"commit": machine.commit(), "machine": machine.describe() | machine.rates(), "items": ITEMS, "dim": DIM}
    OUT.write_text(json.dumps(stored | {"rows": rows}, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


def approximate(trained: Any, asked: list[list[str]]) -> dict[str, Any]:
    """The same answers by clusters, and how many of them are right."""
    start = time.process_time()
    faster = trained.approximated()
    seconds = time.process_time() - start
    pairs = [({*trained.recommend(each).items}, {*faster.recommend(each).items}) for each in asked]
    told = {
        "build_s": round(seconds, 2),
        "probed": round(faster.index.probed, 3),
        "recall@10": round(sum(len(right & found) for right, found in pairs) / (10 * len(pairs)), 4),
    }
    return {"recommend, approximate": milliseconds(faster.recommend, asked) | told}


if __name__ == "__main__":
    main()
