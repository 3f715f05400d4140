"""Rows of benchmarks/speed.py: what is timed is what the row says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import aims
import commands
import machine
import pytest
import speed
from aims_found import Stored, speed_reached
from timings import Options

from siftrec.settings import describe

OPTIONS = Options(Path(), 0.0, 3)


def test_demure_around_ccl4rec_is_timed_against_the_same_without_a_gate() -> None:
    """Another base, or contrast on one side, would be taken for what the gate costs."""
    row = speed.ROWS["demure-ccl4rec"]
    assert isinstance(row.measure, speed.Training)
    assert row.measure.against is not None
    assert (row.asked, row.less) == (2.5, True)
    ours, other = describe(row.measure.method()), describe(row.measure.against())
    assert ours["base"]["use"] == "siftrec:CCL4Rec"
    assert {ours["base"]["contrast"][loss] for loss in ("vanilla", "graded", "over")} == {0.0}
    assert (ours["gate"].pop("kind"), other["gate"].pop("kind")) == ("softmax", "none")
    assert ours == other


def test_the_demo_is_timed_as_a_user_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With this script's one thread for every pool it would be another program's time."""
    given: list[tuple[tuple[str, ...], dict[str, str], int]] = []

    def child(*command: str, env: dict[str, str]) -> dict[str, float]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else commands.CORES
        given.append((command, env, cores))
        return {"wall_s": 60.0 + len(given), "peak_bytes": 1e9 * len(given), "cpu_s": 80.0}

    for name, value in machine.THREADS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/home/of-a-user")
    monkeypatch.setattr(commands, "child", child)
    figures = commands.demo_time(OPTIONS)
    assert (figures.values, figures.beside) == ([61.0, 62.0, 63.0], {"peak_gb": 3.0, "cpu_s": 80.0})
    for command, env, cores in given:
        assert command[1:3] == ("demo", "-o")
        assert not machine.THREADS.keys() & env.keys()
        assert env["HOME"] == "/home/of-a-user"
        assert cores <= commands.CORES
    assert len({command[3] for command, *_ in given}) == 3, "a run into the folder of another would be cut short"


def test_a_command_has_the_environment_that_it_is_given() -> None:
    tell = "import os, sys; sys.exit('OMP_NUM_THREADS' in os.environ)"
    assert commands.child(sys.executable, "-c", tell, env={})["wall_s"] > 0
    with pytest.raises(SystemExit):
        commands.child(sys.executable, "-c", tell, env={"OMP_NUM_THREADS": "1"})


def test_the_demo_is_left_out_where_its_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Else `all` would end in its error, and the rows behind it would not be measured."""
    ran: list[str] = []
    row = {"median": 1.0, "unit": "s", "asked": 2.0, "peers": {}}
    monkeypatch.setattr(machine, "one_thread", lambda: None)
    monkeypatch.setattr(speed, "measured", lambda name, options: ran.append(name) or row)
    monkeypatch.setattr(sys, "argv", ["speed.py", "demo", "help", "--out", str(tmp_path / "speed.json")])
    for installed, rows in ((False, ["help"]), (True, ["demo", "help"])):
        monkeypatch.setattr(speed, "has_demo", lambda installed=installed: installed)
        ran.clear()
        speed.main()
        assert ran == rows
    assert capsys.readouterr().err == "demo: waits for its extra; run: make demo\n"


def test_what_was_asked_of_speed_is_shown_before_it_is_measured(tmp_path: Path) -> None:
    """A row that nobody has run would be missing from the aims as if nothing had been asked."""
    rows = {
        aim.what: aims.line(aim, aim.seek(Stored(tmp_path, {}))) for aim in aims.all_aims(Stored(tmp_path, {}))["cost"]
    }
    demo = "`siftrec demo`, wall time on two cores, with its own threads, s"
    assert rows[demo] == (demo, "at most 90", "not measured", "–", "–", "–")
    assert len(rows) > len(speed.ROWS)
    stored = Stored(tmp_path, {})
    row = vars(speed.ROWS["demo"]) | {"peers": {}, "median": 91.0}
    stored.__dict__["speed"] = {"demo": row}
    (aim,) = (aim for aim in aims.all_aims(stored)["cost"] if aim.what == demo)
    assert aims.line(aim, aim.seek(stored))[2:4] == ("91", "**no**")
    assert not speed_reached(row)
