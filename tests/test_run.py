import errno
import json
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec import config
from siftrec.artifact import load
from siftrec.config import Experiment
from siftrec.errors import ArtifactError, DataError, EnvironmentProblem, SettingsError, UsageError
from siftrec.files import sha256
from siftrec.run import run
from siftrec.train.events import Event, Stopped, Validating

FILES = ["artifact", "checkpoints", "config.toml", "log.jsonl", "metrics.json", "run.json"]


def written(folder: Path, method: str = "siftrec:Popularity", more: str = "") -> Path:
    rng = np.random.default_rng(3)
    rows = [(f"u{u}", f"i{i}", 10 * t) for u in range(30) for t, i in enumerate(rng.permutation(20)[:8])]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_parquet(folder / "events.parquet")
    path = folder / "exp.toml"
    text = f'[data]\npath = "events.parquet"\n[evaluate]\ncutoffs = [3, 5]\n[method]\nuse = "{method}"\n{more}'
    path.write_text(text)
    return path


def experiment(folder: Path, *overrides: str, method: str = "siftrec:Popularity") -> Experiment:
    return config.load(written(folder, method), overrides)


def test_a_run_folder_holds_what_the_interface_promises(tmp_path: Path) -> None:
    asked = experiment(tmp_path)
    trained = run(asked, tmp_path / "run", command="siftrec train exp.toml -o run")
    split, _ = asked.load_data()
    assert sorted(path.name for path in (tmp_path / "run").glob("[!.]*")) == [f for f in FILES if f != "checkpoints"]
    assert config.load(tmp_path / "run" / "config.toml") == asked
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["seed"] == 7
    assert record["threads"] == asked.train.threads
    assert record["protocol"] == "leave-one-out"
    assert split.fingerprint == {"train": trained.facts.train, "test": trained.facts.test}
    assert record["fingerprints"] == split.fingerprint | {"model": trained.fingerprint}
    assert record["command"] == "siftrec train exp.toml -o run"
    assert record["parameters"] == {"embedding": 0, "other": 0}
    assert record["duration"] > 0
    assert {"python", "siftrec", "torch", "numpy", "polars"} <= record["versions"].keys()
    again = load(tmp_path / "run").recommend(["i1", "i2"], k=5)
    assert again == trained.recommend(["i1", "i2"], k=5)


def test_metrics_are_validation_only(tmp_path: Path) -> None:
    run(experiment(tmp_path), tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["schema"], metrics["split"], metrics["users"]) == (1, "valid", 30)
    assert {"ndcg@3", "ndcg@5", "recall@3"} <= metrics["metrics"]["filtered"].keys()
    assert 0 < metrics["metrics"]["unfiltered"]["ndcg@5"] < 1


def test_planted_noise_is_written_with_its_truth(tmp_path: Path) -> None:
    asked = experiment(tmp_path, "data.inject.rho=0.4")
    run(asked, tmp_path / "run")
    truth = pl.read_parquet(tmp_path / "run" / "injected.parquet")
    assert truth.columns == ["row", "user", "item", "mechanism"]
    log = pl.read_parquet(tmp_path / "events.parquet").with_row_index("row")
    original = truth.join(log.with_columns(pl.col("row").cast(pl.Int64)), on="row", suffix="_before")
    assert original.height == truth.height > 30
    assert (original["user"] == original["user_before"]).all()
    assert (original["item"] != original["item_before"]).all()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    clean, _ = experiment(tmp_path).load_data()
    assert record["fingerprints"]["test"] == clean.fingerprint["test"]


def test_planted_truth_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`siftrec noise` measures detectors against it: by half a truth, planted interactions would count as clean."""
    asked = experiment(tmp_path, "data.inject.rho=0.4")
    run(asked, tmp_path / "run")
    before = sha256(tmp_path / "run" / "injected.parquet")

    def half(frame: pl.DataFrame, path: Path) -> None:
        path.write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", half)
        for resume, place in ((True, tmp_path / "run"), (False, tmp_path / "new")):
            with pytest.raises(EnvironmentProblem, match=r"injected\.parquet: the disk is full"):
                run(asked, place, resume=resume)
    assert sha256(tmp_path / "run" / "injected.parquet") == before
    assert not [path.name for path in tmp_path.glob("*/*injected*") if path.name != "injected.parquet"]
    assert not (tmp_path / "new" / "injected.parquet").exists()


def test_a_folder_that_holds_a_run_is_refused_and_untouched(tmp_path: Path) -> None:
    run(experiment(tmp_path), tmp_path / "run")
    before = {path: sha256(path) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="already holds a run") as caught:
        run(experiment(tmp_path, "seed=8"), tmp_path / "run")
    assert caught.value.exit_code == 2
    assert {path: sha256(path) for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_run_that_trained_nothing_does_not_block_its_folder(tmp_path: Path) -> None:
    """The settings stood there already: a plain rerun was refused, and --resume, for they had been corrected."""
    folder, small = tmp_path / "run", ("method.dim=8", "train.epochs=1")
    noisy = experiment(tmp_path, *small, "method.heads=3", "data.inject.rho=0.4", method="siftrec:SASRec")
    with pytest.raises(SettingsError, match="heads"):
        run(noisy, folder)
    assert (folder / "injected.parquet").exists()
    (folder / "log.jsonl").write_text('{"event": "started"}\n')
    asked = experiment(tmp_path)
    trained = run(asked, folder)
    assert load(folder).fingerprint == trained.fingerprint
    assert config.load(folder / "config.toml") == asked
    assert not (folder / "injected.parquet").exists(), "the truth of noise that this run did not plant"
    assert (folder / "log.jsonl").read_text() == ""


@pytest.mark.parametrize("left", ["checkpoints", "artifact", ".artifact.old"])
def test_a_folder_where_something_was_trained_is_refused_whatever_else_is_gone(tmp_path: Path, left: str) -> None:
    small = ("method.dim=8", "train.epochs=1")
    asked, folder = experiment(tmp_path, *small, method="siftrec:SASRec"), tmp_path / "run"
    run(asked, folder)
    (folder / "artifact").rename(folder / ".artifact.old")
    (folder / ".artifact.old").rename(folder / left if left != "checkpoints" else tmp_path / "gone")
    if left != "checkpoints":
        (folder / "checkpoints").rename(tmp_path / "gone")
    for name in ("run.json", "metrics.json"):
        (folder / name).unlink()
    with pytest.raises(UsageError, match=rf"already holds a run \({left.strip('.').removesuffix('.old')}\)"):
        run(asked, folder)


@pytest.mark.parametrize(
    ("name", "begun"), [("config.toml", False), ("config.toml", True), ("injected.parquet", False)]
)
def test_a_file_that_no_run_wrote_there_is_never_replaced(tmp_path: Path, name: str, begun: bool) -> None:
    """`siftrec train exp/config.toml -o exp` would replace what somebody wrote, or copied there to change it."""
    asked, folder = experiment(tmp_path, "data.inject.rho=0.4"), tmp_path / "run"
    folder.mkdir()
    text = config.dump(asked)
    if begun:
        (folder / ".lock").touch()
        text += "# mine\n"
    (folder / name).write_text(text)
    with pytest.raises(UsageError, match=f"holds '{name}', which no run wrote there; choose another folder"):
        run(asked, folder)
    assert (folder / name).read_text() == text
    assert not (folder / "artifact").exists()


def test_resuming_as_another_experiment_is_refused_by_key(tmp_path: Path) -> None:
    run(experiment(tmp_path), tmp_path / "run")
    with pytest.raises(SettingsError, match=r"^data\.core: is 2, but the run in .* was 1$"):
        run(experiment(tmp_path, "data.core=2"), tmp_path / "run", resume=True)


def test_resume_without_a_run_starts_one(tmp_path: Path) -> None:
    run(experiment(tmp_path), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "run.json").exists()


def test_wrong_data_leaves_no_folder(tmp_path: Path) -> None:
    asked = experiment(tmp_path)
    (tmp_path / "events.parquet").write_bytes(b"")
    with pytest.raises(DataError):
        run(asked, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resume_that_is_refused_leaves_the_settings_that_were_trained(tmp_path: Path) -> None:
    small = ("method.dim=8", "train.batch_size=16", "train.epochs=1")
    run(experiment(tmp_path, *small, method="siftrec:SASRec"), tmp_path / "run")
    before = (tmp_path / "run" / "config.toml").read_text()
    for other in ("train.epochs=2", 'train.schedule="constant"'):
        with pytest.raises(ArtifactError, match=r"train\.schedule = 'cosine over 1 epochs'"):
            run(experiment(tmp_path, *small, other, method="siftrec:SASRec"), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "config.toml").read_text() == before


def test_a_learned_method_logs_its_epochs_and_may_be_given_more(tmp_path: Path) -> None:
    small = ("method.dim=8", "train.patience=0", "train.batch_size=16", 'train.schedule="constant"')
    events: list[Event] = []
    asked = experiment(tmp_path, *small, "train.epochs=1", method="siftrec:SASRec")
    run(asked, tmp_path / "run", on_event=events.append)
    assert sorted(path.name for path in (tmp_path / "run").glob("[!.]*")) == FILES
    assert [type(event) for event in events if not isinstance(event, Validating)][-1] is Stopped
    more = experiment(tmp_path, *small, "train.epochs=2", method="siftrec:SASRec")
    resumed = run(more, tmp_path / "run", resume=True)
    assert resumed.facts.epochs == 2
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log if line["event"] == "epoch_ended"] == [0, 1]
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["train"]["epochs"] == 2
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["parameters"]["embedding"] == 21 * 8
    straight = run(more, tmp_path / "straight")
    ours, theirs = straight.scorer.tensors(), resumed.scorer.tensors()
    assert all(bool((ours[name] == theirs[name]).all()) for name in ours)


def test_who_runs_an_experiment_from_python_is_warned_of_what_fit_would_warn_of(tmp_path: Path) -> None:
    """Without `on_event` the warning stood in log.jsonl alone, which nobody opens after a run that went well."""
    asked = experiment(tmp_path, "train.epochs=1", "method.dim=4", method="siftrec:SASRec")
    with pytest.warns(UserWarning, match="training ended after few steps") as told:
        run(asked, tmp_path / "run")
    assert [each.filename for each in told] == [__file__]
