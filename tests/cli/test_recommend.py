"""`siftrec recommend --explain`, and what a run of Demure over two modalities gives to the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from cli.modal import modal_run
from siftrec.cli.main import run
from siftrec.cli.runs import experiment_of
from siftrec.errors import UsageError


@pytest.fixture(scope="module")
def demure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return modal_run(tmp_path_factory.mktemp("demure"))


def test_explain_is_the_function_s_answer_as_json(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(demure), "--history", "v01,v04,zzz", "-k", "2", "--explain", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (len(told["items"]), told["unknown"]) == (2, ["zzz"])
    known = sr.explain(sr.load(demure), ["v01", "v04"])
    assert told["explanation"]["unread"] == 0
    for row, each in zip(told["explanation"]["interactions"], known, strict=True):
        expected = {"item": each.item, "attention": each.share, "noise": each.noise, "modalities": each.modalities}
        assert row == expected
    assert told["explanation"]["interactions"][1]["modalities"]["image"] is None


def test_explain_on_a_terminal_names_titles_and_modalities(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(demure), "--history", "v01,v04", "-k", "2", "--explain"]) == 0
    *_, head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["what", "counted", "attention", "text", "image"]
    assert first.startswith("<i>One</i>")
    assert second.split()[-1] == "-"
    assert second.split()[-2] == "100%"


def test_without_explain_the_answer_is_as_it_was(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(demure), "--history", "v01", "-k", "2", "--json", "-"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"items", "unknown", "fallback"}


def test_a_history_of_which_nothing_is_known_has_nothing_to_explain(
    demure: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recommend", str(demure), "--history", "zzz", "--explain"]) == 0
    assert "what counted" not in capsys.readouterr().out


def test_explain_does_not_go_with_a_file(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(demure), "--file", "h.parquet", "-o", "o.parquet", "--explain"]) == 2
    assert "--explain go with --history" in capsys.readouterr().err


def test_a_method_without_an_opinion_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = modal_run(tmp_path, use="siftrec:ItemKNN")
    capsys.readouterr()
    assert run(["recommend", str(counted), "--history", "v01", "--explain"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: ItemKNN has no opinion of single interactions; train siftrec:CCL4Rec or siftrec:Demure\n"


def shown(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["items"]
    return items


def answered(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [each["item"] for each in shown(capsys)]


def test_what_may_be_recommended_is_the_caller_s_choice(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who comes back to what they had is served with --seen; what is sold out must not come, whatever it scores."""
    ask = ["recommend", str(demure), "--history", "v01,v04", "-k", "500", "--json", "-"]
    assert run(ask) == 0
    usual = answered(capsys)
    assert run([*ask, "--seen"]) == 0
    assert set(answered(capsys)) == {*usual, "v01", "v04"}
    assert run([*ask, "--exclude", usual[0]]) == 0
    assert answered(capsys) == usual[1:]
    assert run([*ask, "--only", f"{usual[3]}, {usual[1]}"]) == 0
    assert answered(capsys) == [usual[1], usual[3]]


def test_an_id_with_a_comma_is_quoted(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(demure), "--history", 'v01, "a,b",v04', "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown"] == ["a,b"]


def test_ids_that_limit_nothing_are_said(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt --exclude would let through what must not come."""
    assert run(["recommend", str(demure), "--history", "v01", "--exclude", "v04,nope", "--json", "-"]) == 0
    assert "--exclude: unknown and skipped: nope" in capsys.readouterr().err
    assert run(["recommend", str(demure), "--history", "v01", "--only", "nope"]) == 2
    assert "--only nope: none of these is in the catalog" in capsys.readouterr().err
    assert run(["recommend", str(demure), "--history", 'v01,"v04']) == 2
    assert "are no ids separated by commas" in capsys.readouterr().err
    assert run(["recommend", str(demure), "--history", "v01,\nzzz", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown"] == ["zzz"]


def test_a_file_of_recommendations_is_called_what_it_is(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(demure), "--file", "h.parquet", "-o", "o.csv"]) == 2
    assert "must end in .parquet" in capsys.readouterr().err


def test_text_is_no_list_of_ids(demure: Path) -> None:
    """Taken letter by letter it would be an unknown history, answered by what is popular."""
    model = sr.load(demure)
    calls = (
        lambda: model.recommend("v01"),
        lambda: sr.explain(model, "v01"),
        lambda: model.recommend_table({"anna": "v01"}),
    )
    for call in calls:
        with pytest.raises(UsageError, match=r"'v01'.* is text; a list of item ids is needed"):
            call()


def test_users_of_the_log_are_asked_for_by_id(demure: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who serves the people of the log should not have to cut their histories out of it."""
    events = experiment_of(demure, None).data.read().frame
    user = events["user"][0]
    history = events.filter(pl.col("user") == user)["item"].to_list()
    assert run(["recommend", str(demure), "--history", ",".join(history), "-k", "3", "--json", "-"]) == 0
    wanted = shown(capsys)
    assert run(["recommend", str(demure), "--user", str(user), "-k", "3", "--json", "-"]) == 0
    assert shown(capsys) == wanted
    assert run(["recommend", str(demure), "--all-users", "-k", "3", "-o", str(tmp_path / "all.parquet")]) == 0
    listed = pl.read_parquet(tmp_path / "all.parquet")
    assert listed["user"].n_unique() == events["user"].n_unique()
    mine = listed.filter(pl.col("user") == user)
    assert mine.select("rank", "item", "score").to_dicts() == wanted, "scores alone are those in a batch"
    capsys.readouterr()
    assert run(["recommend", str(demure), "--user", "nobody"]) == 3
    assert "has no user 'nobody'" in capsys.readouterr().err


def test_who_has_many_histories_answered_is_told_how_far_it_is(
    demure: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["recommend", str(demure), "--all-users", "-k", "3", "-o"]
    assert run([*asked, str(tmp_path / "at_once.parquet")]) == 0
    monkeypatch.setattr("siftrec.cli.recommend._AT_ONCE", 4)
    monkeypatch.setattr("siftrec.cli.console._PLAIN_SECONDS", -1.0)
    assert run([*asked, str(tmp_path / "in_turn.parquet")]) == 0
    at_once, in_turn = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("at_once", "in_turn"))
    assert in_turn.equals(at_once)
    assert f"histories: 4 of {at_once['user'].n_unique()}, about " in capsys.readouterr().err


def test_the_recipe_for_python_gives_the_table_of_the_command(tmp_path: Path) -> None:
    """What was shown and not clicked is no history; read as one, everybody's list was another than the command's."""
    rng = np.random.default_rng(4)
    rows = [(f"u{u}", f"v{i}", t, int(t % 3 > 0)) for u in range(40) for t, i in enumerate(rng.permutation(20)[:9])]
    shown = [("onlooker", "v1", 1, 0)]
    pl.DataFrame(rows + shown, schema=["user", "item", "ts", "label"], orient="row").write_csv(tmp_path / "log.csv")
    method = '[method]\nuse = "siftrec:Markov"\n[evaluate]\ncutoffs = [5]\n'
    (tmp_path / "exp.toml").write_text(f'[data]\npath = "log.csv"\ntime = "ts"\n{method}')
    assert run(["train", str(tmp_path / "exp.toml"), "-o", str(tmp_path / "run")]) == 0
    assert run(["recommend", str(tmp_path / "run"), "--all-users", "-k", "5", "-o", str(tmp_path / "all.parquet")]) == 0
    histories = sr.read(tmp_path / "log.csv", time="ts").histories()
    assert sr.load(tmp_path / "run").recommend_table(histories, k=5).equals(pl.read_parquet(tmp_path / "all.parquet"))
    assert "onlooker" not in histories["user"], "nothing is known of who clicked nothing"
