import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from data.shown import sides
from evaluate.stubs import Matrix, Vectors, questions, random_questions, trained
from siftrec.data.exposure import impressions
from siftrec.data.split import Part
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, SettingsError, UsageError
from siftrec.evaluate.compare import compare
from siftrec.evaluate.evaluation import About, Evaluation, evaluate, validation_metric
from siftrec.evaluate.impressions import evaluate_impressions
from siftrec.evaluate.rank import FILTERS
from siftrec.methods.popularity import Popularity
from siftrec.train.fit import fit

CATALOG = 60


@pytest.fixture
def problem() -> tuple[Vectors, Part]:
    rng = np.random.default_rng(4)
    users, items = (torch.from_numpy(rng.normal(size=(n, 6)).astype(np.float32)) for n in (40, CATALOG))
    return Vectors(users, items), random_questions(rng, 40, CATALOG)


@pytest.fixture
def evaluation(problem: tuple[Vectors, Part]) -> Evaluation:
    scorer, part = problem
    return evaluate(trained(scorer, CATALOG), part, (5, 10))


def test_a_small_case_by_hand() -> None:
    scores = torch.tensor([[0, 5, 4, 3, 2, 1], [0, 1, 2, 3, 4, 5]], dtype=torch.float32)
    # Question 0: target 3 is third, second without the seen item 1. Question 1: target 4 is second, the seen item is last.
    part = questions([[3], [4]], [[1], [1]], [2, 12])
    popularity = np.array([0, 10, 20, 30, 0, 50])
    found = evaluate(trained(Matrix(scores), 6, popularity), part, (1, 2))
    assert found.per_user("recall@2", "seen").tolist() == [1, 1]
    assert found.per_user("recall@2", "none").tolist() == [0, 1]
    assert found.per_user("mrr@2", "seen").tolist() == [0.5, 0.5]
    assert found.per_user("arp@2", "none").tolist() == [15, 25]
    assert found.per_user("arp@2", "seen").tolist() == [25, 25]
    assert found.means("none")["item_coverage@2"] == 4 / 5
    assert found.means("seen")["precision@2"] == 0.5
    slices = found.about.slices
    assert [slices[name]["users"] for name in ("history_2_3", "history_4_5", "history_over_10")] == [1, 0, 1]
    assert slices["history_2_3"]["unfiltered"]["recall@2"] == 0
    assert slices["history_4_5"] == {"users": 0, "filtered": {}, "unfiltered": {}}
    assert "history_1" not in slices
    assert slices["cold_items"]["users"] == 1
    assert slices["cold_items"]["filtered"]["mrr@2"] == 0.5
    assert found.slices("none")["history_over_10"]["recall@2"] == 1


def test_slices_are_means_over_their_users(problem: tuple[Vectors, Part], evaluation: Evaluation) -> None:
    _, part = problem
    lengths = part.histories.lengths
    slices = evaluation.about.slices
    bounds = {"history_1": (1, 1), "history_2_3": (2, 3), "history_4_5": (4, 5), "history_6_10": (6, 10)}
    for name, (low, high) in {**bounds, "history_over_10": (11, 99)}.items():
        here = (lengths >= low) & (lengths <= high)
        assert slices[name]["users"] == here.sum() > 0
        expected = evaluation.per_user("ndcg@10", "none")[here].mean()
        assert slices[name]["unfiltered"]["ndcg@10"] == pytest.approx(expected)


def test_cold_targets_are_judged_alone(problem: tuple[Vectors, Part]) -> None:
    scorer, part = problem
    popularity = np.arange(CATALOG) % 3
    cold_rows = [[code for code in part.targets[q] if popularity[code] == 0] for q in range(len(part))]
    asked = np.array([q for q, row in enumerate(cold_rows) if row])
    whole = evaluate(trained(scorer, CATALOG, popularity), part, (5,)).about.slices["cold_items"]
    alone = questions([cold_rows[q] for q in asked], [part.seen[q].tolist() for q in asked])
    moved = Vectors(scorer.users_QD[torch.from_numpy(asked)], scorer.items_ND)
    expected = evaluate(trained(moved, CATALOG, popularity), alone, (5,))
    assert whole["users"] == len(asked) > 0
    for name, filter in (("filtered", "seen"), ("unfiltered", "none")):
        for metric, value in whole[name].items():
            # A question's other targets stay in the list; only ranks of seen items differ, and none were added.
            assert value == pytest.approx(expected.means(filter)[metric])


def test_values_do_not_depend_on_the_byte_budget(problem: tuple[Vectors, Part], evaluation: Evaluation) -> None:
    scorer, part = problem
    assert evaluate(trained(scorer, CATALOG), part, (10, 5, 5), block_bytes=1).table.equals(evaluation.table)


def test_the_table_holds_every_value_once(evaluation: Evaluation) -> None:
    table = evaluation.table
    assert table.columns == ["user", "metric", "filter", "value"]
    assert table.height == table.select("user", "metric", "filter").n_unique() == 40 * 16 * 2
    means = table.filter(pl.col("filter") == "seen").group_by("metric").agg(pl.col("value").mean())
    for metric, mean in means.iter_rows():
        assert evaluation.means("seen")[metric] == pytest.approx(mean)


def test_validation_equals_the_evaluation(problem: tuple[Vectors, Part], evaluation: Evaluation) -> None:
    scorer, part = problem
    for metric in ("ndcg@10", "recall@5", "mrr@10", "map@10"):
        assert validation_metric(scorer, 4, part, metric) == pytest.approx(evaluation.means("seen")[metric])


def test_json_follows_the_interface(evaluation: Evaluation) -> None:
    block = json.loads(json.dumps(evaluation.to_json("runs/a"), allow_nan=False))
    assert {"run", "method", "seed", "split", "protocol", "users", "items", "fingerprint", "metrics", "slices"} <= set(
        block
    )
    assert (block["run"], block["split"], block["protocol"]) == ("runs/a", "test", "leave-one-out")
    assert (block["users"], block["items"]) == (40, CATALOG - 1)
    assert set(block["fingerprint"]) == {"train", "test"}
    names = {
        f"{m}@{k}"
        for m in ["hr", "recall", "precision", "f1", "ndcg", "mrr", "map", "item_coverage", "arp"]
        for k in (5, 10)
    }
    assert set(block["metrics"]["filtered"]) == set(block["metrics"]["unfiltered"]) == names
    assert {"history_2_3", "history_4_5", "history_6_10", "history_over_10", "cold_items"} <= set(block["slices"])
    assert "40 users" in str(evaluation)


def test_print_says_what_makes_figures_better_or_of_fewer_users_than_they_look(
    problem: tuple[Vectors, Part], evaluation: Evaluation
) -> None:
    """A log joined to itself multiplies ndcg, for every target is in the history; nothing else in the line shows it."""
    scorer, part = problem
    assert "repeat" not in str(evaluation)
    assert "not asked" not in str(evaluation)
    repeats = (np.arange(40) < 10).astype(np.int64)
    told = evaluate(trained(scorer, CATALOG), replace(part, repeats=repeats, unasked=3), (5, 10))
    share = 10 / len(part.targets.items)
    assert str(told).endswith(
        f"; {share:.1%} of targets repeat an item of their user's history; "
        "3 users with a target were not asked, for they have no history"
    )
    assert (told.to_json("r")["repeated"], told.to_json("r")["unasked"]) == (share, 3)
    few = replace(told, about=replace(told.about, repeated=0.0004))
    assert "; under 0.1% of targets repeat" in str(few)
    none = evaluate(trained(scorer, CATALOG), replace(part, repeats=repeats * 0, unasked=0), (5, 10))
    assert str(none) == str(evaluation)


def test_a_notebook_shows_every_metric_with_its_interval(evaluation: Evaluation) -> None:
    assert repr(evaluation) == str(evaluation)
    named = replace(evaluation, about=replace(evaluation.about, protocol="<i>mine</i>"))
    html = named._repr_html_()
    assert "&lt;i&gt;mine&lt;/i&gt;" in html
    assert "<i>" not in html
    assert "<th>filtered</th><th>unfiltered</th>" in html
    assert html.count("<tr>") == 1 + len(evaluation.means())
    values = evaluation.per_user("map@10", "none")
    around = 1.96 * values.std(ddof=1) / 40**0.5
    mean = values.mean()
    assert f"<td>{mean:.4f} [{mean - around:.4f}, {mean + around:.4f}]</td>" in html
    covered = {filter: f"{evaluation.means(filter)['item_coverage@5']:.4f}" for filter in FILTERS}
    told = "".join(f"<td>{share}</td>" for share in covered.values())
    assert f"<td>item_coverage@5</td>{told}" in html, "it is no mean over users"


def test_a_mean_that_weighs_users_has_the_interval_of_a_ratio() -> None:
    """The plain spread of weighted values takes their weights' mean for known, and may be off either way."""
    cut = impressions(sides(planted=False))
    found = evaluate(fit(Popularity(), cut), cut.test)
    html, means = found._repr_html_(), found.means("none")
    weight = found.weight
    assert weight is not None
    for name in ("gauc", "recall@50/weighted"):
        off = found.per_user(name, "none") - weight * means[name]
        around = 1.96 * off.std(ddof=1) / len(off) ** 0.5
        assert (
            f"<td>{name}</td><td>{means[name]:.4f} [{means[name] - around:.4f}, {means[name] + around:.4f}]</td>"
            in html
        )
    assert f"<td>auc</td><td>{means['auc']:.4f}</td>" in html
    assert f"<td>precision@50/plain</td><td>{means['precision@50/plain']:.4f} [" in html
    judged = evaluate_impressions(fit(Popularity(), cut), cut.test)
    assert repr(judged) == f"Judged(auc {judged.auc:.4f}, gauc {means['gauc']:.4f}; 100 users, 600 impressions)"


def test_equal_codes_over_other_catalogs_are_other_questions(problem: tuple[Vectors, Part]) -> None:
    scorer, part = problem
    model = trained(scorer, CATALOG)
    renamed = replace(model, items=Vocab(model.items.ids + "x"))
    one, other = (evaluate(each, part, (10,)) for each in (model, renamed))
    assert one.table.equals(other.table)
    with pytest.raises(DataError, match="different test fingerprints"):
        compare(one, other)


def test_the_table_is_small_and_its_file_holds_plain_strings(tmp_path: Path, evaluation: Evaluation) -> None:
    assert {evaluation.table.schema[name].base_type() for name in ("metric", "filter")} == {pl.Enum}
    evaluation.write(tmp_path / "test.parquet")
    for read in (pl.read_parquet, lambda path: pl.DataFrame(pq.read_table(path))):
        found = read(tmp_path / "test.parquet")
        assert found.columns == ["user", "metric", "filter", "value"]
        assert found.schema["metric"] == found.schema["filter"] == pl.String
        assert found["metric"].unique(maintain_order=True).to_list() == list(evaluation.metrics)
        assert found["filter"].unique(maintain_order=True).to_list() == list(evaluation.values)


@pytest.mark.parametrize("ids", [["a", "007", "b"], [3, 1, 2]])
def test_written_and_read_again(tmp_path: Path, ids: list) -> None:
    part = questions([[2], [3], [1]], [[], [1], []], [2, 3, 4])
    part = replace(part, user_ids=pl.Series("user", ids))
    first = evaluate(trained(Matrix(torch.rand(3, 9)), 9), part, (2,))
    first.write(tmp_path / "evaluations" / "test.parquet")
    again = Evaluation.read(tmp_path / "evaluations" / "test.parquet")
    assert again.table.equals(first.table)
    assert again.to_json("r") == first.to_json("r")
    assert pl.read_parquet(tmp_path / "evaluations" / "test.parquet").schema["user"] == part.user_ids.dtype
    assert [path.name for path in (tmp_path / "evaluations").iterdir()] == ["test.parquet"]


def test_files_that_are_no_evaluation_are_refused(tmp_path: Path, evaluation: Evaluation) -> None:
    path = tmp_path / "test.parquet"
    with pytest.raises(DataError, match="siftrec evaluate"):
        Evaluation.read(path)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="not an evaluation"):
        Evaluation.read(path)
    evaluation.table.write_parquet(path)
    with pytest.raises(DataError, match="not an evaluation"):
        Evaluation.read(path)
    evaluation.write(path)
    kept = pq.read_table(path)
    last = np.arange(len(kept))[::-1]
    swapped = np.r_[: len(kept) - 2, last[:2]]
    for order in (last, swapped, np.roll(last[::-1], len(evaluation.users))):
        pq.write_table(kept.take(order), path)
        with pytest.raises(DataError, match="reordered"):
            Evaluation.read(path)
    pq.write_table(kept.slice(0, len(kept) - 1), path)
    with pytest.raises(DataError, match="not an evaluation"):
        Evaluation.read(path)


@pytest.mark.parametrize("rows", [7, 64, 10**6])
def test_a_file_is_read_however_its_rows_are_grouped(tmp_path: Path, evaluation: Evaluation, rows: int) -> None:
    """One row group of a large evaluation ends within the users of a metric."""
    path = tmp_path / "test.parquet"
    evaluation.write(path)
    pq.write_table(pq.read_table(path), path, row_group_size=rows)
    again = Evaluation.read(path)
    assert again.table.equals(evaluation.table)
    assert "table" not in vars(again), "whoever compares many evaluations would hold the long table of each"


@pytest.mark.parametrize("cutoffs", [(), (0,), (5, CATALOG), 0, 10.0, [5.0], "10", True])
def test_cutoffs_outside_the_catalog_are_refused(problem: tuple[Vectors, Part], cutoffs: Any) -> None:
    scorer, part = problem
    with pytest.raises(SettingsError, match=r"evaluate\.cutoffs: .* must be whole numbers from 1 to the catalog's 59"):
        evaluate(trained(scorer, CATALOG), part, cutoffs)


@pytest.mark.parametrize("cutoffs", [10, np.int64(10), [10], range(10, 11), np.array([10, 10])])
def test_a_single_cutoff_needs_no_list(problem: tuple[Vectors, Part], cutoffs: Any) -> None:
    scorer, part = problem
    assert evaluate(trained(scorer, CATALOG), part, cutoffs).cutoffs == (10,)


def test_without_cutoffs_those_that_the_catalog_has_are_taken(problem: tuple[Vectors, Part]) -> None:
    """Nobody who gave none should be told that 50 is more than the catalog has."""
    scorer, part = problem
    assert evaluate(trained(scorer, CATALOG), part).cutoffs == tuple(k for k in (5, 10, 20, 50) if k < CATALOG)


def test_no_questions_and_unknown_names_are_refused(problem: tuple[Vectors, Part], evaluation: Evaluation) -> None:
    scorer, part = problem
    with pytest.raises(DataError, match="no question"):
        evaluate(trained(scorer, CATALOG), part.take(np.array([], np.int64)), (5,))
    with pytest.raises(UsageError, match="did you mean 'ndcg@10'"):
        evaluation.per_user("ndgc@10")
    for asked in (lambda word: evaluation.per_user("ndcg@10", word), evaluation.means, evaluation.slices):
        for name, spelled in FILTERS.items():
            assert str(asked(name)) == str(asked(spelled))
        with pytest.raises(UsageError, match=r"filter 'sen' was not evaluated, 'seen' \(filtered\) and 'none'"):
            asked("sen")
    assert compare(evaluation, evaluation, filter="unfiltered").filter == "none"
    ours = replace(evaluation, values={"none": evaluation.values["none"]})
    with pytest.raises(UsageError, match=r"filter 'seen' was not evaluated, 'none' \(unfiltered\) was"):
        ours.means()


def test_a_larger_catalog_is_asked_in_its_own_codes(problem: tuple[Vectors, Part], evaluation: Evaluation) -> None:
    scorer, part = problem
    model = trained(scorer, CATALOG)
    asked = replace(part, items=model.items)
    # Every other code of the larger catalog is a new item that nobody likes.
    larger = Vocab(pl.Series("id", [f"i{code:06d}{tail}" for code in range(1, CATALOG) for tail in ("", "x")]))
    row = np.arange(2 * CATALOG - 1)
    old = torch.from_numpy((row + 1) // 2)
    scores = scorer.users_QD[old[:79]] @ scorer.items_ND[old].T
    scores[:, torch.from_numpy((row > 0) & (row % 2 == 0))] = -1e9
    wide = evaluate(replace(model, scorer=Matrix(scores), items=larger, popularity=row), asked, (5, 10))
    same = evaluate(model, asked, (5, 10))
    assert same.table.equals(evaluation.table)
    assert same.about.fingerprint["test"] == asked.fingerprint == evaluation.about.fingerprint["test"]
    assert wide.about.fingerprint["test"] == asked.recode(larger).fingerprint != asked.fingerprint
    for metric in ("ndcg@10", "recall@5"):
        np.testing.assert_allclose(wide.per_user(metric), same.per_user(metric))


@pytest.mark.parametrize(
    ("metrics", "coverage", "told"),
    [
        (("ndcg@10",), {"filtered": {}}, "mine on test (by hand): ndcg@10 0.1500, filtered; 2 users"),
        (("mrr@10", "hr@10", "map@10"), {}, "mine on test (by hand): mrr@10 0.1500, hr@10 0.1500, filtered; 2 users"),
        ((), {}, "mine on test (by hand): no metric, filtered; 2 users"),
    ],
)
def test_an_evaluation_made_by_hand_shows_what_it_has(
    metrics: tuple[str, ...], coverage: dict[str, dict[str, float]], told: str
) -> None:
    """Figures of another library in one comparison with ours: printing them was a KeyError."""
    about = About("mine", 7, "test", "by hand", 30, {}, 0.0, coverage, {})
    values = np.tile([0.1, 0.2], (len(metrics), 1))
    made = Evaluation(pl.Series(["a", "b"]), metrics, {"seen": values}, about)
    assert repr(made).startswith(told)
    assert all(name in made._repr_html_() for name in metrics)
