"""Weights that were given with the test part in view are called so, by whoever gives and whoever takes them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from siftrec.cli.main import run
from siftrec.data.sequences import Sequences
from siftrec.data.weighed import knows_answers
from siftrec.noise.judge import judge
from siftrec.noise.sift import FINAL

EXP = '[data]\npath = "{}"\n[method]\nuse = "siftrec:Popularity"\n[evaluate]\ncutoffs = [3]\n'


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is what is said of a judgement, and any will do."""

    def quickly(log: Sequences, catalog: sr.Catalog, **how: object) -> sr.NoiseScores:
        return judge(log, catalog, detector=sr.Cooccurrence())

    monkeypatch.setattr("siftrec.noise.sift.judge", quickly)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four tastes among 400 users, and now and then an item of another."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user:03d}", f"i{rng.integers(4) if rng.random() < 0.2 else user % 4}_{item:02d}", 1_600_000_000 + time)
        for user in range(400)
        for time, item in enumerate(rng.permutation(25)[:9])
    ]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(tmp_path / "log.csv")
    (tmp_path / "exp.toml").write_text(EXP.format("log.csv"))
    assert run(["train", str(tmp_path / "exp.toml"), "-o", str(tmp_path / "run")]) == 0
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], words: str) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if words in line]


def test_sift_says_that_held_out_answers_vouch_unless_the_training_part_judges(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A comparison on such a log shows a gain of up to 79 % that is nothing but the answers."""
    for part, lines in ((), [f"note: {FINAL}: --part train"]), (("--part", "train"), []):
        capsys.readouterr()
        assert run(["sift", str(folder / "run"), "-o", str(folder / f"w{len(part)}.csv"), *part]) == 0
        assert told(capsys, "experiment") == lines
    everything = ["--set", "split.use=siftrec:Everything"]
    assert run(["train", str(folder / "exp.toml"), "-o", str(folder / "all"), *everything]) == 0
    assert run(["sift", str(folder / "all"), "-o", str(folder / "final.csv")]) == 0
    assert told(capsys, "experiment") == []


def test_training_and_evaluation_say_that_weights_know_the_answers_and_nothing_of_those_that_do_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, part in (("all", ()), ("train", ("--part", "train"))):
        log = folder / f"{name}.csv"
        assert run(["sift", str(folder / "run"), "-o", str(log), *part]) == 0
        assert pl.read_csv(log)["weight"].min() < 0.9
        (folder / f"{name}.toml").write_text(EXP.format(log.name))
        for command in (["train", str(folder / f"{name}.toml"), "-o"], ["evaluate"]):
            capsys.readouterr()
            assert run([*command, str(folder / f"{name}-run")]) == 0
            assert len(told(capsys, "they know the answers")) == (name == "all")


def test_python_is_told_by_what_is_sifted_and_by_fit(folder: Path) -> None:
    """Of a split that holds nothing out, and of weights of 1, there is nothing to tell."""
    events = sr.read(folder / "log.csv")
    split, model = sr.leave_one_out(events), sr.load(folder / "run")
    own = sr.sift(model, events, part="train", split=split)
    assert own.notes == {}
    assert "experiment" not in repr(own)
    every = sr.sift(model, events)
    assert every.notes == {f"{FINAL}: part='train'": len(every.rows)}
    assert FINAL in repr(every)
    for found, knows in ((every, True), (own, False)):
        found.write(folder / "w.csv")
        weighted = sr.read(folder / "w.csv")
        for method in (sr.Popularity(), sr.SASRec(dim=4, length=8)):
            heard: list[object] = []
            sr.fit(method, sr.leave_one_out(weighted), epochs=1, on_event=heard.append)
            assert sum("they know the answers" in str(event) for event in heard) == knows
        assert bool(knows_answers(sr.leave_one_out(weighted))) == knows
        assert not knows_answers(sr.everything(weighted))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sr.fit(sr.Popularity(), sr.leave_one_out(weighted))
        assert [one.filename for one in caught if "they know" in str(one.message)] == [__file__] * knows
