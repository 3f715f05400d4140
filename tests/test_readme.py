import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec import config
from siftrec.cli.main import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
MICROLENS = ROOT.parent / "shared" / "data" / "microlens50k"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Arguments of every `siftrec` line of the README."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("$ siftrec ")]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the README's examples name, and the folder they are in as the current one."""
    rng = np.random.default_rng(5)
    items = ["v17", "v203", *(f"v{i}" for i in range(300, 358))]
    rows = [
        (f"u{u}", items[i], 1_600_000_000 + 60 * t) for u in range(150) for t, i in enumerate(rng.permutation(60)[:9])
    ]
    pl.DataFrame(rows, schema=["uid", "vid", "ts"], orient="row").write_parquet(tmp_path / "events.parquet")
    pl.DataFrame({"row": range(60), "item": items}).write_csv(tmp_path / "items.tsv", separator="\t")
    np.save(tmp_path / "title.npy", rng.standard_normal((60, 8)).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_block_runs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    shorter = code.replace("epochs=20", "epochs=1").replace("dim=64", "dim=8")
    assert shorter != code
    exec(compile(shorter, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "ndcg@10" in out
    assert len(re.findall(r"^ *\d+  v\d+ ", out, re.MULTILINE)) == 10


def test_the_experiment_block_loads_as_it_stands(data: Path) -> None:
    text, inject = blocks("toml")
    named = text.replace("[split]", 'user = "uid"\nitem = "vid"\ntime = "ts"\n\n[split]')
    (data / "exp.toml").write_text(f"{named}\n{inject}")
    experiment = config.load(data / "exp.toml")
    prepared = experiment.prepare()
    assert list(prepared.catalog) == ["text"]
    assert prepared.injected is not None


def test_the_command_lines_are_those_of_the_program(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands()
    assert [command[0] for command in found] == ["init", "train", "evaluate", "recommend"]
    pl.read_parquet("events.parquet").rename({"uid": "user", "vid": "item", "ts": "time"}).write_csv("log.csv")
    (data / "log").mkdir()
    (data / "log.csv").rename(data / "log" / "log.csv")
    for command in found:
        short = ["--set", "train.epochs=1", "--set", "method.dim=8"] if command[0] == "train" else []
        arguments = ["log" if part == "../shared/data/microlens50k" else part for part in command]
        assert run([*arguments, *short]) == 0, capsys.readouterr().err
    assert (data / "m.json").exists()
    assert capsys.readouterr().out.splitlines()[-1].startswith('{"items": [{"rank": 1')


@pytest.mark.slow
@pytest.mark.skipif(not MICROLENS.is_dir(), reason="needs ../shared/data/microlens50k")
def test_the_command_lines_run_on_the_data_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands():
        short = ["--set", "train.epochs=1"] if command[0] == "train" else []
        arguments = [str(MICROLENS) if part == "../shared/data/microlens50k" else part for part in command]
        assert run([*arguments, *short]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.splitlines()[-1].count('"rank"') == 10


def test_every_link_into_the_project_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) > 3
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
