import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec import artifact, config
from siftrec.card import card
from siftrec.cli.main import run
from siftrec.errors import DataError
from siftrec.evaluate.evaluation import Evaluation, evaluate
from siftrec.evaluate.kept import kept
from siftrec.methods.base import Method
from siftrec.methods.markov import Markov
from siftrec.methods.popularity import Popularity
from siftrec.settings import spelled
from siftrec.train.fit import fit

CUTOFFS = (5, 10)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs on one log: each item is mostly followed by the next one."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    rows = []
    for user in range(80):
        item = int(rng.integers(30))
        for time in range(int(rng.integers(3, 16))):
            rows.append((f"u{user}", f"i{item:02d}", time))
            item = (item + 1) % 30 if rng.random() < 0.8 else int(rng.integers(30))
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(folder / "log.csv")
    for name, method in (("markov", Markov()), ("popularity", Popularity())):
        finished(folder / name, method)
    return folder


def finished(folder: Path, method: Method, cutoffs: str = "[5, 10]") -> None:
    folder.mkdir()
    text = f'[data]\npath = "../log.csv"\n[method]\nuse = "{spelled(type(method))}"\n[evaluate]\ncutoffs = {cutoffs}\n'
    (folder / "config.toml").write_text(text)
    split, catalog = config.load(folder / "config.toml").load_data()
    artifact.save(fit(method, split, catalog), folder / "artifact")


def test_evaluate_writes_values_and_prints_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(runs / "markov"), "--json", str(runs / "m.json")]) == 0
    printed = capsys.readouterr()
    assert "siftrec:Markov, seed 7, test, leave-one-out" in printed.out
    assert "questions" in printed.err
    split, _ = config.load(runs / "markov" / "config.toml").load_data()
    wanted = evaluate(artifact.load(runs / "markov"), split.test, CUTOFFS)
    found = Evaluation.read(runs / "markov" / "evaluations" / "test.parquet")
    assert found.table.equals(wanted.table)
    assert found.about.fingerprint == split.fingerprint
    table = json.loads((runs / "m.json").read_text())
    assert table["schema"] == 1
    assert table["runs"] == [wanted.to_json(str(runs / "markov"))]


def test_a_log_that_has_changed_since_training_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"u{u}", f"i{(u + t) % 20:02d}", t) for u in range(30) for t in range(6)]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log.write_csv(tmp_path / "log.csv")
    finished(tmp_path / "run", Popularity())
    assert run(["evaluate", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().err.count("this split leaks time") == 1
    log.filter(pl.col("user") != "u3").write_csv(tmp_path / "log.csv")
    assert run(["evaluate", str(tmp_path / "run")]) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path / 'log.csv'}: the data have changed since {tmp_path / 'run'} was trained")


@pytest.mark.parametrize(("setting", "threads"), [("", 1), ("[train]\nthreads = 2\n", 2)])
def test_commands_use_the_threads_of_the_run(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, setting: str, threads: int
) -> None:
    used: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", used.append)
    shutil.copytree(runs / "markov", tmp_path / "run")
    shutil.copy(runs / "log.csv", tmp_path)
    with (tmp_path / "run" / "config.toml").open("a") as file:
        file.write(setting)
    assert run(["evaluate", str(tmp_path / "run" / "artifact")]) == 0
    assert run(["recommend", str(tmp_path / "run"), "--history", "i01"]) == 0
    assert used == [threads, threads]


def test_json_alone_on_stdout_and_the_validation_part(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [str(runs / "markov" / "artifact"), str(runs / "popularity")]
    assert run(["evaluate", *both, "--split", "valid", "--json", "-"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [entry["method"] for entry in table["runs"]] == ["siftrec:Markov", "siftrec:Popularity"]
    assert {entry["split"] for entry in table["runs"]} == {"valid"}
    assert (runs / "markov" / "evaluations" / "valid.parquet").exists()


def test_compare_in_every_format(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(runs / "markov"), str(runs / "popularity")]
    assert run(["evaluate", *names]) == 0
    capsys.readouterr()
    command = ["compare", *names, "--metric", "ndcg@10", "--metric", "recall@5"]
    assert run(command) == 0
    text = capsys.readouterr().out
    assert text.count(f"{names[0]} is better") == 2
    assert "Family of 2" in text
    assert run([*command, "--format", "json", "--filter", "none"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [(c["metric"], c["filter"]) for c in table["comparisons"]] == [
        ("ndcg@10", "unfiltered"),
        ("recall@5", "unfiltered"),
    ]
    assert run([*command, "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith("\\begin{tabular}")
    assert run(["compare", f"{names[0]},{names[1]}", names[1]]) == 3
    assert "are taken for seeds of one model, but are siftrec:Markov and siftrec:Popularity" in capsys.readouterr().err


def test_other_cutoffs_after_training(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reviewer asks for ndcg@15; training again for it would cost hours, and another cut-off is not the answer."""
    names = [str(tmp_path / name) for name in ("markov", "popularity")]
    for name in names:
        shutil.copytree(runs / Path(name).name, name)
    shutil.copy(runs / "log.csv", tmp_path)
    assert run(["evaluate", *names]) == 0
    assert run(["evaluate", names[0], "--cutoffs", "15,3,5,10"]) == 0
    capsys.readouterr()
    compare = ["compare", *names, "--metric", "ndcg@15", "--metric", "ndcg@10"]
    assert run(compare) == 2
    wanted = f"siftrec evaluate {names[1]} --split test --cutoffs 5,10,15"
    assert capsys.readouterr().err == f"error: {names[1]}: not evaluated at @15; run `{wanted}`\n"
    assert run(wanted.split()[1:]) == 0
    assert run(compare) == 0
    assert [line[:7] for line in capsys.readouterr().out.splitlines() if line.startswith("ndcg@")] == [
        "ndcg@15",
        "ndcg@10",
    ]
    assert run(["compare", *names, "--metric", "hr@7", "--metric", "hr@3"]) == 2
    asked = f"{' and '.join(names)}: not evaluated at @3, @7; run `siftrec evaluate {' '.join(names)} --split test"
    assert f"{asked} --cutoffs 3,5,7,10,15`" in capsys.readouterr().err
    for given, code, told in (
        ("15;100", 2, "--cutoffs '15;100' must be whole numbers with commas between them, e.g. 15,100"),
        ("0", 3, "evaluate.cutoffs: "),
        ("5,31", 3, "evaluate.cutoffs: 31 is more than the catalog's 30 items"),
    ):
        assert run(["evaluate", names[0], "--cutoffs", given]) == code
        assert f"error: {told}" in capsys.readouterr().err


def test_figures_of_a_model_that_was_trained_on_since_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever goes on with a run and compares it would report what the old weights reached, under the new one's name."""
    shutil.copy(runs / "log.csv", tmp_path)
    small = ["--set", "method.dim=8", "--set", "method.length=5", "--set", 'train.schedule="constant"']
    text = '[data]\npath = "log.csv"\n[method]\nuse = "siftrec:SASRec"\n[evaluate]\ncutoffs = [5, 10]\n'
    (tmp_path / "exp.toml").write_text(text)
    train = ["train", str(tmp_path / "exp.toml"), "-o", str(tmp_path / "run"), *small, "--set"]
    compare = ["compare", str(tmp_path / "run"), str(runs / "popularity")]
    assert run([*train, "train.epochs=1"]) == 0
    assert run(["evaluate", str(tmp_path / "run"), str(runs / "popularity")]) == 0
    assert run(compare) == 0
    assert run([*train, "train.epochs=3", "--resume"]) == 0
    capsys.readouterr()
    assert run(compare) == 3
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()[-1]) == (
        "",
        f"error: {tmp_path / 'run'}: was evaluated before it was trained on; "
        f"run `siftrec evaluate {tmp_path / 'run'} --split test`",
    )
    told = card(artifact.load(tmp_path / "run"), tmp_path / "run")
    assert "validation, filtered" in told
    assert "The evaluation that is kept of the test part is of another model" in told
    assert run(["evaluate", str(tmp_path / "run" / "artifact")]) == 0
    assert run(compare) == 0


def test_an_artifact_that_was_put_in_the_place_of_another_is_compared_once_it_is_evaluated(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is a new model taken up by a service: its folder still has the `run.json` of the one before."""
    shutil.copy(runs / "log.csv", tmp_path)
    for name in ("markov", "popularity"):
        shutil.copytree(runs / name, tmp_path / name)
    shutil.rmtree(tmp_path / "markov" / "artifact")
    shutil.copytree(tmp_path / "popularity" / "artifact", tmp_path / "markov" / "artifact")
    compare = ["compare", str(tmp_path / "markov"), str(tmp_path / "popularity")]
    assert run(["evaluate", str(tmp_path / "markov"), str(tmp_path / "popularity")]) == 0
    capsys.readouterr()
    assert run(compare) == 0, capsys.readouterr().err


@pytest.mark.parametrize("method", ["Popularity", "ItemKNN", "Markov", "EASE", "BPRMF", "GRU4Rec", "CCL4Rec", "DIN"])
def test_a_run_is_the_model_that_was_evaluated(runs: Path, tmp_path: Path, method: str) -> None:
    """If what is loaded had another fingerprint than what was trained, every comparison of it would be refused."""
    shutil.copy(runs / "log.csv", tmp_path)
    text = f'[data]\npath = "log.csv"\n[method]\nuse = "siftrec:{method}"\n[evaluate]\ncutoffs = [5, 10]\n'
    (tmp_path / "exp.toml").write_text(text)
    assert run(["train", str(tmp_path / "exp.toml"), "-o", str(tmp_path / "run"), "--set", "train.epochs=1"]) == 0
    assert run(["evaluate", str(tmp_path / "run")]) == 0
    assert len(kept(tmp_path / "run", "test").users) == 80


def test_a_record_that_names_no_model_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "markov", tmp_path / "run")
    shutil.copy(runs / "log.csv", tmp_path)
    assert run(["evaluate", str(tmp_path / "run")]) == 0
    (tmp_path / "run" / "run.json").write_text('{"fingerprints": {}}')
    with pytest.raises(DataError, match="does not say which model the run holds; train it again"):
        kept(tmp_path / "run", "test")


def test_targets_that_repeat_are_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Filtered ranking lets them be recommended and `recommend` does not: unsaid, a figure promises what is not served."""
    rows = [(f"u{user}", f"i{item}", time) for user in range(8) for time, item in enumerate((1, 2, 3, user % 4, 9, 2))]
    rows = [(user, item if user < "u4" or time < 5 else "i8", time) for user, item, time in rows]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(tmp_path / "log.csv")
    finished(tmp_path / "run", Popularity(), "[2]")
    assert run(["evaluate", str(tmp_path / "run"), "--json", str(tmp_path / "m.json")]) == 0
    assert "50.0% of targets stand in their user's history" in capsys.readouterr().out
    assert json.loads((tmp_path / "m.json").read_text())["runs"][0]["repeated"] == 0.5


def test_a_model_alone_has_nothing_to_be_evaluated_on(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(runs / "markov" / "artifact", tmp_path / "alone")
    assert run(["evaluate", str(tmp_path / "alone")]) == 3
    said = capsys.readouterr().err
    assert "is a model alone, without the config.toml" in said
    assert "or go on in Python: siftrec.load" in said


def test_a_model_trained_in_python_is_compared_by_what_python_wrote(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its author was sent to `siftrec evaluate`, which knows no data of it and sent them back."""
    shutil.copytree(runs / "markov" / "artifact", tmp_path / "mine" / "artifact")
    assert run(["evaluate", str(runs / "popularity")]) == 0
    compare = ["compare", str(tmp_path / "mine"), str(runs / "popularity")]
    assert run(compare) == 3
    path = tmp_path / "mine" / "evaluations" / "test.parquet"
    assert f"siftrec.evaluate(model, split.test).write('{path}')" in capsys.readouterr().err
    split = config.load(runs / "markov" / "config.toml").load_data()[0]
    evaluate(artifact.load(tmp_path / "mine"), split.test, CUTOFFS).write(path)
    assert run(compare) == 0


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["compare", "{}/markov", "{}/nothing"], 3, "run `siftrec evaluate {}/nothing --split test` first"),
        (
            ["compare", "{}/markov", "{}/a b", "--split", "valid"],
            3,
            "run `siftrec evaluate '{}/a b' --split valid` first",
        ),
        (["compare", "{}/markov"], 2, "two models and a metric; given 1 and 1"),
        (["compare", "{}/markov", "{}/markov", "--metric", "ndcg@10"], 2, "{}/markov and {}/markov are one run"),
        (["compare", "{}/markov", "{}/./markov/artifact"], 2, "are one run; a comparison needs two models"),
        (["compare", "{}/a,{}/b", "{}/b,{}/a"], 2, "are the same runs; a comparison needs two models"),
        (["evaluate", "{}/nothing"], 4, "nothing"),
        (["evaluate", "{}/markov", "--split", "train"], 2, "--split"),
    ],
)
def test_mistakes_are_one_line_with_the_right_exit_code(
    runs: Path, capsys: pytest.CaptureFixture[str], command: list[str], code: int, message: str
) -> None:
    run(["evaluate", str(runs / "markov"), "--split", command[-1] if command[-1] == "valid" else "test"])
    capsys.readouterr()
    assert run([part.replace("{}", str(runs)) for part in command]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message.replace("{}", str(runs)) in errors[0]
