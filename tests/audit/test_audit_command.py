"""`siftrec audit` as a person meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from oracles import OnDisk

from siftrec.cli import main
from siftrec.data.catalog import Catalog
from siftrec.data.read import read
from siftrec.data.vocab import Vocab
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.noise.judge import judge

Stored = Callable[..., OnDisk]


@pytest.fixture
def log(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> OnDisk:
    """A log that the library's own judge knows the truth of."""
    made = stored(rho=0.5, users=400, items=400, length=10)
    monkeypatch.setattr("siftrec.noise.judge.judge", made.oracle)
    return made


def test_results_go_to_stdout_and_progress_to_stderr(
    log: OnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main.run(["audit", str(log.path), "--quick", "-o", str(out)]) == 0
    told = capsys.readouterr()
    sentences = json.loads((out / "audit.json").read_text())["verdict"]["sentences"]
    assert sentences.startswith("Weight it: ")
    assert told.out.rstrip().endswith(sentences)
    assert re.search(
        r"planted replace +AUROC 0.\d+, alone popularity 0.\d+, position 0.\d+, lifetime 0.\d+; ", told.out
    )
    assert re.search(
        "<small>position 0.[0-9]+</small><small>lifetime 0.[0-9]+</small>", (out / "audit.html").read_text()
    )
    assert told.err.startswith("about ")
    assert "[6/6] write the results" in told.err
    for text in (told.err, (out / "audit.html").read_text()):
        assert "for training a final model, not for an experiment" in text, (
            "who compares on these weights sees the answers"
        )
    assert sentences.partition(":")[0] in (out / "audit.html").read_text()
    held = {each.name for each in out.iterdir()}
    assert held == {"audit.json", "weighted.parquet", "audit.html", "events.parquet", "manifest.json"}


def test_columns_with_names_of_their_own(log: OnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who has `who, sku, when` is told how to say so, and gets the log back as it was, with weights."""
    odd, out = tmp_path / "odd.csv", tmp_path / "out"
    pl.read_parquet(log.path).select("user", "item", "time").rename(
        {"user": "who", "item": "sku", "time": "when"}
    ).write_csv(odd)
    assert main.run(["audit", str(odd), "--quick"]) == 3
    assert "no column is recognised as the user" in (said := capsys.readouterr().err)
    assert "--user" in said
    named = ["--user", "who", "--item", "sku", "--time", "when"]
    assert main.run(["audit", str(odd), "--quick", *named, "-o", str(out)]) == 0
    again = pl.read_csv(out / "odd.csv")
    assert again.columns == ["who", "sku", "when", "weight"]
    assert again.drop("weight").equals(pl.read_csv(odd))


def test_json_alone_on_stdout(log: OnDisk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", str(log.path), "--quick", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["verdict"]["answer"]) == (1, "weight it")
    assert all(isinstance(each["user"], str) for each in told["log"]["looks"][1]["examples"])


def test_the_detector_is_chosen_and_written(stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights, verdict and what could be found are all by the detector that was named, and say so."""
    log, out = stored(rho=0.3, users=250, items=400, length=8), tmp_path / "out"
    assert main.run(["audit", str(log.path), "--quick", "--detector", "Cooccurrence", "-o", str(out)]) == 0
    told, asked = json.loads((out / "audit.json").read_text()), {"use": "siftrec:Cooccurrence", "smoothing": 0.5}
    assert told["noise"]["detector"] == asked
    assert all(each["detection"]["detector"] == asked for each in told["findable"])
    assert "the detector <bdi>Cooccurrence</bdi>, chosen in place of the default" in (out / "audit.html").read_text()
    noise = pl.read_parquet(out / "weighted.parquet")["noise"].to_numpy()
    events = read(log.path)
    own = judge(events.sequences(events.users, Vocab.of(events.items)), Catalog(events.items), detector=Cooccurrence())
    np.testing.assert_array_equal(np.sort(noise), np.sort(own.noise))
    capsys.readouterr()
    assert main.run(["audit", str(log.path), "--quick", "--detector", "Agreement"]) == 3
    assert "error: detector: Agreement needs content vectors; without any" in capsys.readouterr().err
    assert main.run(["audit", str(log.path), "--detector", "SVD"]) == 2
    assert "not one of 'Likelihood', 'Cooccurrence', 'Agreement', 'Blend'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--features", "text"], 2, "--features 'text' is not NAME=PATH"),
        (["--features", "a=x.npy", "--features", "a=y.npy"], 2, "names 'a' twice"),
        (["--features", "a=x.npy"], 3, "x.npy"),
        (["--features", "ids=x.npy"], 2, "--features 'ids=x.npy' is not NAME=PATH"),
        (["--features", "a=,ids.tsv"], 2, "is not NAME=PATH or NAME=PATH,IDS"),
        (["--features", "a=x.npy,ids.tsv"], 3, "x.npy"),
    ],
)
def test_wrong_features_are_refused_in_one_line(
    log: OnDisk, arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["audit", str(log.path), *arguments]) == code
    assert says in capsys.readouterr().err


def test_vectors_are_given_with_the_ids_of_their_rows_and_a_comma_may_be_in_a_path(
    log: OnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = pl.read_parquet(log.path)["item"].unique().sort().to_list()
    vectors = np.random.default_rng(1).normal(size=(len(items), 4)).astype(np.float32)
    (tmp_path / "d,e").mkdir()
    np.save(tmp_path / "d,e" / "v.npy", vectors)
    (tmp_path / "rows.txt").write_text("\n".join(map(str, items)))
    pl.DataFrame({"item": items, "vector": vectors}).write_parquet(tmp_path / "d,e" / "v.parquet")
    for given in (f"{tmp_path / 'd,e' / 'v.npy'},{tmp_path / 'rows.txt'}", str(tmp_path / "d,e" / "v.parquet")):
        assert main.run(["audit", str(log.path), "--quick", "--features", f"look={given}", "--json", "-"]) == 0
        assert json.loads(capsys.readouterr().out)["modalities"]["look"] == {"width": 4, "coverage": 1.0}


def test_the_folder_one_stands_in_is_refused_before_any_work_for_it_would_be_swapped_away(
    log: OnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main.run(["audit", str(log.path), "--quick", "-o", "."]) == 6
    told = capsys.readouterr()
    assert "is the current folder; choose another" in told.err
    assert not told.out
    assert not list((tmp_path / "here").iterdir())
    monkeypatch.chdir(tmp_path)
    assert main.run(["audit", str(tmp_path / "none.csv"), "-o", "."]) == 2
    assert "already holds" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(
    log: OnDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["audit", str(log.path), "-o", str(log.path)]) == 6
    told = capsys.readouterr()
    assert "a file stands where a folder is needed" in told.err
    assert "about " not in told.err


def test_page_and_json_say_what_the_weights_are_compared_with(log: OnDisk, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main.run(["audit", str(log.path), "--quick", "-o", str(out)]) == 0
    gains = json.loads((out / "audit.json").read_text())["verdict"]["gains"]
    text, baselines = (out / "audit.html").read_text(), [each["against"] for each in gains[:-1]]
    raw, level = (text.count(f">weights against {what}<") for what in ("the log as it is", "one mean weight for all"))
    assert (raw, level) == (baselines.count("raw"), baselines.count("level"))
    assert gains[-1]["against"] == (baselines[0] if len(set(baselines)) == 1 else "mixed")


def test_a_full_folder_and_a_missing_log_are_refused(
    log: OnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["audit", str(log.path), "-o", str(tmp_path)]) == 2
    assert "already holds 'events.parquet'" in capsys.readouterr().err
    assert main.run(["audit", str(tmp_path / "none.csv")]) == 3
    assert "does not exist" in capsys.readouterr().err
