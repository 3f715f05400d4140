"""FREEDOM: its two graphs and their convolution by matrices and loops, what is pruned, and content that matters or not."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from newitems import share_of_wins
from scipy import sparse

from siftrec import seeds
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.interactions import Interactions
from siftrec.data.loader import Batch
from siftrec.data.split import leave_one_out
from siftrec.errors import SettingsError
from siftrec.methods import itemgraph
from siftrec.methods.freedom import FREEDOM
from siftrec.methods.model import SequenceModel
from siftrec.modality.features import Features
from siftrec.testing import check_method

USERS, ITEMS = 7, 9


def edges_of(density: float = 0.5, users: int = USERS) -> sparse.csr_matrix:
    """Users and items, without padding column 0 and without item 9."""
    matrix = (np.random.default_rng(2).random((users, ITEMS + 1)) < density).astype(float)
    matrix[:, [0, ITEMS]] = 0
    matrix[:, 1] = 1
    return sparse.csr_matrix(matrix)


def catalog_of() -> Catalog:
    rng = np.random.default_rng(3)
    look, text = (rng.normal(size=(ITEMS, width)).astype(np.float32) for width in (4, 3))
    return Catalog(
        pl.Series(range(ITEMS)),
        look=Modality(look, np.ones(ITEMS, bool)),
        text=Modality(text, np.arange(ITEMS) % 4 != 1),
    )


def dense(links: itemgraph.Links) -> np.ndarray:
    return np.array(
        [
            np.bincount(codes, weights, minlength=ITEMS + 1)
            for codes, weights in zip(links.codes_NK.numpy(), links.weights_NK.numpy(), strict=True)
        ]
    )


def test_contract():
    check_method(FREEDOM(dim=8, length=8, negatives=64))


def test_two_steps_over_users_are_those_of_light_graph_convolution():
    """Item → users → items in the symmetric normalised adjacency of the whole bipartite graph; few kept: the strongest."""
    edges = edges_of()
    size = USERS + ITEMS + 1
    whole = np.zeros((size, size))
    whole[:USERS, USERS:] = edges.toarray()
    whole += whole.T
    degree = np.maximum(whole.sum(axis=1), 1e-12)
    steps = whole / np.sqrt(degree[:, None] * degree)
    expected = (steps @ steps)[USERS:, USERS:]
    assert dense(itemgraph.by_users(edges, ITEMS)) == pytest.approx(expected, abs=1e-6)
    few = dense(itemgraph.by_users(edges, 2))
    for item in range(1, ITEMS):
        others = np.delete(expected[item], item)
        assert sorted(np.delete(few[item], item), reverse=True)[:3] == pytest.approx(
            [*sorted(others, reverse=True)[:2], 0.0], abs=1e-6
        )


def test_neighbours_by_content_are_the_nearest_that_training_has_seen():
    """By a loop. An item of no content in a modality has neighbours by the other alone, and is nobody's by this."""
    catalog, counts = catalog_of(), torch.ones(ITEMS + 1)
    counts[[0, ITEMS]] = 0
    features = Features(catalog).fit(counts)
    content = features.standardised(torch.arange(ITEMS + 1)).numpy()
    parts, expected = (content[:, :4], content[:, 4:]), np.zeros((ITEMS + 1, ITEMS + 1))
    for item in range(1, ITEMS + 1):
        rows = []
        for part, present in zip(parts, features.present.values(), strict=True):
            if present[item]:
                able = [o for o in range(1, ITEMS) if o != item and present[o]]
                lengths = np.linalg.norm(part, axis=1)
                cosine = {o: part[o] @ part[item] / lengths[o] / lengths[item] for o in able}
                rows.append(sorted(able, key=cosine.__getitem__)[-3:])
        for near in rows:
            expected[item, near] += 1 / 3 / len(rows)
    assert dense(itemgraph.by_content(features, counts > 0, 3)) == pytest.approx(expected, abs=1e-6)


def test_pruning_leaves_the_share_it_should_and_popular_ends_go_first():
    edges = edges_of(0.4, users=60)
    kept = sum(itemgraph.pruned(edges, 0.8, seeds.rng(seed, "edges")).toarray() for seed in range(200)) / 200
    assert kept.sum() == pytest.approx(edges.nnz - int(0.8 * edges.nnz))
    assert (kept <= edges.toarray()).all()
    degree = edges.toarray().sum(axis=0)
    rate = kept.sum(axis=0)[1:ITEMS] / degree[1:ITEMS]
    assert rate[0] < 0.8 * rate[1:].mean()  # everybody had item 1
    assert (itemgraph.pruned(edges, 0.0, seeds.rng(1, "edges")) != edges).nnz == 0


def test_what_weighs_nothing_is_no_edge_and_moves_no_other_weight():
    """A sifted log has weights of exactly 0; were they dropped on one side only, every edge would get another's weight."""
    edges = edges_of(users=40)
    edges.data = np.random.default_rng(4).uniform(0.1, 1, edges.nnz)
    edges.data[::7] = 0
    kept = itemgraph.pruned(edges, 0.5, seeds.rng(3, "edges"))
    row, column = kept.nonzero()
    assert kept.nnz == len(row) == (edges.data > 0).sum() - (edges.data > 0).sum() // 2
    np.testing.assert_array_equal(kept[row, column], edges[row, column])


def test_vectors_and_losses_are_those_of_the_formulas():
    """½ (h + P h) + S h by matrices, P of the pruned graph while training and of the whole one after; pairs by a loop."""
    row = np.arange(60)
    items = np.random.default_rng(5).integers(0, ITEMS - 1, 60)
    frame = pl.DataFrame({"user": row // 6, "item": items, "time": row % 6, "row": row})
    split, catalog = leave_one_out(Interactions(frame, "order")), catalog_of()
    method = FREEDOM(dim=4, length=3, alike=2, common=ITEMS, prune=0.5, negatives=20, weight=0.3, l2=0.0)
    with seeds.initialised(1, "weights"):
        model = method.build(catalog)
    assert isinstance(model, SequenceModel)
    method.start_epoch(model, split.fitting.recode(catalog.vocab), 0, 1)
    tower, known = model.tower, (model.get_buffer("popularity") > 0).numpy()
    h = tower.ids.weight.detach().numpy()
    buffers = {
        name: itemgraph.Links(*(tower.get_buffer(f"{name}_{p}") for p in ("codes", "weights")))
        for name in ("pruned", "whole", "alike")
    }
    log = split.train
    table = np.zeros((len(log), ITEMS + 1))
    codes = np.array([catalog.vocab.ids.index_of(raw) + 1 for raw in split.items.decode(log.items).to_list()])
    np.add.at(table, (log.owners, codes), 1)
    full = dense(itemgraph.by_users(sparse.csr_matrix(np.minimum(table, 1)), ITEMS))
    assert dense(buffers["whole"]) == pytest.approx((full + np.diag(known)) / 2, abs=1e-6)
    model.train().eval()
    expected = dense(buffers["whole"]) @ h + dense(buffers["alike"]) @ h
    assert model.items().numpy() == pytest.approx(expected, abs=1e-5)
    vectors = (dense(buffers["pruned"]) + dense(buffers["alike"])) @ h
    assert np.abs(vectors - expected).max() > 1e-2

    histories, targets, contents = [[2, 5, 2], [7]], [4, 1], model.extra
    with torch.no_grad():
        mapped, has = (each.numpy() for each in contents(torch.arange(ITEMS + 1)))
    sums = np.zeros(3)
    for history, target in zip(histories, targets, strict=True):
        user = vectors[history].sum(axis=0) / len(history) ** 0.5
        others = [item for item in range(1, ITEMS + 1) if item not in (target, *history)]
        for place, (table_ND, able) in enumerate(
            [(vectors, known | True), *((mapped[:, m], has[:, m]) for m in (0, 1))]
        ):
            real = [item for item in others if able[item]]
            each = [math.log1p(math.exp(user @ (table_ND[item] - table_ND[target]))) for item in real]
            sums[place] += able[target] * sum(each) / len(real) / sum(able[other] for other in targets)
    items_BL = torch.tensor([[2, 5, 2], [0, 0, 7]])
    batch = Batch(items_BL, torch.tensor([[4], [1]]), torch.ones(2, 1), torch.arange(2), torch.ones(2, 3))
    losses = method.loss(model.train(), batch, seeds.generator(1, "loss"))
    assert losses["pairs"].item() == pytest.approx(sums[0], rel=1e-4)
    assert losses["content"].item() == pytest.approx(0.3 * (sums[1] + sums[2]), rel=1e-4)


def test_without_content_there_is_no_graph_and_items_cannot_be_added():
    with pytest.raises(SettingsError, match="BPRMF"):
        FREEDOM().build(Catalog(pl.Series(range(9))))
    model = FREEDOM(dim=4).build(catalog_of())
    assert isinstance(model, SequenceModel)
    assert model.reads == ()


@pytest.mark.parametrize("planted", [True, False])
def test_new_items_are_ranked_by_content_where_it_says_something_and_by_chance_where_not(planted):
    share = share_of_wins(FREEDOM(dim=8, length=8, negatives=128), planted)
    assert share > 0.7 if planted else abs(share - 0.5) < 0.03
