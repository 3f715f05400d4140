"""`siftrec noise` and `siftrec sift`."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest

import siftrec
from siftrec import artifact, config
from siftrec.cli.detector import DetectorName
from siftrec.cli.main import run
from siftrec.data.read import read
from siftrec.data.split import TRAIN
from siftrec.detectors.blend import Blend, Detector
from siftrec.detectors.likelihood import Likelihood
from siftrec.methods.popularity import Popularity
from siftrec.noise.judge import judge
from siftrec.report.words import DETECTORS
from siftrec.settings import describe
from siftrec.train.fit import fit

MICRO = 1_000_000


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's judge in its quick form: what is tested here is what is written of its judgement, and where."""
    monkeypatch.setattr("siftrec.noise.sift.judge", partial(judge, quick=True))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tastes and some mistakes, rows unsorted, a column more than needed; one run as it is, two with planted noise."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    rows = [
        (
            f"{user:03d}",
            f"v{rng.integers(4) if rng.random() < 0.1 else user % 4}_{item:02d}",
            1_500_000_000 + int(rng.integers(1_000_000)),
            "1" if pos else "0",
        )
        for user in range(400)
        for pos, items in ((True, rng.permutation(25)[:9]), (False, rng.permutation(25)[:1] + 30))
        for item in items
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "ts", "label"], orient="row").sample(
        fraction=1, shuffle=True, seed=1
    )
    frame.write_csv(folder / "log.csv")
    (folder / "titles.csv").write_text("item,title\nv0_00,<b>First</b>\n")
    for name, more in (("clean", ""), ("replace", "replace"), ("insert", "insert")):
        planted = f'[data.inject]\nmechanism = "{more}"\nrho = 0.3\n' if more else ""
        text = f'[data]\npath = "../log.csv"\ntitles = "../titles.csv"\n{planted}[method]\nuse = "siftrec:Popularity"\n'
        (folder / name).mkdir()
        (folder / name / "config.toml").write_text(text + "[evaluate]\ncutoffs = [5]\n")
        split, catalog = config.load(folder / name / "config.toml").load_data()
        trained = replace(fit(Popularity(), split, catalog), titles={"v0_00": "<b>First</b>"})
        artifact.save(trained, folder / name / "artifact")
    return folder


def test_noise_of_planted_noise(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["noise", str(runs / "replace"), "-o", str(tmp_path / "n")]) == 0
    out, err = capsys.readouterr()
    assert "share of noise, at most" in out
    assert "planted (replace)" in out
    assert "judging 3,200 interactions of 400 users" in err
    report = json.loads((tmp_path / "n" / "detection.json").read_text())
    assert set(report) >= {"schema", "rho", "mechanism", "auroc", "auroc_popularity", "auprc", "brier", "rho_upper"}
    assert set(report["recall_at_fdr"]) == {"0.05", "0.2", "0.4"}
    assert (report["schema"], report["mechanism"], report["events"]) == (1, "replace", 3200)
    assert report["auroc"] > 0.75
    for control in ("auroc_popularity", "auroc_position", "auroc_lifetime"):
        assert 0.4 < report[control] < 0.6
        assert f"{report[control]:.4f}" in next(line for line in out.splitlines() if line.startswith(control))
    frame = pl.read_parquet(tmp_path / "n" / "interactions.parquet")
    assert frame.columns == ["row", "user", "item", "time", "noise", "flagged", "evidence"]
    assert [frame.schema[name] for name in frame.columns] == [
        *(pl.Int64, pl.String, pl.String, pl.Int64, pl.Float32, pl.Boolean, pl.Int32),
    ]
    log = pl.read_csv(runs / "log.csv", infer_schema=False)
    assert frame["row"].to_list() == [row for row, label in enumerate(log["label"]) if label == "1"]
    assert frame["user"].to_list() == log["user"].gather(frame["row"]).to_list()
    assert frame["time"].to_list() == [int(ts) * MICRO for ts in log["ts"].gather(frame["row"])]
    moved = frame.filter(pl.Series(frame["item"].to_list()) != log["item"].gather(frame["row"]))
    assert len(moved) == pytest.approx(0.3 * 3200, rel=0.15)
    assert moved["noise"].mean() > frame["noise"].mean() + 0.2
    assert frame["noise"].null_count() == 400
    assert not frame.filter(pl.col("noise").is_null())["flagged"].any()
    page = (tmp_path / "n" / "noise.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "<b>First</b>" not in page


def test_added_interactions_stand_behind_what_they_follow(runs: Path, tmp_path: Path) -> None:
    assert run(["noise", str(runs / "insert"), "-o", str(tmp_path / "n")]) == 0
    frame = pl.read_parquet(tmp_path / "n" / "interactions.parquet")
    assert (frame["row"] == -1).mean() == pytest.approx(0.27, abs=0.04)
    real = frame.filter(pl.col("row") >= 0)["row"]
    assert real.is_sorted()
    planted = frame.with_columns(before=pl.col("user").shift(1), after=pl.col("user").shift(-1)).filter(
        pl.col("row") == -1
    )
    beside = (planted["user"] == planted["before"]) | (planted["user"] == planted["after"])
    assert beside.mean() > 0.9


def test_noise_of_a_log_without_truth(runs: Path, tmp_path: Path) -> None:
    assert run(["noise", str(runs / "clean" / "artifact"), "-o", str(tmp_path / "n"), "--part", "train"]) == 0
    assert sorted(path.name for path in (tmp_path / "n").iterdir()) == [
        *("detection.json", "interactions.parquet", "manifest.json", "noise.html"),
    ]
    report = json.loads((tmp_path / "n" / "detection.json").read_text())
    assert 0 < report["rho_interval"][0] <= report["rho_upper"] <= report["rho_interval"][1]
    assert (report["schema"], report["events"], report["mechanism"], report["rho"]) == (1, 2800, None, None)
    controls = {"auroc_popularity", "auroc_position", "auroc_lifetime"}
    assert {"auroc", *controls, "auprc", "brier", "recall_at_fdr", "by_history_length"} <= report.keys()
    frame = pl.read_parquet(tmp_path / "n" / "interactions.parquet")
    assert len(frame) == 3600
    assert frame["noise"].null_count() == 800
    split = siftrec.leave_one_out(siftrec.read(runs / "log.csv"))
    found = siftrec.noise_report(siftrec.load(runs / "clean"), split, siftrec.Catalog(split.items), part="train")
    told = replace(found, name="clean")
    command = shlex.join(["siftrec", *sys.argv[1:]])
    assert told.page(command) == (tmp_path / "n" / "noise.html").read_text("utf-8"), "Python and the command agree"


def test_sift_writes_the_log_with_weights(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sift", str(runs / "clean"), "-o", str(tmp_path / "w.csv")]) == 0
    assert "3,600 interactions judged, mean weight" in capsys.readouterr().err
    before, after = (path.read_text().splitlines() for path in (runs / "log.csv", tmp_path / "w.csv"))
    assert [line.rpartition(",")[0] for line in after] == before
    events = read(tmp_path / "w.csv", weight="weight")
    assert events.frame.drop("weight").equals(read(runs / "log.csv").frame)
    shown = events.frame.filter(pl.col("label") == 0)["weight"]
    assert shown.to_list() == [1.0] * 400
    assert run(["noise", str(runs / "clean"), "-o", str(tmp_path / "n")]) == 0
    noise = pl.read_parquet(tmp_path / "n" / "interactions.parquet")
    told = events.frame.sort("row").filter(pl.col("label") == 1)["weight"]
    np.testing.assert_array_equal(told.to_numpy(), 1 - noise["noise"].to_numpy())


def written(folder: Path) -> tuple[pl.DataFrame, dict[str, object], str]:
    """The table, the detector and the page that `siftrec noise` left."""
    told = json.loads((folder / "detection.json").read_text())
    return pl.read_parquet(folder / "interactions.parquet"), told, (folder / "noise.html").read_text()


def test_the_detector_is_chosen_and_said(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could otherwise tell afterwards which detector a table of noise came from."""
    monkeypatch.setattr(
        "siftrec.noise.judge.QUICK", quick := Likelihood(folds=2, epochs=1, steps=100, learning_rate=0.02)
    )
    found = {}
    for name in ("", "Likelihood", "Blend"):
        chosen = ["--detector", name] if name else []
        assert run(["noise", str(runs / "replace"), "-o", str(tmp_path / name / "n"), *chosen]) == 0
        found[name] = written(tmp_path / name / "n")
    (default, told, page), (same, again, _), (blended, blend, other) = found.values()
    assert default.equals(same)
    assert told == again
    assert told["detector"] == describe(quick)
    assert blend["detector"] == describe(Blend(likelihood=quick))
    assert (default["noise"] != blended["noise"]).any()
    assert float(str(blend["auroc"])) > 0.75
    assert "chosen in place of the default" not in page
    assert "the detector <bdi>Blend</bdi>, chosen in place of the default" in other


def test_weights_and_table_come_from_the_detector_that_was_named(runs: Path, tmp_path: Path) -> None:
    chosen = ["--detector", "Cooccurrence"]
    assert run(["sift", str(runs / "clean"), "-o", str(tmp_path / "w.csv"), *chosen]) == 0
    assert run(["noise", str(runs / "clean"), "-o", str(tmp_path / "n"), *chosen]) == 0
    table, told, _ = written(tmp_path / "n")
    assert told["detector"] == {"use": "siftrec:Cooccurrence", "smoothing": 0.5}
    events = read(tmp_path / "w.csv", weight="weight").frame.sort("row").filter(pl.col("label") == 1)
    np.testing.assert_array_equal(events["weight"].to_numpy(), 1 - table["noise"].to_numpy())


def test_every_detector_can_be_named_and_every_choice_has_words_on_the_page() -> None:
    known = [each.__name__ for each in get_args(Detector)]
    assert [each.value for each in DetectorName] == known
    assert ["Likelihood", *DETECTORS] == known


def test_train_part_is_judged_by_itself_and_the_rest_passes(runs: Path, tmp_path: Path) -> None:
    """What is later than training has no influence: the result may be used in an experiment."""
    split, _ = config.load(runs / "clean" / "config.toml").load_data()
    assert run(["sift", str(runs / "clean"), "-o", str(tmp_path / "w.csv"), "--part", "train"]) == 0
    weight = read(tmp_path / "w.csv", weight="weight").frame.sort("row")["weight"].to_numpy()
    assert (weight[split.log.rows[split.role != TRAIN]] == 1).all()
    assert weight[split.log.rows[split.role == TRAIN]].min() < 0.9
    other = tmp_path / "other"
    log = pl.read_csv(runs / "log.csv", infer_schema=False).with_row_index()
    late = pl.Series(np.isin(np.arange(len(log)), split.log.rows[split.role != TRAIN]))
    swapped = pl.Series(log["item"].to_list()).reverse()
    allowed = swapped.is_in(log["item"].filter(log["label"] == "1").implode())
    changed = log.with_columns(item=pl.when(late & allowed).then(swapped).otherwise(pl.col("item"))).drop("index")
    other.mkdir()
    changed.write_csv(other / "log.csv")
    (other / "run").mkdir()
    (other / "run" / "config.toml").write_text(
        (runs / "clean" / "config.toml").read_text().replace("titles", "#titles")
    )
    parts, catalog = config.load(other / "run" / "config.toml").load_data()
    artifact.save(fit(Popularity(), parts, catalog), other / "run" / "artifact")
    assert run(["sift", str(other / "run"), "-o", str(tmp_path / "v.csv"), "--part", "train"]) == 0
    again = read(tmp_path / "v.csv", weight="weight").frame.sort("row")["weight"].to_numpy()
    np.testing.assert_array_equal(weight, again)


def test_python_judges_the_train_part_as_the_command_does(runs: Path, tmp_path: Path) -> None:
    """Whoever sifts in a notebook would else let test interactions decide what training ones weigh."""
    assert run(["sift", str(runs / "clean"), "-o", str(tmp_path / "w.csv"), "--part", "train"]) == 0
    events, model = read(runs / "log.csv"), siftrec.load(runs / "clean")
    sifted = siftrec.sift(model, events, part="train", split=siftrec.leave_one_out(events))
    sifted.write(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "w.csv").read_bytes()
    assert len(sifted.rows) == 2800


def test_drop_is_explicit_and_leaves_the_flagged_out(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["noise", str(runs / "clean"), "-o", str(tmp_path / "n")]) == 0
    flagged = pl.read_parquet(tmp_path / "n" / "interactions.parquet").filter("flagged")["row"].to_list()
    assert run(["sift", str(runs / "clean"), "-o", str(tmp_path / "k.csv"), "--drop"]) == 0
    before, after = (path.read_text().splitlines() for path in (runs / "log.csv", tmp_path / "k.csv"))
    assert after == [line for row, line in enumerate(before) if row - 1 not in flagged]
    said = capsys.readouterr().err
    assert ("nothing can be flagged" in said) == (not flagged)
    assert f"{len(flagged):,} rows left out" in said


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["sift", "clean", "-o", "log.csv"], 2, "never overwritten"),
        (["sift", "clean", "-o", "w.tsv"], 2, "must end in .csv"),
        (["sift", "replace", "-o", "w.csv"], 2, "planted noise into its log"),
        (["sift", "nowhere", "-o", "w.csv"], 3, "no such run folder"),
        (["noise", "clean", "-o", "."], 6, "which siftrec did not write"),
        (["noise", "clean", "-o", "clean/artifact"], 6, "holds a siftrec 'artifact', not an older 'noise'"),
        (["noise", "clean", "-o", "n", "--part", "test"], 2, "--part"),
        (
            ["noise", "clean", "-o", "n", "--detector", "SVD"],
            2,
            "Invalid value for '--detector': 'SVD' is not one of 'Likelihood', 'Cooccurrence', 'Agreement', 'Blend'",
        ),
        (["noise", "clean", "-o", "n", "--detector", "Agreement"], 3, "detector: Agreement needs content vectors"),
        (["sift", "clean", "-o", "w.csv", "--detector", "blend"], 2, "'blend' is not one of 'Likelihood'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    runs: Path,
    arguments: list[str],
    code: int,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(runs)
    before = (runs / "log.csv").read_bytes()
    assert run(arguments) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert problem in last
    assert (runs / "log.csv").read_bytes() == before


def test_a_log_that_has_changed_since_training_is_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    text = (runs / "clean" / "config.toml").read_text().replace("titles", "#titles")
    (tmp_path / "run" / "config.toml").write_text(text)
    lines = (runs / "log.csv").read_text().splitlines(keepends=True)
    (tmp_path / "log.csv").write_text("".join(line for line in lines if not line.startswith("007")))
    artifact.save(artifact.load(runs / "clean"), tmp_path / "run" / "artifact")
    assert run(["noise", str(tmp_path / "run"), "-o", str(tmp_path / "n")]) == 3
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("column", "setting"), [("conf", 'weight = "conf"'), ("weight", ""), ("Weight", 'weight = ""')]
)
def test_a_log_with_weights_is_refused_before_anything_is_judged(
    runs: Path, tmp_path: Path, column: str, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.read_csv(runs / "log.csv", infer_schema=False).with_columns(pl.lit("0.5").alias(column)).write_csv(
        tmp_path / "log.csv"
    )
    (tmp_path / "run").mkdir()
    text = (runs / "clean" / "config.toml").read_text().replace('titles = "../titles.csv"', setting)
    (tmp_path / "run" / "config.toml").write_text(text)
    split, catalog = config.load(tmp_path / "run" / "config.toml").load_data()
    artifact.save(fit(Popularity(), split, catalog, on_event=lambda event: None), tmp_path / "run" / "artifact")
    assert run(["sift", str(tmp_path / "run"), "-o", str(tmp_path / "w.csv")]) == 3
    said = capsys.readouterr().err
    assert f"has weights in its column '{column}' already" in said
    assert "judging" not in said
    assert not (tmp_path / "w.csv").exists()
