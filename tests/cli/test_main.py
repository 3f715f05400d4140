import json
import os
import platform
import re
import subprocess
import sys
import warnings
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from commanded import refused
from siftrec.cli import main
from siftrec.cli.console import counting, table
from siftrec.cli.train import training_was_short
from siftrec.errors import ArtifactError, NonFiniteLossError, Terminated
from siftrec.train.events import EpochEnded, Estimate, Started, Stopped
from siftrec.train.log import Log
from siftrec.train.progress import duration

COMMANDS = (
    "demo",
    "init",
    "data",
    "train",
    "evaluate",
    "compare",
    "noise",
    "sift",
    "recommend",
    "similar",
    "export",
    "audit",
    "serve",
    "feedback",
    "doctor",
)
SIFTREC = (sys.executable, "-m", "siftrec")
HEAVY = {"torch", "polars", "pydantic", "numpy", "rich", "pyarrow", "scipy"}


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*SIFTREC, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_lists_every_command_and_is_fast_because_nothing_heavy_is_imported() -> None:
    code = "import sys\nfrom siftrec.cli.main import run\nrun(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY.intersection(done.stderr.split())
    assert re.findall(r"^  (\w+) ", done.stdout.partition("Commands:")[2], re.MULTILINE) == list(COMMANDS)


def test_help_takes_less_than_three_tenths_of_a_second_of_processor_time() -> None:
    code = "import time\nfrom siftrec.cli.main import run\nrun(['--help'])\nprint(time.process_time())"
    times = [
        float(
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1]
        )
        for _ in range(3)
    ]
    assert min(times) < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([command, "--help"]) == 0
    assert f"siftrec {command}" in capsys.readouterr().out


def test_no_command_shows_the_help_and_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 0
    assert "Commands:" in capsys.readouterr().out
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["train"], 2, "Missing argument 'EXP.toml'"),
        (["train", "a.toml"], 2, "Missing option '-o'"),
        (["recommend", "run", "--nope"], 2, "No such option"),
        (["recommend", "run", "-k", "0", "--history", "a"], 2, "for '-k'"),
        (["recommend", "run"], 2, "give either --history"),
        (["recommend", "run", "--file", "h.parquet"], 2, "go together"),
        (["train", "absent.toml", "-o", "x"], 3, "absent.toml: no such file"),
        (["train", "absent.toml", "-o", "x", "--set", "oops"], 3, "absent.toml"),
        (["recommend", "absent", "--history", "a"], 4, "absent"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused(arguments, code, tmp_path, capsys)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ArtifactError("bad\n artifact"), 4, "error: bad artifact\n"),
        (NonFiniteLossError("nan"), 5, "error: nan\n"),
        (Terminated("saved"), 143, "error: saved\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (MemoryError(), 6, "error: memory is short; a log with fewer interactions, users and items needs less"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), 6, "error: memory is short"),
        (RuntimeError("else"), 1, "error: internal error: RuntimeError: else"),
        (ZeroDivisionError("division"), 1, "error: internal error: ZeroDivisionError: division; `siftrec --traceback"),
    ],
)
def test_whatever_a_command_raises_becomes_a_line_and_a_code(
    error: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise error

    monkeypatch.setattr("siftrec.config.load", fail)
    assert main.run(["train", "x.toml", "-o", "y"]) == code
    err = capsys.readouterr().err
    assert err.startswith(says)
    assert err.count("\n") == 1
    main.run(["--traceback", "train", "x.toml", "-o", "y"])
    assert ("Traceback" in capsys.readouterr().err) == (code not in (130,))


def test_train_prints_validation_on_stdout_and_keeps_the_rest_on_stderr(run_folder: Path) -> None:
    done = CliRunner().invoke(
        main.app, ["train", str(run_folder.parent / "exp.toml"), "-o", str(run_folder), "--resume"]
    )
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["validation", "recall@3", "ndcg@3"]
    assert "leaks time" in done.stderr


FREED = """
import sys
import numpy as np
from siftrec.cli.train import return_large_blocks
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
if sys.argv[1] == "returned":
    return_large_blocks()
np.ones(30 << 20, np.uint8)  # once such a block is freed, glibc keeps the place of any smaller one
low, high = (np.ones(20 << 20, np.uint8) for _ in range(2))
before = resident()
del low
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed")
@pytest.mark.parametrize(("mode", "least", "most"), [("returned", 18_000, 22_000), ("kept", -1_000, 1_000)])
def test_training_returns_large_blocks_as_soon_as_they_are_free(mode: str, least: int, most: int) -> None:
    done = subprocess.run([sys.executable, "-c", FREED, mode], capture_output=True, text=True, check=True)
    assert least <= int(done.stdout) <= most


def test_train_says_what_was_accepted_and_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(u, (u + t) % 12, 60 * t, int(t != 3)) for u in range(20) for t in range(6)]
    log = pl.DataFrame([*rows, rows[0]], schema=["user", "item", "time", "label"], orient="row")
    log.write_parquet(tmp_path / "log.parquet")
    (tmp_path / "exp.toml").write_text(
        '[data]\npath = "log.parquet"\n[method]\nuse = "siftrec:Popularity"\n[evaluate]\ncutoffs = [3]\n'
    )
    assert main.run(["train", str(tmp_path / "exp.toml"), "-o", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err.splitlines()
    for note in ("duplicate rows: 1", "equal times: 1", "rows shown but not clicked, left out: 20"):
        assert said.count(f"note: {note}") == 1


def test_train_says_where_it_was_too_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a small log the defaults make fifty steps; who is not told takes half of what the method can for its best."""
    rows = [(u, (u + t) % 12, t) for u in range(520) for t in range(5)]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_parquet(tmp_path / "log.parquet")
    (tmp_path / "exp.toml").write_text(
        '[data]\npath = "log.parquet"\n[method]\nuse = "siftrec:SASRec"\ndim = 8\n[evaluate]\ncutoffs = [3]\n'
        "[train]\nepochs = 1\nbatch_size = 256\n"
    )
    train = ["train", str(tmp_path / "exp.toml"), "-o"]
    assert main.run([*train, str(tmp_path / "short")]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "few steps" in line or "the last epoch" in line]
    assert notes == [
        "warning: training ended after few steps, 3 in all; more may help: a smaller batch_size (now 256), more epochs "
        "(now 1), a larger patience (now 3)"
    ]
    assert main.run([*train, str(tmp_path / "long"), "--set", "train.batch_size=1"]) == 0
    said = capsys.readouterr().err
    assert "the last epoch" not in said
    assert "few steps" not in said


@pytest.mark.parametrize(
    ("values", "steps", "best", "told"),
    [
        ([0.1, 0.2], 100, 1, ""),  # training itself has warned
        ([0.1, 0.103], 250, 1, "the last epoch has the best ndcg@10, still up from 0.1000 to 0.1030"),
        ([0.1, 0.101], 250, 1, ""),  # a falling rate that came to its end
        ([0.2, 0.1], 100, 0, ""),
        ([0.0, 0.1], 250, 1, "the last epoch has the best ndcg@10, still up from 0.0000 to 0.1000"),
        ([None, None], 100, 1, ""),
        ([], 100, 0, ""),
    ],
)
def test_training_was_short_only_if_more_would_have_been_better(
    tmp_path: Path, values: list[float | None], steps: int, best: int, told: str
) -> None:
    """A note after every run is one that nobody reads; a run that was resumed is judged from its first epoch on."""
    log, count = Log(tmp_path / "log.jsonl"), len(values)
    for epoch, value in enumerate(values):
        log.write(Started("siftrec:SASRec", 9, epoch, 0, count, steps, Estimate(), {}))
        log.write(EpochEnded(epoch, "ndcg@10", value, True, 0.1))
    log.write(Stopped("done", count, best, "ndcg@10", max((v for v in values if v), default=None)))
    log.close()
    assert training_was_short(tmp_path / "log.jsonl") == told


def test_a_damaged_line_of_the_log_does_not_fail_a_run_that_has_ended(tmp_path: Path) -> None:
    """A resumed run was trained to its end, then exit 1, for a hint."""
    log = Log(tmp_path / "log.jsonl")
    log.write(Started("siftrec:SASRec", 9, 0, 0, 2, 300, Estimate(), {}))
    log.write(Stopped("done", 2, 1, "ndcg@10", 0.2))
    for epoch, value in enumerate((0.1, 0.2)):
        log.write(EpochEnded(epoch, "ndcg@10", value, True, 0.1))
    log.close()
    whole = log.path.read_bytes()
    told = training_was_short(log.path)
    assert told
    log.path.write_bytes(b'{"event": "sta\n\xff\xfe\n3\n{}\n\n' + whole)
    assert training_was_short(log.path) == told
    log.path.write_bytes(whole.partition(b"\n")[2])
    assert training_was_short(log.path) == ""


def test_an_interrupted_run_says_how_to_go_on(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("siftrec.run.run", stop)
    for told in ("", "stopped by Ctrl-C; run again with --resume to go on from the last step\n"):
        assert main.run(["train", str(run_folder.parent / "exp.toml"), "-o", str(tmp_path / "run")]) == 130
        err = capsys.readouterr().err
        assert err.endswith(f"{told}error: interrupted\n")
        assert ("--resume" in err) == bool(told)
        (tmp_path / "run" / "checkpoints" / "e00000-s00000001").mkdir(parents=True, exist_ok=True)


def test_a_used_folder_is_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["train", str(run_folder.parent / "exp.toml"), "-o", str(run_folder)]) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_recommend_prints_json_alone(run_folder: Path) -> None:
    done = called("recommend", run_folder, "--history", "7, 5,zz", "-k", 2, "--json", "-")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["items"][0]["rank"] == 1
    assert answer["items"][0]["item"] == "1"
    assert len(answer["items"]) == 2
    assert (answer["unknown"], answer["fallback"]) == (["zz"], False)


def test_recommend_shows_titles_and_says_what_is_unknown(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["recommend", str(run_folder), "--history", "zz", "-k", "3"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[-1] == "One"
    assert "unknown and skipped: zz" in err
    assert "most popular" in err


def test_recommend_answers_a_file_as_it_answers_one_history(run_folder: Path, tmp_path: Path) -> None:
    histories = [[7, 5], [1, 999], [], None]
    pl.DataFrame({"user": ["a", "b", "c", "d"], "history": histories}).write_parquet(tmp_path / "h.parquet")
    out = tmp_path / "out.parquet"
    assert (
        main.run(["recommend", str(run_folder), "--file", str(tmp_path / "h.parquet"), "-o", str(out), "-k", "4"]) == 0
    )
    frame = pl.read_parquet(out)
    columns = {"user": pl.String, "rank": pl.Int32, "item": pl.String, "score": pl.Float32, "fallback": pl.Boolean}
    assert frame.schema == columns
    assert frame["rank"].to_list() == [1, 2, 3, 4] * 4
    main.run(["recommend", str(run_folder), "--history", "7,5", "-k", "4", "--json", str(tmp_path / "one.json")])
    alone = json.loads((tmp_path / "one.json").read_text())["items"]
    assert frame.filter(user="a").select("rank", "item", "score").to_dicts() == alone


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.DataFrame({"user": ["a"], "items": [["1"]]}), "no column 'history'"),
        (pl.DataFrame({"user": ["a"], "history": ["1,2"]}), "must be a list of item ids, not String"),
        (
            pl.DataFrame({"user": ["a"], "history": [[["1"], ["2"]]]}),
            "must be a list of item ids, not List(List(String))",
        ),
        (None, "no such file"),
    ],
)
def test_a_wrong_file_of_histories_is_refused(
    run_folder: Path, tmp_path: Path, frame: pl.DataFrame | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if frame is not None:
        frame.write_parquet(tmp_path / "h.parquet")
    asked = ["recommend", str(run_folder), "--file", str(tmp_path / "h.parquet"), "-o", str(tmp_path / "o.parquet")]
    assert main.run(asked) == 3
    assert says in capsys.readouterr().err
    assert not (tmp_path / "o.parquet").exists()


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*SIFTREC, "doctor"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_line(unbuffered: str) -> None:
    """`siftrec evaluate RUN --json - > full/disk` was an internal error, or Python's own words and exit code 120."""
    with Path("/dev/full").open("w") as full:
        command, environment = [*SIFTREC, "--version"], os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (6, "error: standard output: No space left on device\n")


def test_tables_align_numbers_to_the_right() -> None:
    assert (
        table(("name", "n"), [("a", 1.0), ("long name", 20)])
        == "name            n\na          1.0000\nlong name      20"
    )


@pytest.mark.parametrize(("seconds", "text"), [(0, "1 s"), (59, "59 s"), (125, "2 min 5 s"), (12000, "3 h 20 min")])
def test_durations_are_read_by_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_long_work_says_early_how_long_the_rest_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever waits for minutes is told after the first step; the last one has nothing left to tell."""
    with counting("models") as tell:
        for done in range(1, 5):
            tell(done, 4)
    assert capsys.readouterr().err == "models: 1 of 4, about 1 s more\n"


def test_what_python_warns_of_is_one_line_like_all_that_a_command_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line of our own source that came with it is nobody's business."""
    monkeypatch.setattr(warnings, "showwarning", None)
    monkeypatch.setattr(sys, "argv", ["siftrec", "--version"])
    with pytest.raises(SystemExit):
        main.main()
    warnings.showwarning(UserWarning("modality 'text'\nis rare"), UserWarning, "catalog.py", 7)
    assert capsys.readouterr().err == "warning: modality 'text' is rare\n"
