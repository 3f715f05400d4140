"""A log cleaned by `siftrec sift --drop`, and a fair comparison with the log that it was."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from commanded import refused
from siftrec.cli.main import run
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.evaluate.evaluation import Evaluation
from siftrec.noise.judge import judge


def tail(log: pl.DataFrame, count: int = 2) -> list[str]:
    """The last interactions of everybody."""
    return log.group_by("user", maintain_order=True).tail(count)["item"].to_list()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tastes, noise planted in training, some of it with items of its own; some users have three interactions.

    The detector is one that only counts: what is tested is what becomes of its judgement.
    `raw.csv` and its run `raw`, and `left.csv`, which is what sifting leaves of it, with the runs `left` and `alone`.
    """
    folder = tmp_path_factory.mktemp("cleaned")
    rng = np.random.default_rng(0)
    rows = []
    for user in range(200):
        items = [f"v{user % 4}_{item:02d}" for item in rng.permutation(20)[: 3 if user < 40 else 8]]
        noisy = rng.random(len(items) - 2) < 0.4
        for at in np.flatnonzero(noisy):
            items[at] = f"v{rng.integers(4)}_{rng.integers(20):02d}" if rng.random() > 0.4 else f"rare{user}"
        rows += [(f"u{user:03d}", item, time) for time, item in enumerate(items)]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(folder / "raw.csv")
    (folder / "exp.toml").write_text('[data]\npath = "raw.csv"\n[method]\nuse = "siftrec:ItemKNN"\n')
    train(folder, "raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("siftrec.noise.sift.judge", partial(judge, detector=Cooccurrence()))
        assert run(["sift", str(folder / "raw"), "-o", str(folder / "left.csv"), "--drop", "--part", "train"]) == 0
    train(folder, "left", "data.path=left.csv", "data.original=raw.csv")
    train(folder, "alone", "data.path=left.csv")
    assert run(["evaluate", *(str(folder / name) for name in ("raw", "left", "alone"))]) == 0
    return folder


def training(folder: Path, name: str, *overrides: str) -> list[str]:
    sets = [text for override in overrides for text in ("--set", override)]
    return ["train", str(folder / "exp.toml"), "-o", str(folder / name), *sets]


def train(folder: Path, name: str, *overrides: str) -> None:
    assert run(training(folder, name, *overrides)) == 0


def test_sifting_the_training_part_leaves_what_is_held_out(runs: Path) -> None:
    """Of three interactions the last two are questions, and stay though nothing else does."""
    raw, left = (pl.read_csv(runs / f"{name}.csv") for name in ("raw", "left"))
    assert tail(left) == tail(raw)
    assert len(left) < len(raw)
    assert left.group_by("user").len()["len"].min() == 2


def test_a_cleaned_log_is_compared_with_the_whole_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What whoever cleans a log wants to know: is the model better, on the questions of the log as it was?"""
    capsys.readouterr()
    assert run(["compare", str(runs / "left"), str(runs / "raw"), "--metric", "recall@10", "--format", "json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert line["users"] == 200
    raw, left = (Evaluation.read(runs / name / "evaluations" / "test.parquet") for name in ("raw", "left"))
    assert left.about.fingerprint["test"] == raw.about.fingerprint["test"]
    assert left.about.fingerprint["train"] != raw.about.fingerprint["train"]
    assert left.about.items == raw.about.items
    assert left.about.unasked == 0


def test_without_the_key_the_comparison_is_refused_by_its_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The null control: cut by itself, the cleaned log asks nothing of users of whom two interactions are left."""
    line = refused(["compare", str(runs / "alone"), str(runs / "raw")], 3, runs, capsys)
    assert "different users" in line
    assert "[data] original" in line


def test_a_log_that_lost_questions_is_refused_before_training(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = pl.read_csv(runs / "raw.csv")
    raw.head(-1).write_csv(runs / "lost.csv")
    asked = training(runs, "lost", "data.path=lost.csv", "data.original=raw.csv")
    line = refused(asked, 3, runs, capsys)
    assert "lacks 1 of 400 interactions that the leave-one-out split of the original log holds out" in line
    assert "--part train" in line


def test_the_run_says_what_it_lacks(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, left = (pl.read_csv(runs / f"{name}.csv") for name in ("raw", "left"))
    capsys.readouterr()
    train(runs, str(tmp_path / "again"), "data.path=left.csv", "data.original=raw.csv")
    lacking = f"training interactions of data.original that data.path lacks: {len(raw) - len(left)}"
    assert lacking in capsys.readouterr().err


def test_the_whole_log_is_no_output_of_its_cleaned_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Overwritten by what is left of what is left, it could not be had again."""
    line = refused(["sift", str(runs / "left"), "-o", str(runs / "raw.csv"), "--drop"], 2, runs, capsys)
    assert line.endswith("raw.csv is the log itself, which is never overwritten; name another file")
