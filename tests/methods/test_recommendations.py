from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from siftrec.artifact import save
from siftrec.data.catalog import Catalog
from siftrec.data.read import read
from siftrec.data.split import leave_one_out
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, UsageError
from siftrec.evaluate.evaluation import evaluate
from siftrec.methods.answers import codes_of, codes_of_each
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.sasrec import SASRec
from siftrec.methods.trained import Trained
from siftrec.train.fit import fit


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    rng = np.random.default_rng(3)
    rows = [(f"u{u}", f"i{i}", t) for u in range(40) for t, i in enumerate(rng.permutation(30)[:8])]
    return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")


@pytest.fixture(scope="module")
def model(log: pl.DataFrame) -> Trained:
    return fit(SASRec(dim=8), leave_one_out(read(log)), epochs=1)


def test_a_table_of_answers_is_the_single_answers_below_each_other(log: pl.DataFrame, model: Trained) -> None:
    histories = read(log).histories()
    table = model.recommend_table(histories, k=3)
    types = {"user": pl.String, "rank": pl.Int32, "item": pl.String, "score": pl.Float32, "fallback": pl.Boolean}
    assert table.schema == types
    for user, history in histories.iter_rows():
        one, mine = model.recommend(history, k=3), table.filter(user=user)
        assert mine["item"].to_list() == one.items
        assert mine["score"].to_list() == one.scores, "to the last bit: whoever cuts at a score must cut alike"
        assert mine["rank"].to_list() == [1, 2, 3]
    assert model.recommend_table(dict(histories.iter_rows()), k=3).equals(table)
    assert model.recommend_table(histories.to_pandas(), k=3).equals(table)


def test_everybody_has_limits_of_their_own(model: Trained) -> None:
    """Whoever filters what each user bought elsewhere would otherwise call once per user."""
    free = model.recommend_table({"a": ["i1"], "b": ["i1"]}, k=2)
    best = free["item"][0]
    limited = model.recommend_table({"a": ["i1"], "b": ["i1"]}, k=2, exclude={"a": [best]})
    assert best not in limited.filter(user="a")["item"].to_list()
    assert limited.filter(user="b").equals(free.filter(user="b"))
    assert best not in model.recommend_table({"a": ["i1"]}, exclude=[best])["item"].to_list()


def test_nobody_asked_is_an_empty_table(model: Trained) -> None:
    assert model.recommend_table({}).is_empty()


@pytest.mark.parametrize("given", [{"user": ["a"]}, {"user": ["a"], "history": ["i1,i2"]}])
def test_what_are_no_histories_is_named(model: Trained, given: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match="history"):
        model.recommend_table(pd.DataFrame(given))


def test_limits_that_are_in_no_catalog_are_told(model: Trained) -> None:
    """A misspelt id limits nothing, and what it was to keep away is recommended."""
    answer = model.recommend(["i1"], exclude=["I2 "], only=["i3", "i4", "nowhere"])
    assert answer.ignored == ("I2 ", "nowhere")
    assert set(answer.items) <= {"i3", "i4"}


def test_item_and_user_vectors_give_the_scores(log: pl.DataFrame, model: Trained) -> None:
    ids, vectors_nD = model.item_vectors()
    history = ["i1", "i5", "i9"]
    scores_n = vectors_nD @ model.users([history])[0].numpy()
    best = model.recommend(history, k=5, seen=True)
    assert [ids[row] for row in np.argsort(-scores_n, kind="stable")[:5]] == best.items
    np.testing.assert_allclose(np.sort(scores_n)[::-1][:5], best.scores, rtol=1e-5)
    with pytest.raises(UsageError, match="no vectors"):
        fit(ItemKNN(), leave_one_out(read(log))).item_vectors()


def test_an_item_that_was_never_trained_on_is_like_none(log: pl.DataFrame) -> None:
    """Its vector was drawn, and nothing has moved it: what points the same way does so by chance."""
    split, whole = leave_one_out(read(log)), [f"i{i}" for i in range(30)]
    model = fit(SASRec(dim=8), split, Catalog(["new", *whole]), epochs=1)
    assert model.similar("new") == []
    assert len(model.similar("i1", k=30)) == 29
    assert "new" not in dict(model.similar("i1", k=30))


@pytest.mark.parametrize("ids", [[True], ["\ud800"], [["i1"]]])
def test_what_is_no_id_is_named(model: Trained, ids: list[object]) -> None:
    with pytest.raises(DataError, match="ids are"):
        model.recommend(ids)


@pytest.mark.parametrize(
    ("histories", "says"),
    [
        ({"a": ["i1", float("nan")]}, "item ids that are neither all text nor all numbers: 'i1', nan"),
        ({"a": ["i1"], "b": [2]}, "item ids that are neither all text nor all numbers: 'i1', 2"),
        ({"a": ["i1", 2]}, "item ids that are neither all text nor all numbers: 'i1', 2"),
        ({"a": ["i1"], 5: ["i2"]}, "user ids are neither all text nor all numbers: 'a', 5"),
        ({"a": None}, "None, the history of 'a', is no list"),
        ({"a": 5}, "5, the history of 'a', is no list"),
        (pl.Series([["i1"]]), "Series is a single column; give a table"),
        (pd.Series({"a": "i1"}), "'i1', the history of 'a', is text"),
        ([["i1"]], "list is no path and no table"),
    ],
)
def test_histories_that_are_none_are_refused_in_one_line(histories: object, says: str, model: Trained) -> None:
    """A traceback of Polars about building a Series names neither the user nor what to do."""
    with pytest.raises((DataError, UsageError)) as error:
        model.recommend_table(histories)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_histories_grouped_by_pandas_are_taken(log: pl.DataFrame, model: Trained) -> None:
    grouped = log.to_pandas().groupby("user")["item"].apply(list)
    assert model.recommend_table(grouped, k=3).equals(model.recommend_table(read(log).histories(), k=3))


@pytest.mark.parametrize("kind", ["text", "table", "nothing"])
def test_what_is_no_model_is_refused_in_one_line(kind: str, log: pl.DataFrame, tmp_path: Path) -> None:
    """Another library's recommendations in a table, or the name of a run, gave a traceback."""
    thing: Any = {"text": "m1", "table": log, "nothing": None}[kind]
    for used in (lambda: evaluate(thing, leave_one_out(read(log)).test), lambda: save(thing, tmp_path / "q")):
        with pytest.raises(UsageError, match=r"^trained: \w+ is no trained model; give what siftrec.fit returned"):
            used()
    assert not (tmp_path / "q").exists()


def test_ids_of_many_histories_are_looked_up_together(model: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one they were a third of the time of `recommend --file`."""
    looked, encode = [], Vocab.encode
    monkeypatch.setattr(Vocab, "encode", lambda *given, **more: looked.append(given) or encode(*given, **more))
    answers = model.recommend_many([[f"i{item}", "nowhere"] for item in range(20)], k=2)
    assert len(looked) < 5
    assert [answer.unknown for answer in answers] == [["nowhere"]] * 20


@pytest.mark.parametrize("ids", [["1", "2", "30"], [1, 2, 30]])
@pytest.mark.parametrize(
    "histories",
    [
        [],
        [[]],
        [["2", "1", "x"], [], ["30"]],
        [[2, 1, 9], [], [30], [2**63, 1]],
        [[2, 1], ["30"], [1.0, 2.5], (2, 2), np.array([30, 1]), pl.Series(["2"])],
        [[2, None], [None], [1]],
    ],
)
def test_histories_have_the_codes_that_each_has_alone(ids: list[Any], histories: list[Any]) -> None:
    vocab = Vocab(pl.Series("id", ids))
    together, alone = codes_of_each(histories, vocab), [codes_of(history, vocab) for history in histories]
    assert [codes.tolist() for codes in together] == [codes.tolist() for codes in alone]
    assert {codes.dtype for codes in together} <= {np.dtype(np.int32)}


def test_of_many_histories_the_one_at_fault_is_named() -> None:
    vocab = Vocab(pl.Series("id", ["a"]))
    with pytest.raises(DataError, match="'a\\\\ud800'"):
        codes_of_each([["a"], ["a\ud800"]], vocab)
    with pytest.raises(UsageError, match="'ab' is text"):
        codes_of_each([["a"], "ab"], vocab)
