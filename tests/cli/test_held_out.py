"""What the commands say of users and parts that are not asked."""

import json
from pathlib import Path

import polars as pl
import pytest

from siftrec import artifact
from siftrec.cli.main import run


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Twelve users of six interactions each; four of them come after all others."""
    rows = [
        (f"u{u:02d}", f"i{(u + t) % 7}", 1_600_000_000 + 60 * t + 86_400 * (u > 7)) for u in range(12) for t in range(6)
    ]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(tmp_path / "log.csv")
    (tmp_path / "exp.toml").write_text(
        '[data]\npath = "log.csv"\n[method]\nuse = "siftrec:SASRec"\ndim = 4\n'
        "[train]\nepochs = 2\n[evaluate]\ncutoffs = [3]\n"
    )
    return tmp_path / "exp.toml"


def train(experiment: Path, *overrides: str) -> int:
    sets = [part for each in overrides for part in ("--set", each)]
    return run(["train", str(experiment), "-o", str(experiment.parent / "run"), *sets])


@pytest.mark.parametrize("method", ["siftrec:SASRec", "siftrec:ItemKNN"])
def test_a_run_on_everything_is_trained_resumed_and_asked(
    experiment: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    folder = experiment.parent / "run"
    everything = ["split.use=siftrec:Everything", f"method.use={method}"]
    assert train(experiment, *everything) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "(best)" not in printed.err
    assert "leaks time" not in printed.err
    if method == "siftrec:SASRec":
        assert printed.err.count("no validation question") == 2
        assert "stopped after epoch 2 (done); epoch 2 is kept" in printed.err
    assert json.loads((folder / "metrics.json").read_text())["metrics"] == {}
    assert artifact.load(folder).popularity.sum() == 72
    assert run(["recommend", str(folder), "--user", "u01", "-k", "1", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["item"] == "i0", "all others are in the history"
    sets = [part for each in everything for part in ("--set", each)]
    assert run(["train", str(experiment), "-o", str(folder), "--resume", *sets]) == 0
    for part in ("test", "valid"):
        capsys.readouterr()
        assert run(["evaluate", str(folder), "--split", part]) == 3
        says = (
            f"error: the {part} part asks no question: this split holds nothing out for it; judge settings on one that "
        )
        assert capsys.readouterr().err == f"{says}does, e.g. siftrec:LeaveOneOut\n"


def test_users_who_are_not_asked_are_counted_where_they_are_left_out(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is later than the first day is of four users who came then, but for one interaction."""
    with (experiment.parent / "log.csv").open("a") as file:
        file.write("u00,i6,1600090000\n")
    assert (
        train(experiment, "split.use=siftrec:TemporalSplit", "split.at=2020-09-14", "method.use=siftrec:Popularity")
        == 0
    )
    said = capsys.readouterr().err
    assert "note: test users not asked, without an earlier interaction: 4\n" in said
    assert "validation users not asked" not in said
    assert run(["evaluate", str(experiment.parent / "run")]) == 0
    assert "note: test 1 of 5 users (4 without an earlier interaction)\n" in capsys.readouterr().err


def test_a_part_of_newcomers_alone_says_so(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(experiment, "split.use=siftrec:TemporalSplit", "split.at=2020-09-14", "split.valid=0") == 0
    capsys.readouterr()
    assert run(["evaluate", str(experiment.parent / "run")]) == 3
    says = "error: the test part asks no question: none of its 4 users has an earlier interaction\n"
    assert capsys.readouterr().err == says


def test_an_experiment_with_a_date_comes_back_from_its_run(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = ["split.use=siftrec:TemporalSplit", "split.at=2020-09-13T12:30", "method.use=siftrec:Popularity"]
    assert train(experiment, *cut) == 0
    again = ["train", str(experiment.parent / "run" / "config.toml"), "-o", str(experiment.parent / "run"), "--resume"]
    assert run(again) == 0
    capsys.readouterr()
    assert train(experiment, *cut, "split.test=0.2") == 3
    assert "error: split.test: 0.2 and at = '2020-09-13T12:30' both say" in capsys.readouterr().err
