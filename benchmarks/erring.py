"""Where scores of noise err: by how popular the item is, and by whether the user has more of its kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from symptoms import clusters

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.noise.measure import auroc

QUARTERS = ("rarest quarter", "second", "third", "most popular quarter")
KINDS = ("alone of its kind", "one of several")


def groups(log: Sequences, catalog: Catalog) -> dict[str, np.ndarray]:
    """(E,) bool of each group: quarters of the interactions by popularity of the item, and kinds by its cluster.

    An interaction is alone of its kind, a minority interest or noise, where no other of its user is in the cluster of its
    item: by content, and by company where there is no content.
    """
    counts_E = log.counts(len(catalog))[log.items]
    quarter_E = np.searchsorted(np.quantile(counts_E, (0.25, 0.5, 0.75)), counts_E)
    found = clusters(log, catalog)
    cluster_E = found.get("content", found["company"])[log.items]
    _, pair_E, count = np.unique(
        log.owners * (cluster_E.max() + 2) + cluster_E + 1, return_inverse=True, return_counts=True
    )
    alone_E = (count[pair_E] == 1) | (cluster_E < 0)
    return {name: quarter_E == number for number, name in enumerate(QUARTERS)} | dict(
        zip(KINDS, (alone_E, ~alone_E), strict=True)
    )


def errs(truth: np.ndarray, noise: np.ndarray, here: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of each group its interactions, its share of noise, AUROC within it, and the mean noise said of genuine ones.

    Args:
        truth: (E,) bool, True = noise.
        noise: (E,) noise probability.
        here: from `groups`.
    """
    return {
        name: {
            "events": int(of.sum()),
            "rho": float(truth[of].mean()) if of.any() else None,
            "auroc": auroc(truth[of], noise[of]),
            "genuine": float(noise[of & ~truth].mean()) if (of & ~truth).any() else None,
        }
        for name, of in here.items()
    }
