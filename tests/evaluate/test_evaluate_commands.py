import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec import artifact, config
from siftrec.cli.main import run
from siftrec.evaluate.evaluation import Evaluation, evaluate
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


def finished(folder: Path, method: Method) -> None:
    folder.mkdir()
    text = f'[data]\npath = "../log.csv"\n[method]\nuse = "{spelled(type(method))}"\n[evaluate]\ncutoffs = [5, 10]\n'
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
    assert run(["compare", f"{names[0]},{names[0]}", names[1]]) == 0
    assert "Family of 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["compare", "{}/markov", "{}/nothing"], 3, "siftrec evaluate"),
        (["compare", "{}/markov", "{}/markov", "--metric", "ndcg@10"], 2, "two models"),
        (["evaluate", "{}/nothing"], 4, "nothing"),
        (["evaluate", "{}/markov", "--split", "train"], 2, "--split"),
    ],
)
def test_mistakes_are_one_line_with_the_right_exit_code(
    runs: Path, capsys: pytest.CaptureFixture[str], command: list[str], code: int, message: str
) -> None:
    run(["evaluate", str(runs / "markov")])
    capsys.readouterr()
    assert run([part.format(runs) for part in command]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
