"""Lists that somebody else made are judged as a model that gives them would be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import siftrec as sr
from siftrec.data.loader import pad
from siftrec.errors import DataError, UsageError


@pytest.fixture(scope="module")
def split() -> sr.Split:
    rng = np.random.default_rng(3)
    users, items = 40, 60
    rows = [(f"u{u:02}", f"i{i:02}", t) for u in range(users) for t, i in enumerate(rng.integers(0, items, 3 + u % 9))]
    return sr.leave_one_out(sr.read(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")))


@pytest.fixture(scope="module")
def model(split: sr.Split) -> sr.Trained:
    return sr.fit(sr.ItemKNN(), split)


@pytest.fixture(scope="module")
def lists(split: sr.Split, model: sr.Trained) -> pl.DataFrame:
    """The whole catalog for every test user, nothing left out, in the order in which ranking breaks ties."""
    part, found = split.test, []
    for row, user in enumerate(part.user_ids):
        items_BL = torch.from_numpy(part.histories.take(np.array([row])).items.astype(np.int64)).unsqueeze(0)
        scores_N = model.scorer.scores(items_BL)[0, 1:]
        order = torch.sort(scores_N, descending=True, stable=True).indices.numpy()
        found.append(pl.DataFrame({"item": split.items.decode(order + 1)}).with_columns(user=pl.lit(user)))
    return pl.concat(found).with_columns(rank=pl.int_range(1, pl.len() + 1).over("user"))


def test_lists_of_a_model_have_its_figures(split: sr.Split, model: sr.Trained, lists: pl.DataFrame) -> None:
    """Every metric, filter, slice and mean: another library's lists would else be judged by another measure."""
    expected, found = sr.evaluate(model, split.test), sr.evaluate_lists(lists, split)
    assert found.metrics == expected.metrics
    for filter in ("seen", "none"):
        np.testing.assert_array_equal(found.values[filter], expected.values[filter])
    assert found.about.coverage == expected.about.coverage
    assert found.about.slices == expected.about.slices
    told = sr.compare(found, expected, metric="ndcg@10")
    assert told.difference == 0


def test_lists_may_come_in_any_form_and_order(split: sr.Split, lists: pl.DataFrame, tmp_path) -> None:
    expected = sr.evaluate_lists(lists, split, method="mine", seed=4)
    others = lists.with_columns(user=pl.lit("nobody that is asked")).head(3)
    scored = lists.select("user", "item", score=-pl.col("rank") / 7)
    mapping = {user: rows["item"].to_list() for (user,), rows in lists.group_by("user", maintain_order=True)}
    for given in (
        pl.concat([others, lists]).sample(fraction=1, shuffle=True, seed=1),
        scored.sample(fraction=1, shuffle=True, seed=1).to_pandas(),
        lists.drop("rank").to_arrow(),
        mapping,
    ):
        found = sr.evaluate_lists(given, split, method="mine", seed=4)
        np.testing.assert_array_equal(found.values["seen"], expected.values["seen"])
    expected.write(tmp_path / "mine.parquet")
    assert "mine" in str(sr.Evaluation.read(tmp_path / "mine.parquet"))


def test_equal_scores_are_broken_and_counted_as_those_of_a_model(split: sr.Split) -> None:
    """Whoever writes the target first among equal scores would have a perfect list, and nothing would tell of it."""
    part, items = split.test, split.items.ids
    popular = split.fitting.popularity[1:].astype(float)
    for scores in (np.zeros(len(items)), popular):
        rows = [
            pl.DataFrame({"item": items, "score": scores})
            .with_columns(user=pl.lit(user))
            .sort(items == target, descending=True)
            for user, target in zip(part.user_ids, split.items.decode(part.targets.items), strict=True)
        ]
        found = sr.evaluate_lists(pl.concat(rows), split)
        if scores is popular:
            expected = sr.evaluate(sr.fit(sr.Popularity(), split), part)
            np.testing.assert_array_equal(found.values["none"], expected.values["none"])
            assert found.about.tied == expected.about.tied
        else:
            assert (found.about.tied, "100.0% of targets tied" in str(found)) == (1.0, True)
            assert found.means("none")["hr@5"] == np.mean(part.targets.items <= 5)


def test_a_rank_given_twice_in_one_list_is_refused(split: sr.Split, lists: pl.DataFrame) -> None:
    """The order of the rows would decide who is first, which the column says it does."""
    with pytest.raises(DataError, match=r"^lists: user 'u00' has rank 1 twice; each rank may stand once in a list"):
        sr.evaluate_lists(lists.with_columns(rank=pl.lit(1)), split)
    assert sr.evaluate_lists(lists, split).about.tied == 0


@pytest.mark.parametrize("name", ["lists.csv", "lists.tsv", "lists.parquet", "lists.jsonl"])
def test_who_has_lists_in_a_file_gives_its_path(split: sr.Split, lists: pl.DataFrame, tmp_path, name: str) -> None:
    """RecTools and RecBole write `user_id` and `item_id`; a path was told to be no path."""
    named = lists.rename({"user": "user_id", "item": "item_id"}).sample(fraction=1, shuffle=True, seed=1)
    path, expected = tmp_path / name, sr.evaluate_lists(lists, split)
    write = {".csv": named.write_csv, ".parquet": named.write_parquet, ".jsonl": named.write_ndjson}
    write.get(path.suffix, lambda path: named.write_csv(path, separator="\t"))(path)
    for given in (path, str(path), named.with_columns(item=named["item_id"])):
        np.testing.assert_array_equal(sr.evaluate_lists(given, split).values["none"], expected.values["none"])


def test_who_has_a_matrix_of_scores_can_follow_the_recipe(split: sr.Split, model: sr.Trained) -> None:
    """The rows and columns that the page names must be those of the split, or every score is another item's."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "own-data.md").read_text("utf-8")
    (recipe,) = re.findall(r"^scores = [^\n]*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    histories, found = pad(split.test.histories, np.arange(len(split.test)), 12), list[sr.Evaluation]()
    scores = model.scorer.scores(histories)[:, 1:].numpy()
    exec(recipe, {"np": np, "sr": sr, "split": split, "scores": scores, "print": found.append})
    np.testing.assert_array_equal(found[0].values["seen"], sr.evaluate(model, split.test).values["seen"])


def test_what_is_not_in_the_catalog_keeps_its_place(split: sr.Split, lists: pl.DataFrame) -> None:
    """Left out, it would move every item behind it up, and a list of items nobody can get would look better."""
    schema = {"user": pl.String, "item": pl.String, "rank": pl.Int64}
    first = pl.DataFrame({"user": split.test.user_ids, "item": "unheard of", "rank": 0}, schema)
    more = pl.concat([first, lists.select(pl.col(name).cast(kind) for name, kind in schema.items())])
    before, after = sr.evaluate_lists(lists, split), sr.evaluate_lists(more, split)
    place, moved = (each.per_user("mrr@50", "none") for each in (before, after))
    here = moved > 0
    np.testing.assert_allclose(1 / moved[here], 1 / place[here] + 1)


def test_a_short_list_is_told_and_what_it_lacks_is_not_found(split: sr.Split, lists: pl.DataFrame) -> None:
    with pytest.warns(UserWarning, match=r"40 of 40 users have fewer than 20 items .* not found"):
        found = sr.evaluate_lists(lists.filter(pl.col("rank") <= 3), split, cutoffs=[3, 20])
    np.testing.assert_array_equal(found.per_user("recall@3", "none"), found.per_user("recall@20", "none"))
    with pytest.warns(UserWarning, match="1 of 40"):
        lacking = sr.evaluate_lists(lists.filter(pl.col("user") != "u07"), split)
    assert lacking.per_user("hr@50")[lacking.users.to_list().index("u07")] == 0


def test_lists_that_cannot_be_judged_are_refused_in_one_line(split: sr.Split, lists: pl.DataFrame) -> None:
    for given, problem in (
        (pl.concat([lists, lists.head(1)]), r"user 'u00' has item 'i\d\d' twice"),
        (lists.rename({"item": "sku"}), "has no column 'item', only "),
        (lists.with_columns(user=pl.lit("x")), "no list is of a user that is asked"),
        (lists.with_columns(item=pl.lit("x")), "no item is in the catalog"),
        (lists.with_columns(rank=pl.lit("first")), "'rank' is not a number"),
        (lists.clear(), "hold no recommendation"),
        ({"u00": []}, "hold no recommendation"),
        ({"u00": ["i01"], "u01": [1]}, "numbers in some lists and text in others"),
        (
            3,
            "int is none of what can be judged: a table with columns user and item, the path of one, or a dict of user",
        ),
        (np.zeros((40, 60)), "ndarray is none of what can be judged: .* or a dict of user → item ids"),
        ("nowhere.csv", "nowhere.csv: does not exist"),
    ):
        with pytest.raises(DataError, match=problem):
            sr.evaluate_lists(given, split)
    with pytest.raises(UsageError, match="give the split"):
        sr.evaluate_lists(lists, split.test)  # type: ignore[arg-type]
