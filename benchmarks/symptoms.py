"""The three symptoms of noise on real data: indiscriminating user vectors, trivial and weird recommendations.

    python benchmarks/symptoms.py             what the figures of cells are to be held against, for each data set
    python benchmarks/render.py               docs/results.md from the stored figures

Every cell of `accuracy.py` measures its own model (`siftrec.evaluate.symptoms`) and stores it with the cell. Real logs do
not say what users care for, so that is a proxy: items are put into clusters, and users care for those of their own
interactions in the log as it is, without planted noise and without test targets. Clusters are made twice, for each
flatters somebody: of content, which some methods read, and of who had the items together, which all of them learn from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from datasets import DEFAULT, Data, load
from scipy import sparse
from scipy.cluster.vq import kmeans2
from scipy.sparse.linalg import svds

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, Part, Split
from siftrec.detectors.content import content_of, units
from siftrec.evaluate.metrics import arp
from siftrec.evaluate.symptoms import out_of_interest, symptoms
from siftrec.methods.trained import Trained

RESULTS = Path(__file__).resolve().parent / "results" / "symptoms"
DATASETS = ("microlens50k", "ml1m")
USERS, SHORTEST = 2_000, 6
"""How many are asked about, and how many interactions each has at least, so that half of them still say something."""
K, SEED = 10, 7
DIRECTIONS, CLUSTERS = 32, 50


def symptoms_of(trained: Trained, split: Split, catalog: Catalog) -> dict[str, float]:
    """All measures of a trained model, on its own histories, noise included.

    Args:
        trained: the model.
        split: perhaps with planted noise.
        catalog: the items with content, whatever the model reads of it.
    """
    clean = as_it_is(split)
    return symptoms(trained, asked(split), clean.counts(len(catalog)), clusters(clean, catalog), K)


def as_it_is(split: Split) -> Sequences:
    """U rows: train and validation interactions without planted noise."""
    if split.original is None or split.original_role is None:
        return split.log.where(split.role < TEST)
    return split.original.where(split.original_role < TEST)


def asked(split: Split) -> Part:
    """The users asked about: the same ones whatever is planted."""
    part = split.test
    able = np.flatnonzero(part.seen.lengths >= SHORTEST)
    return part.take(np.sort(seeds.rng(SEED, "symptoms").permutation(able)[:USERS]))


def clusters(log: Sequences, catalog: Catalog) -> dict[str, np.ndarray]:
    """(N,) cluster of each item by content and by company; -1 = unknown."""
    counts = log.counts(len(catalog))
    content = units(content_of(catalog, torch.from_numpy(counts.astype(np.float32)))).numpy()
    vectors = {"content": content} if content.shape[1] else {}
    return {name: grouped(each) for name, each in (vectors | {"company": company(log, len(catalog))}).items()}


def company(log: Sequences, size: int) -> np.ndarray:
    """(N, 32) items by who had them: the strongest directions of the log; zero for items that nobody had.

    Each entry is divided by the root of both counts; the first direction, how often an item occurs, is left out.
    """
    users, items = log.owners, log.items
    scale = 1 / np.sqrt(np.maximum(log.lengths[users] * log.counts(size)[items], 1))
    table = sparse.csr_matrix((scale, (users, items)), shape=(len(log), size))
    start = seeds.rng(SEED, "symptoms", "directions").standard_normal(min(table.shape))
    _, strength, directions = svds(table, DIRECTIONS + 1, v0=start)
    order = np.argsort(-strength)[1:]
    return np.asarray((directions[order] * strength[order, None]).T)


def grouped(vectors_NG: np.ndarray) -> np.ndarray:
    """(N,) cluster by k-means of directions; -1 where a vector is zero."""
    norm_N = np.linalg.norm(vectors_NG, axis=1)
    known = norm_N > 1e-9
    unit_nG = vectors_NG[known] / norm_N[known, None]
    rng = seeds.rng(SEED, "symptoms", "clusters")
    _, label_n = kmeans2(unit_nG, min(CLUSTERS, len(unit_nG)), minit="++", rng=rng)
    cluster_N = np.full(len(vectors_NG), -1)
    cluster_N[known] = label_n
    return cluster_N


def controls(data: Data) -> dict[str, Any]:
    """What users really had next, and what popularity draws: the best and the worst that a list could be."""
    part, clean = asked(data.split), as_it_is(data.split)
    counts, groups = clean.counts(len(data.catalog)), clusters(clean, data.catalog)
    pool = data.split.log.items[data.split.role == TRAIN]
    draws = seeds.rng(SEED, "symptoms", "draws").integers(0, len(pool), (len(part), K))
    lists = {"test targets": part.targets.window(np.arange(len(part)), part.targets.lengths, 1), "drawn": pool[draws]}
    return {
        name: {f"popularity@{K}": float(arp(top, counts, top.shape[1]).mean())}
        | {f"out of interest@{K}, {group}": out_of_interest(top, part.seen, each) for group, each in groups.items()}
        for name, top in lists.items()
    } | {"users": len(part), "interactions": float(np.median(part.seen.lengths))}


def main() -> None:
    """Store the controls of each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    given = parser.parse_args()
    machine.one_thread()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in DATASETS:
        told = {"schema": 1, "data": name, "figures": controls(load(name, given.data)), "commit": machine.commit()}
        (RESULTS / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
