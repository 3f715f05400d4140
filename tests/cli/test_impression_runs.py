"""Experiments on impressions, from TOML and the command line to figures and recommendations."""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from data.shown import sides
from data.test_impression_readers import CASES
from siftrec import config
from siftrec.card import card
from siftrec.cli.main import run
from siftrec.data.exposure import ImpressionCut, ImpressionSplit
from siftrec.data.readers import kuairand
from siftrec.evaluate.evaluation import Evaluation, evaluate
from siftrec.evaluate.impressions import DEPTH, evaluate_impressions
from siftrec.testing import check_reader

SMALL = [
    "method.dim=8",
    "method.length=6",
    "train.epochs=2",
    "train.batch_size=16",
    "train.patience=0",
    'train.schedule="constant"',
]
ML100K = Path(__file__).parents[2].parent / "shared" / "data" / "ml100k"


def train(experiment: Path, output: Path, *overrides: str, resume: bool = False) -> int:
    sets = [part for override in (*SMALL, *overrides) for part in ("--set", override)]
    return run(["train", str(experiment), "-o", str(output), *sets, *(["--resume"] if resume else [])])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of planted clicks, the experiment `init` wrote for it, and two evaluated runs."""
    folder = tmp_path_factory.mktemp("impressions")
    frame = sides(True, users=30, each=20).frame
    frame.select("user", "item", "label").write_parquet(folder / "log.parquet")
    assert run(["init", str(folder / "log.parquet"), "-o", str(folder / "exp.toml")]) == 0
    assert train(folder / "exp.toml", folder / "ours") == 0
    popular = ["--set", "method.use=siftrec:Popularity"]
    assert run(["train", str(folder / "exp.toml"), "-o", str(folder / "popular"), *popular]) == 0
    both = [str(folder / "ours"), str(folder / "popular")]
    assert run(["evaluate", *both, "--json", str(folder / "m.json")]) == 0
    return folder


def test_init_writes_an_experiment_on_impressions(runs: Path) -> None:
    experiment = config.load(runs / "exp.toml")
    assert experiment.split == ImpressionCut()
    assert experiment.train.metric == "gauc"
    assert isinstance(experiment.load_data()[0], ImpressionSplit)


def test_evaluate_gives_every_measure_of_the_test_impressions(runs: Path) -> None:
    """Whoever reads the JSON must find the figures of the library, under names that tell the two definitions apart."""
    entries = json.loads((runs / "m.json").read_text())["runs"]
    for name, entry in zip(("ours", "popular"), entries, strict=True):
        trained, (split, _) = sr.load(runs / name), config.load(runs / name / "config.toml").load_data()
        assert entry["metrics"] == {"unfiltered": pytest.approx(evaluate_impressions(trained, split.test).means())}
        assert {
            "auc",
            "gauc",
            *(f"{each}@{DEPTH}/{kind}" for each in ("precision", "recall", "f1") for kind in KINDS),
        } == (entry["metrics"]["unfiltered"].keys())
        assert (entry["protocol"], entry["split"], entry["users"]) == ("impressions by user", "test", 30)
        assert entry["fingerprint"] == {"train": trained.facts.train, "test": trained.facts.test}
        kept = Evaluation.read(runs / name / "evaluations" / "test.parquet")
        assert kept.table.equals(evaluate(trained, split.test).table)
    assert entries[1]["tied"] > 0, "popularity gives many items one score"


KINDS = ("weighted", "plain")


def test_values_of_users_have_the_figures_as_their_means(runs: Path) -> None:
    """`siftrec compare` pairs these values: were the weights wrong, it would compare something that is reported nowhere."""
    found = Evaluation.read(runs / "ours" / "evaluations" / "test.parquet")
    means = json.loads((runs / "m.json").read_text())["runs"][0]["metrics"]["unfiltered"]
    for metric in found.metrics:
        assert found.per_user(metric, "none").mean() == pytest.approx(means[metric])
    assert set(means) - set(found.metrics) == {"auc", *(f"f1@{DEPTH}/{kind}" for kind in KINDS)}


def test_compare_pairs_the_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [str(runs / "ours"), str(runs / "popular")]
    assert run(["compare", *both, "--metric", "gauc", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    entries = json.loads((runs / "m.json").read_text())["runs"]
    assert [found["mean_a"], found["mean_b"]] == pytest.approx([e["metrics"]["unfiltered"]["gauc"] for e in entries])
    assert found["protocol"] == "impressions by user"
    assert run(["compare", *both, "--metric", "gauc"]) == 0
    assert "Family of 1 on impressions by user: " in capsys.readouterr().out
    assert run(["compare", *both]) == 2
    assert "metric 'ndcg@10' was not evaluated" in capsys.readouterr().err
    assert run(["evaluate", both[0], "--cutoffs", "10"]) == 3
    assert "evaluate.cutoffs: impressions are judged by AUC, GAUC and the 50 best" in capsys.readouterr().err


def test_the_epoch_of_the_best_validation_gauc_is_kept(runs: Path) -> None:
    log = [json.loads(line) for line in (runs / "ours" / "log.jsonl").read_text().splitlines()]
    values = [line["value"] for line in log if line["event"] == "epoch_ended"]
    validation = json.loads((runs / "ours" / "metrics.json").read_text())
    assert validation["split"] == "valid"
    assert validation["metrics"]["unfiltered"]["gauc"] == pytest.approx(max(values))


def test_a_run_resumes_to_the_weights_of_one_that_never_stopped(runs: Path, tmp_path: Path) -> None:
    assert train(runs / "exp.toml", tmp_path / "run", "train.epochs=1") == 0
    assert train(runs / "exp.toml", tmp_path / "run", resume=True) == 0
    assert sr.load(tmp_path / "run").fingerprint == sr.load(runs / "ours").fingerprint


def test_recommend_answers_from_clicks(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", str(runs / "ours"), "--history", "3,5", "-k", "4", "--json", "-"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["items"]) == 4
    assert not answer["unknown"]


def test_what_is_printed_names_the_protocol(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(runs / "ours"), "--split", "valid"]) == 0
    printed = capsys.readouterr()
    assert "impressions by user" in printed.out
    assert f"recall@{DEPTH}/plain" in printed.out
    assert "this split leaks time" in printed.err
    assert "gauc" in str(Evaluation.read(runs / "ours" / "evaluations" / "valid.parquet"))


def test_the_model_card_has_the_figures(runs: Path, tmp_path: Path) -> None:
    trained = sr.load(runs / "ours")
    written = card(trained, runs / "ours")
    assert "| test, 30 users | unfiltered |" in written
    assert "| gauc |" in written
    shown = Evaluation.read(runs / "ours" / "evaluations" / "test.parquet")
    for metric in shown.metrics:
        if metric == "gauc" or metric.startswith("recall"):
            told = written.partition(f"| {metric} | ")[2].partition(" |")[0]
            assert told.startswith(f"{shown.per_user(metric, 'none').mean():.4f}")
            assert ("±" in told) == metric.endswith("/plain"), "a value times a weight spreads as the weights do"
    shutil.copytree(runs / "ours", tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))
    assert "| gauc |" in card(trained, tmp_path / "run").partition("validation, unfiltered")[2]


def test_sampled_candidates_are_called_so_everywhere(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures over drawn negatives look like those over impressions, and are easier to reach."""
    sampled = ["--set", "split.candidates=sampled", "--set", "method.use=siftrec:Popularity"]
    assert run(["train", str(runs / "exp.toml"), "-o", str(tmp_path / "run"), *sampled]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path / "run"), "--json", str(tmp_path / "m.json")]) == 0
    assert capsys.readouterr().out.count("sampled candidates by user") == 2
    (entry,) = json.loads((tmp_path / "m.json").read_text())["runs"]
    shown = json.loads((runs / "m.json").read_text())["runs"][1]
    assert entry["protocol"] == json.loads((tmp_path / "run" / "run.json").read_text())["protocol"]
    assert entry["protocol"] == "sampled candidates by user"
    assert entry["metrics"] == shown["metrics"], "the name alone differs"
    capsys.readouterr()
    assert run(["compare", str(runs / "popular"), str(tmp_path / "run"), "--metric", "gauc"]) == 3
    error = capsys.readouterr().err
    assert "were evaluated on 'impressions by user' and 'sampled candidates by user'; use one protocol" in error
    assert error.count("\n") == 1
    written = card(sr.load(tmp_path / "run"), tmp_path / "run")
    assert "sampled candidates by user" in written
    assert "only sampled" in written
    assert "impressions" not in written


def test_a_measure_that_says_nothing_is_null(runs: Path, tmp_path: Path) -> None:
    """JSON has no NaN; a reader that stops at it would lose the other figures too."""
    split, _ = config.load(runs / "exp.toml").load_data()
    clicked = replace(split.test, labels=np.ones_like(split.test.labels))
    found = evaluate(sr.load(runs / "ours"), clicked, unseen=True)
    found.write(tmp_path / "test.parquet")
    means = Evaluation.read(tmp_path / "test.parquet").to_json("run")["metrics"]["unfiltered"]
    assert means["auc"] is means["gauc"] is means[f"f1@{DEPTH}/weighted"] is None
    assert math.isclose(means[f"recall@{DEPTH}/plain"], 1.0)


@pytest.mark.parametrize("name", CASES)
def test_published_logs_are_recognised(name: str, tmp_path: Path) -> None:
    direct, make = CASES[name]
    folder = make(tmp_path / "data")
    check_reader(sr.read, folder)
    assert sr.read(folder).frame.equals(direct(folder).frame)
    assert run(["init", str(folder), "-o", str(tmp_path / "exp.toml")]) == 0
    split, catalog = config.load(tmp_path / "exp.toml").load_data()
    assert split.protocol == f"impressions by {'user' if name == 'kuairand' else 'split'}"
    assert len(catalog) == 10


def test_the_signal_of_kuairand_is_its_label(tmp_path: Path) -> None:
    folder = CASES["kuairand"][1](tmp_path / "data")
    target = tmp_path / "exp.toml"
    assert run(["init", str(folder), "-o", str(target), "--label", "long_view"]) == 0
    assert config.load(target).data.read().frame.equals(kuairand.read(folder, "long_view").frame)


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("kuairand", ["--label", "is_hate"], "label 'is_hate' makes no histories; name is_click or long_view"),
        ("kuaivideo", ["--user", "user_id"], "is a published log, whose columns are known; leave out user"),
        ("microvideo", ["--label", "is_click"], "leave out label"),
    ],
)
def test_columns_of_published_logs_are_not_chosen(
    kind: str, arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = CASES[kind][1](tmp_path / "data")
    assert run(["init", str(folder), "-o", str(tmp_path / "exp.toml"), *arguments]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folder}: ")
    assert says in error
    assert error.count("\n") == 1


def ratings(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    rows = [
        (user, int(item), float(rng.integers(1, 6)), t)
        for user in range(12)
        for t, item in enumerate(rng.permutation(30)[:20])
    ]
    pl.DataFrame(rows, schema=["user", "item", "rating", "time"], orient="row").write_csv(folder / "ratings.csv")
    return folder / "ratings.csv"


def test_ratings_become_impressions(tmp_path: Path) -> None:
    source = ratings(tmp_path)
    assert run(["init", str(source), "-o", str(tmp_path / "plain.toml")]) == 0
    assert "# liked = 4.0" in (tmp_path / "plain.toml").read_text()
    assert run(["init", str(source), "-o", str(tmp_path / "exp.toml"), "--liked", "4"]) == 0
    experiment = config.load(tmp_path / "exp.toml")
    assert tomllib.loads(config.dump(experiment))["data"]["liked"] == 4.0
    frame = experiment.data.read().frame
    assert (frame["label"] == (frame["rating"] >= 4)).all()
    split, _ = experiment.load_data()
    assert split.protocol == "impressions by user"


@pytest.mark.skipif(not ML100K.exists(), reason="the real data sets are not beside the project")
def test_ml100k_is_cut_as_the_library_cuts_it(tmp_path: Path) -> None:
    assert run(["init", str(ML100K), "-o", str(tmp_path / "exp.toml"), "--liked", "4"]) == 0
    split, catalog = config.load(tmp_path / "exp.toml").load_data()
    assert split.test.fingerprint == sr.impressions(sr.rated(sr.read(ML100K), 4)).test.fingerprint
    assert len(split.train.labels) + len(split.valid.labels) + len(split.test.labels) == 100_000
    assert len(catalog) == 1683


@pytest.mark.parametrize(
    ("override", "code", "says"),
    [
        ("train.metric=ndcg@10", 3, "train.metric: impressions are judged by 'gauc' or 'auc', not by 'ndcg@10'"),
        (
            "split.use=siftrec:LeaveOneOut",
            3,
            "train.metric: 'gauc' judges impressions, which this split does not have; ",
        ),
        ("method.use=siftrec:SASRec", 3, "method.use: SASRec with these settings is not trained on impressions; "),
        ("method.rows=sequence", 3, "method.use: CCL4Rec with these settings is not trained on impressions; "),
        ("split.group=0", 3, "split.group: input should be greater than or equal to 1, not 0"),
        ("split.by=day", 3, "split.by: input should be 'user', 'time' or 'split', not 'day'"),
        ("split.by=time", 3, "has no clock, only an order within each user; cut it by = 'user'"),
        ("split.test=1", 3, "split.test: 1.0 and valid 0.1 leave nothing to train on, to validate or to test"),
        ("split.candidates=drawn", 3, "split.candidates: input should be 'shown' or 'sampled', not 'drawn'"),
        ("data.inject.rho=0.3", 3, "data.inject: plants noise in histories of interactions, and split.use cuts "),
        ("evaluate.cutoffs=[10]", 3, "evaluate.cutoffs: impressions are judged by AUC, GAUC and the 50 best; leave"),
        ("data.original=log.parquet", 3, "data.original: is of a cleaned log of interactions, and split.use cuts "),
        ("data.liked=4", 3, "data.liked: makes labels of ratings, but the log has labels; leave it out"),
    ],
)
def test_mistakes_are_one_line_with_the_key_path_before_a_run_folder_is_made(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, code: int, says: str
) -> None:
    assert run(["train", str(runs / "exp.toml"), "-o", str(tmp_path / "run"), "--set", override]) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["noise"], ["sift"]])
def test_commands_for_interactions_refuse_a_run_on_impressions(
    command: list[str], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, str(runs / "ours"), "-o", str(tmp_path / "out.parquet")]) == 2
    assert (
        "this needs a log of interactions, and split.use of the experiment cuts impressions" in capsys.readouterr().err
    )


def test_a_log_in_several_files_is_not_rewritten_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clicks of a published log can be sifted, but no single file can hold the result as it was."""
    folder = CASES["kuairand"][1](tmp_path / "data")
    assert run(["init", str(folder), "-o", str(tmp_path / "exp.toml")]) == 0
    clicks = ["--set", "split.use=siftrec:LeaveOneOut", "--set", "method.use=siftrec:Popularity"]
    assert (
        run(
            ["train", str(tmp_path / "exp.toml"), "-o", str(tmp_path / "run"), *clicks, "--set", "evaluate.cutoffs=[3]"]
        )
        == 0
    )
    assert run(["sift", str(tmp_path / "run"), "-o", str(tmp_path / "out.csv")]) == 2
    assert "is published in several files; make one of them: siftrec data" in capsys.readouterr().err
