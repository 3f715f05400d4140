"""What noise in a log does to a recommender, beside costing accuracy: three symptoms, each measured by itself.

Zhang et al. (arXiv 2208.08024) name them: user vectors become indiscriminating, recommendations trivial (popular) or weird
(far outside the user's interests). How they are measured is our choice:

| symptom | measure |
|---|---|
| indiscriminating | how many users are found by one half of their history among the other halves; how evenly users spread |
| trivial | average recommendation popularity |
| weird | share of recommendations from none of the clusters that the user's own interactions are in |
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from siftrec.data.loader import pad, pad_shown
from siftrec.data.sequences import Sequences
from siftrec.data.split import Part
from siftrec.evaluate.metrics import arp
from siftrec.evaluate.rank import evaluating, rank
from siftrec.methods.base import VectorScorer
from siftrec.methods.trained import Trained

_BLOCK = 512


def symptoms(
    trained: Trained, part: Part, popularity_N: np.ndarray, clusters: Mapping[str, np.ndarray], k: int = 10
) -> dict[str, float]:
    """All measures over the questions of a part; seen items are not recommended.

    Args:
        trained: any method; one without user vectors has no `re-identified` and no `uniformity`.
        part: the questions; `seen` says what a user cares for, so it should be free of planted noise.
        popularity_N: interactions of each item code of `trained.items`, also free of it, so that settings compare.
        clusters: name → (N,) cluster of each item code; see `out_of_interest`.
        k: length of the lists.

    Returns:
        `popularity@k`, `out of interest@k, NAME` for each name, `re-identified`, `uniformity`.
    """
    part = part.recode(trained.items)
    top_QK = rank(trained.scorer, trained.method.length, part, k).top["seen"]
    found = {f"popularity@{k}": float(arp(top_QK, popularity_N, k).mean())}
    found |= {
        f"out of interest@{k}, {name}": out_of_interest(top_QK, part.seen, each) for name, each in clusters.items()
    }
    if not isinstance(trained.scorer, VectorScorer):
        return found
    asked = (part.histories, *halves(part.histories))
    whole, first, second = (user_vectors(trained.scorer, trained.method.length, each) for each in asked)
    return found | {"re-identified": re_identified(first, second), "uniformity": uniformity(whole)}


def user_vectors(scorer: VectorScorer, length: int, histories: Sequences) -> torch.Tensor:
    """users_QD of histories of item codes, of which the last `length` are read."""
    blocks = []
    with evaluating(scorer), torch.inference_mode():
        for rows in np.array_split(np.arange(len(histories)), max(1, -(-len(histories) // _BLOCK))):
            items_BL, shown_BLM = pad(histories, rows, length), pad_shown(histories, rows, length)
            blocks.append(scorer.users(items_BL) if shown_BLM is None else scorer.users(items_BL, shown_BLM))
    return torch.cat(blocks)


def halves(histories: Sequences) -> tuple[Sequences, Sequences]:
    """Every other interaction of each history, from the first and from the second on."""
    position = np.arange(len(histories.items)) - histories.offsets[histories.owners]
    return histories.where(position % 2 == 0), histories.where(position % 2 == 1)


def re_identified(first_QD: torch.Tensor, second_QD: torch.Tensor) -> float:
    """Share of users whose own second vector has the largest cosine with their first, among the second vectors of all.

    Chance is 1/Q.
    """
    first_QD, second_QD = (torch.nn.functional.normalize(each, dim=1) for each in (first_QD, second_QD))
    found = (first_QD @ second_QD.T).argmax(dim=1) == torch.arange(len(first_QD))
    return float(found.double().mean())


def uniformity(users_QD: torch.Tensor) -> float:
    """Log mean e^(−2 |z − z'|²) over pairs of users on the unit sphere (Wang and Isola, 2020).

    0 where all are the same, and the lower, the more evenly they are spread.
    """
    z_QD, count = torch.nn.functional.normalize(users_QD, dim=1), len(users_QD)
    pairs = (4 * (z_QD @ z_QD.T - 1)).exp().fill_diagonal_(0).sum(dtype=torch.float64)
    return float((pairs / (count * (count - 1))).log())


def out_of_interest(top_QK: np.ndarray, interests: Sequences, cluster_N: np.ndarray) -> float:
    """Share of the recommended items that are in a cluster in which the user has no interaction.

    Args:
        top_QK: item codes; 0 = no more.
        interests: Q rows: the interactions that say what each user cares for.
        cluster_N: cluster of each item code, at least 0; -1 = unknown, and the item is not judged. NaN if none is.
    """
    width = int(cluster_N.max()) + 1
    known = cluster_N[interests.items] >= 0
    cared = interests.owners[known] * width + cluster_N[interests.items[known]]
    cluster_QK = np.where(top_QK > 0, cluster_N[top_QK], -1)
    row_Q, _ = np.nonzero(cluster_QK >= 0)
    inside = np.isin(row_Q * width + cluster_QK[cluster_QK >= 0], cared)
    return float(1 - inside.mean()) if len(inside) else float("nan")
