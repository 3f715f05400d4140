"""A place that cannot be written is told before anything is computed for it."""

import os
import tempfile
from pathlib import Path

import polars as pl
import pytest

from commanded import refused
from siftrec import beside
from siftrec.errors import EnvironmentProblem
from siftrec.files import clear_errors

IN_THE_WAY = "a file stands where a folder is needed; choose another output folder"
WORK = {
    "audit LOG --quick -o OUT": "siftrec.audit.source.sniff",
    "audit LOG --quick --json OUT": "siftrec.audit.source.sniff",
    "data LOG --write OUT": "siftrec.data.read.read",
    "data LOG --json OUT": "siftrec.data.read.read",
    "evaluate RUN --json OUT": "siftrec.cli.evaluate.load_run",
    "init LOG -o OUT": "siftrec.config.Data.read",
    "noise RUN -o OUT": "siftrec.cli.noise.load_run",
    "recommend RUN --all-users -o OUT": "siftrec.cli.recommend.load_run",
    "sift RUN -o OUT": "siftrec.cli.noise.load_run",
    "train EXP -o OUT": "siftrec.config.Experiment.prepare",
    "train EXP --resume -o OUT": "siftrec.config.Experiment.prepare",
}


@pytest.mark.parametrize("command", WORK)
def test_an_output_that_cannot_be_written_costs_no_work(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """An audit of a large log took its half an hour, then said that the file system is read-only."""

    def fail(*args: object, **named: object) -> None:
        raise AssertionError("work was done")

    monkeypatch.setattr(WORK[command], fail)
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    endings = {"recommend": ".parquet", "data": ".parquet", "sift": ".csv"}
    log, experiment = run_folder.parent / "events.csv", run_folder.parent / "exp.toml"
    spelled = {"LOG": log, "RUN": run_folder, "EXP": experiment}
    spelled["OUT"] = out.with_suffix(endings.get(command.split(maxsplit=1)[0], ""))
    arguments = [str(spelled.get(word, word)) for word in command.split()]
    assert refused(arguments, 6, tmp_path, capsys) == f"{spelled['OUT']}: {IN_THE_WAY}"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_a_folder_of_somebody_else_is_told_and_one_of_one_s_own_in_it_is_not() -> None:
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: its parents are closed to other users
        root = Path(name)
        root.chmod(0o755)
        (root / "mine").mkdir()
        os.chown(root / "mine", 65534, 65534)
        os.seteuid(65534)
        try:
            for out in (root / "out.parquet", root / "new" / "deep" / "out", root / "mine"):
                with pytest.raises(EnvironmentProblem, match="no permission to write"), clear_errors(out):
                    beside.check(out)
            beside.check(root / "mine" / "new" / "out.parquet")
        finally:
            os.seteuid(0)
        assert [str(path.relative_to(root)) for path in root.rglob("*")] == ["mine"]


def test_a_check_leaves_an_older_file_and_nothing_else(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "out.parquet")
    before = (tmp_path / "out.parquet").read_bytes()
    (tmp_path / "link.parquet").symlink_to("out.parquet")
    for name in ("out.parquet", "link.parquet", "new/deep/out.parquet", "."):
        beside.check(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["link.parquet", "out.parquet"]
    assert (tmp_path / "out.parquet").read_bytes() == before
