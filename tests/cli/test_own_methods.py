"""Methods and splits of one's own from the command line, and runs from elsewhere that name code."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli.modal import small_detectors
from own import METHODS, beside
from serve.running import running
from siftrec.cli.main import run

LOADING = {
    "evaluate": ["evaluate", "run"],
    "recommend": ["recommend", "run", "--history", "i1,i2"],
    "recommend of a user": ["recommend", "run", "--user", "u1"],
    "noise": ["noise", "run", "-o", "noise"],
    "sift": ["sift", "run", "-o", "weighted.csv"],
    "similar": ["similar", "run", "i1"],
    "export": ["export", "run", "-o", "vectors"],
}


def write(folder: Path) -> None:
    """A log of 60 users, and an experiment with a method and a split of one's own."""
    rng = np.random.default_rng(3)
    rows = [(f"u{u}", f"i{i}", 10 * t) for u in range(60) for t, i in enumerate(rng.permutation(20)[:8])]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(folder / "events.csv")
    (folder / "exp.toml").write_text(
        '[data]\npath = "events.csv"\n[split]\nuse = "mine_here:Last"\n[method]\nuse = "mine_here:Mine"\n'
        "[train]\nepochs = 1\nbatch_size = 16\n[evaluate]\ncutoffs = [5]\n"
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write(folder)
    with beside(folder, mine_here=METHODS):
        assert run(["train", "exp.toml", "-o", "run"]) == 0
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    small_detectors(monkeypatch)
    with beside(place, mine_here=METHODS):
        yield place


@pytest.mark.parametrize("name", LOADING)
def test_a_run_of_one_s_own_method_is_used_by_every_command(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who trains a method of their own would be left with a run that nothing can read."""
    assert run(LOADING[name]) in (3, 4)
    assert "--trust mine_here" in capsys.readouterr().err
    assert "mine_here" not in sys.modules
    assert run([*LOADING[name], "--trust", "mine_here"]) == 0, capsys.readouterr().err


def test_it_is_served_too(here: Path) -> None:
    with running("run", "--trust", "mine_here") as process:
        assert "serving run" in process.said


def test_trust_is_the_name_of_a_package(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*LOADING["recommend"], "--trust", "mine_here:Mine"]) == 2
    assert "trust 'mine_here:Mine': name a top-level package" in capsys.readouterr().err


FOREIGN = "from pathlib import Path\nPath('ran').touch()\n"
NAMED = {"use": "foreign_code:Anything"}


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Path]:
    """A run that came from elsewhere, with a module that must not be run, beside a folder of one's own."""
    write(tmp_path)
    with beside(tmp_path, foreign_code=FOREIGN):
        sys.path.append(str(tmp_path))  # so that whatever is named is found
        plain = ["--set", "method.use=siftrec:Popularity", "--set", "split.use=siftrec:LeaveOneOut"]
        assert run(["train", "exp.toml", "-o", "run", *plain]) == 0
        yield tmp_path


@pytest.mark.parametrize(
    "key",
    [
        "split",
        "method",
        "method.base",
        "seed",
        "data",
        "data.path",
        "data.inject",
        "data.foreign",
        "train",
        "train.epochs",
        "evaluate",
        "evaluate.cutoffs",
        "modality",
        "modality.text",
        "modality.text.path",
    ],
)
def test_the_config_of_a_run_from_elsewhere_runs_nothing(
    sent: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its weights are checked, but a config.toml beside them may name any module that can be imported here."""
    table = tomllib.loads((sent / "run" / "config.toml").read_text())
    *above, last = key.split(".")
    at = table
    for part in above:
        at = at.setdefault(part, {})
    old = at.get(last)
    at[last] = {**(old if isinstance(old, dict) else {}), **NAMED}
    (sent / "run" / "config.toml").write_text(toml(table))
    for command in ("evaluate", "recommend of a user", "noise", "sift"):
        assert run(LOADING[command]) in (2, 3), capsys.readouterr().err
    assert run(["train", "exp.toml", "-o", "run", "--resume", "--set", "method.use=siftrec:Popularity",
                "--set", "split.use=siftrec:LeaveOneOut"]) == 3  # fmt: skip
    assert not (sent / "ran").exists()
    assert "foreign_code" not in sys.modules


def toml(table: dict[str, object]) -> str:
    from siftrec.settings import toml_lines

    return "\n".join(toml_lines(table)) + "\n"


def test_what_a_run_s_config_names_is_said_with_the_file(sent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sent / "run" / "config.toml"
    path.write_text(path.read_text().replace("siftrec:LeaveOneOut", "foreign_code:Split"))
    assert run(["evaluate", "run"]) == 3
    problem = "'foreign_code:Split' would run code of 'foreign_code'; if you trust it, say --trust foreign_code, "
    assert f"error: run/config.toml: split.use: {problem}" in capsys.readouterr().err
    assert run(["evaluate", "run", "--trust", "foreign_code"]) == 3  # it has no Split, but now it was asked
    assert (sent / "ran").exists()


def test_a_run_folder_is_no_place_to_look_for_modules(
    sent: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever trusts a package of theirs by name has not trusted a file of that name that came with a run."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(sent)])
    (sent / "foreign_code.py").rename(sent / "run" / "foreign_code.py")
    path = sent / "run" / "config.toml"
    path.write_text(path.read_text().replace("siftrec:LeaveOneOut", "foreign_code:Split"))
    assert run(["evaluate", "run", "--trust", "foreign_code"]) == 3
    assert f"cannot import 'foreign_code': no such module in {sent}" in capsys.readouterr().err
    assert not (sent / "ran").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sys\nundefined_name\n", "NameError: name 'undefined_name' is not defined (broken_here.py, line 2)"),
        ("x = 1\ndef f(:\n    pass\n", "SyntaxError: invalid syntax (broken_here.py, line 2)"),
        ("\nimport nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all' (broken_here.py, line 2)"),
        ("import numpy as np\nnp.zeros(3).reshape(2)\n", "(broken_here.py, line 2)"),
        ("raise SystemExit(0)\n", "SystemExit: 0 (broken_here.py, line 1)"),
        ("from siftrec import SASRec\nSASRec(dim=0)\n", "(broken_here.py, line 2)"),
    ],
)
def test_a_mistake_in_one_s_own_module_is_named_with_its_line(
    tmp_path: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An "internal error" would be looked for in siftrec."""
    write(tmp_path)
    with beside(tmp_path, broken_here=text):
        assert run(["train", "exp.toml", "-o", "run", "--set", "method.use=broken_here:Method"]) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: method.use: importing 'broken_here' failed: ")
    assert last.endswith(says)


def test_what_is_not_there_is_said_with_where_was_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    with beside(tmp_path, mine_here=METHODS):
        for use, says in {
            "nowhere_here:X": f"method.use: cannot import 'nowhere_here': no such module in {tmp_path}",
            "mine_here.sub:X": "cannot import 'mine_here.sub': there is no 'mine_here.sub'",
            "mine_here:Mini": f"'mine_here' ({tmp_path}/mine_here.py) has no 'Mini'; did you mean 'Mine'?",
        }.items():
            assert run(["train", "exp.toml", "-o", "run", "--set", f"method.use={use}"]) == 3
            assert says in capsys.readouterr().err


def test_a_file_of_the_current_folder_takes_no_other_s_place(tmp_path: Path) -> None:
    """A folder that was sent may hold a numpy.py; with the command, other than with `python -m`, it is looked at last."""
    write(tmp_path)
    with beside(tmp_path, mine_here=METHODS):
        assert run(["train", "exp.toml", "-o", "run"]) == 0
        assert sys.path[-1] == str(tmp_path)
        assert sys.path.count(str(tmp_path)) == 1
