"""`siftrec recommend --explain`, and what a run of Demure over two modalities gives to the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import siftrec as sr
from cli.modal import modal_run
from siftrec.cli.main import run


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
