"""What the interface promises of a command that refuses: its exit code, one line on stderr, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from siftrec.cli.main import run
from siftrec.files import sha256


def refused(arguments: list[str], code: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must refuse; gives the line it says, after any notes and without its `error: `.

    Args:
        arguments: of `siftrec`.
        code: the exit code that docs/formats.md promises.
        folder: where nothing may be made or changed.
        capsys: pytest's.
    """
    before = _files(folder)
    capsys.readouterr()
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    *notes, line = err.splitlines()
    assert all(note.startswith("note: ") for note in notes), err
    assert line.startswith("error: "), err
    assert _files(folder) == before
    return line.removeprefix("error: ")


def _files(folder: Path) -> dict[str, str]:
    return {str(path): sha256(path) if path.is_file() else "" for path in folder.rglob("*")}
