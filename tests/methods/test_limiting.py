"""Limits of many users: whoever excludes or allows in any usual form gets that, or is told in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from siftrec.data.read import read
from siftrec.data.split import leave_one_out
from siftrec.errors import DataError, UsageError
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.sasrec import SASRec
from siftrec.methods.trained import Trained
from siftrec.train.fit import fit

HISTORIES = {7: [1, 2], 8: [3, 4], 9: [5, 6]}


@pytest.fixture(scope="module", params=[SASRec(dim=8), ItemKNN()], ids=lambda method: type(method).__name__)
def model(request: pytest.FixtureRequest) -> Trained:
    """Of numbers for ids; one method that has vectors, and one that has none."""
    rng = np.random.default_rng(3)
    rows = [(u, int(i), t) for u in range(40) for t, i in enumerate(rng.permutation(20)[:8])]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    return fit(request.param, leave_one_out(read(log)), epochs=1)


PAIRS = {"user": [8, 8], "item": [10, 11]}
OWN: dict[str, Any] = {
    "numbers": {8: [10, 11]},
    "text": {"8": ["10", "11"]},
    "NumPy": {np.int64(8): np.array([10, 11])},
    "pandas": pd.DataFrame(PAIRS),
    "floats of pandas": pd.DataFrame(PAIRS).astype(float),
    "index of pandas": pd.DataFrame(PAIRS).set_index("user"),
    "polars": pl.DataFrame(PAIRS),
    "lazy": pl.LazyFrame(PAIRS),
    "arrow": pa.table(PAIRS),
}


@pytest.mark.parametrize("form", OWN)
def test_an_exclusion_holds_in_every_form(model: Trained, form: str) -> None:
    """One that silently does nothing recommends what was bought, sold out or forbidden."""
    free = model.recommend_table(HISTORIES, k=20)
    found = model.recommend_table(HISTORIES, k=20, exclude=OWN[form])
    kept = (pl.col("user") != 8) | ~pl.col("item").is_in([10, 11])
    assert found.drop("rank").equals(free.filter(kept).drop("rank"))
    assert len(found) == len(free) - 2


@pytest.mark.parametrize("form", OWN)
def test_candidates_of_each_user_hold_in_every_form(model: Trained, form: str) -> None:
    """Candidates from elsewhere are ranked again; taken for ids, the users left nothing to choose from."""
    mine = {8: HISTORIES[8]}
    assert model.recommend_table(mine, only=OWN[form])["item"].sort().to_list() == [10, 11]


def test_candidates_of_each_user_are_ranked_as_alone(model: Trained) -> None:
    only = {7: [12, 13, 1], 8: [], 9: [14, 5]}
    for seen in (False, True):
        table = model.recommend_table(HISTORIES, k=5, only=only, seen=seen)
        for user, history in HISTORIES.items():
            one = model.recommend(history, k=5, only=only[user], seen=seen)
            rows = table.filter(user=user)
            assert (rows["item"].to_list(), rows["score"].to_list()) == (one.items, one.scores)
    cold = model.recommend_table({**HISTORIES, 10: []}, only=only | {10: [12]})
    assert cold.filter(user=10)["item"].to_list() == [12], "popularity answers from the candidates, too"


def test_users_without_candidates_are_named(model: Trained) -> None:
    """Left out of the table, they would be noticed when they are shown nothing; given everything, not even then."""
    with pytest.raises(UsageError, match=r"only: 2 of 3 users have none, as 7; give each a list, \[\] for nothing"):
        model.recommend_table(HISTORIES, only={8: [10]})


@pytest.mark.parametrize("name", ["exclude", "only"])
def test_limits_that_cannot_be_meant_are_refused_in_one_line(model: Trained, name: str) -> None:
    wrong = {
        "has no column 'item'; a table needs `user` and `item`": pd.DataFrame({"user": [8], "vid": [10]}),
        "holds lists where ids belong; of each user's own give user → ids": pd.Series({8: [10, 11]}),
    }
    for told, given in wrong.items():
        with pytest.raises((DataError, UsageError), match=f"{name}: {told}") as error:
            model.recommend_table(HISTORIES, **{name: given})
        assert "\n" not in str(error.value)
    for given in (pd.DataFrame(PAIRS), pl.DataFrame(PAIRS), pl.LazyFrame(PAIRS), pa.table(PAIRS), {8: [10]}):
        with pytest.raises(
            UsageError, match="is no list of item ids; what holds those of many users is for recommend_t"
        ):
            model.recommend([1], **{name: given})
    with pytest.raises(UsageError, match="a DataFrame is no list of item ids"):
        model.recommend_many(pl.DataFrame({"user": [7], "history": [[1, 2]]}))


def test_what_limits_nothing_is_told(model: Trained) -> None:
    """`Recommendations.ignored` says it of one history; of a table nobody said it, and a misspelt key let all through."""
    free = model.recommend_table(HISTORIES)
    with pytest.warns(UserWarning, match=r"^exclude: 2 of its 3 users have no history here, as 'u-8'$"):
        found = model.recommend_table(HISTORIES, exclude={"u-8": ["10"], "08": ["10"], "7": ["10"]})
    assert found.filter(pl.col("user") > 7).equals(free.filter(pl.col("user") > 7))
    for given in ([10, 98, 99], {8: [10, 98], 7: [98, 99]}):
        with pytest.warns(UserWarning, match=r"^exclude: 2 ids are not in the catalog, as 98$") as told:
            model.recommend_table(HISTORIES, exclude=given)
        assert [note.filename for note in told] == [__file__], "the caller's line is shown"
    with pytest.warns(UserWarning, match=r"^only: 1 ids are not in the catalog, as 'I 1'$"):
        assert model.recommend_table(HISTORIES, only=["I 1"]).is_empty()
    assert model.recommend_table({}, exclude={8: [10]}).is_empty()


def test_a_table_says_which_rows_are_only_popular(model: Trained) -> None:
    """Histories with ids of another spelling gave everybody the popular items, and looked like an answer."""
    table = model.recommend_table({7: [1, 2], 8: [98], 9: []}, k=2)
    assert table["fallback"].to_list() == [False, False, True, True, True, True]
    with pytest.warns(UserWarning, match=r"popularity answered: no id of any history is in the .* are Int64 like 0$"):
        spelled = model.recommend_table({7: ["I 1", "I 2"], 8: ["I 3"]}, k=2)
    assert spelled["fallback"].all()
