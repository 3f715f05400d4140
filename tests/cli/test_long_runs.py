"""What `siftrec train` says where there is much to do, too much, or somebody who does not wait."""

import re
from pathlib import Path
from typing import Any

import pytest

from siftrec.cli import main
from siftrec.errors import no_memory
from siftrec.methods.cl4srec import CL4SRec
from siftrec.methods.ease import EASE
from siftrec.methods.sasrec import SASRec
from siftrec.train.events import Estimate, Event, Started, Validating
from siftrec.train.fit import fit
from siftrec.train.progress import Words
from train.tiny import split


def train(run_folder: Path, out: Path, *more: str) -> int:
    return main.run(["train", str(run_folder.parent / "exp.toml"), "-o", str(out), *more])


def test_a_counted_method_says_how_many_questions_it_is_asked(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a large log nothing was printed for minutes, and nobody could tell work from a standstill."""
    assert train(run_folder, tmp_path / "run") == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == ["validation: 40 questions", f"run folder: {tmp_path / 'run'}"]


def test_a_long_validation_says_how_far_it_is(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftrec.cli.console._PLAIN_SECONDS", -1.0)
    assert train(run_folder, tmp_path / "run") == 0
    assert re.search(r"^validation: \d+ of 40 questions$", capsys.readouterr().err, re.MULTILINE)


def test_every_question_of_the_last_validation_is_counted(run_folder: Path, tmp_path: Path) -> None:
    from siftrec import config
    from siftrec.run import run

    seen = list[Event]()
    run(config.load(run_folder.parent / "exp.toml"), tmp_path / "run", on_event=seen.append)
    counted = [event.done for event in seen if isinstance(event, Validating)]
    assert (counted[0], counted[-1]) == (0, 40)
    assert counted == sorted(counted)


def test_the_estimate_says_that_it_is_of_training_alone() -> None:
    """ "At most 4 s" stood above a run of fourteen: reading and the last validation are not in it."""
    lines = Words()(Started("siftrec:CCL4Rec", 9, 0, 0, 2, 300, Estimate(4.0, 600_000_000), {}))
    assert lines[-1] == "training: at most 4 s, 0.6 GB of memory"


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (None, ""),
        ("artifact", "stopped by Ctrl-C; the model is whole; run again with --resume for its figures on validation\n"),
    ],
)
def test_who_stops_the_last_validation_is_told_that_the_model_is_there(
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    left: str | None,
    told: str,
) -> None:
    def stop(*args: object, **named: object) -> None:
        raise KeyboardInterrupt

    where = "siftrec.run.evaluate" if left else "siftrec.run.fit"
    with monkeypatch.context() as patch:
        patch.setattr(where, stop)
        assert train(run_folder, tmp_path / "run") == 130
    err = capsys.readouterr().err
    assert err.endswith(f"{told}error: interrupted\n")
    assert ("--resume" in err) == bool(left)
    assert train(run_folder, tmp_path / "run", "--resume") == 0


def test_short_memory_names_settings_only_of_a_method_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """EASE has no dim, and a log that is read has no batches: who followed the advice met "no such setting"."""

    def fail(*args: Any, **named: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    for kind in (SASRec, EASE):
        monkeypatch.setattr(kind, "build" if kind is SASRec else "fit", fail)
    monkeypatch.setattr(CL4SRec, "build", fail)
    notes = []
    for method in (SASRec(), CL4SRec(), EASE()):
        with pytest.raises(RuntimeError) as caught:
            fit(method, split())
        assert no_memory(caught.value)
        notes += getattr(caught.value, "__notes__", [""])
    assert notes == [
        "a smaller method.dim or method.length or train.batch_size needs less of it",
        "a smaller method.base.dim or method.base.length or train.batch_size needs less of it",
        "",
    ]


@pytest.mark.parametrize(("method", "told"), [("siftrec:SASRec", True), ("siftrec:EASE", False)])
def test_a_command_tells_what_needs_less_memory(
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    told: bool,
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise MemoryError

    monkeypatch.setattr("siftrec.methods.sasrec.SASRec.build", fail)
    monkeypatch.setattr("siftrec.methods.ease.EASE.fit", fail)
    assert train(run_folder, tmp_path / "run", "--set", f"method.use={method}") == 6
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: memory is short; ")
    assert ("method.dim" in line) == told
    assert ("data.core" in line) != told
