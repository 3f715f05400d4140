"""A report's page as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from siftrec.errors import EnvironmentProblem, UsageError
from siftrec.files import clear_errors, write_text
from siftrec.report.page import GENERATOR

_HEAD = 1024


@runtime_checkable
class Report(Protocol):
    """What has a page: `siftrec.NoiseReport` and `siftrec.audit.Audit`."""

    def page(self) -> str:
        """One self-contained HTML file."""
        ...


def html(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the page of a report: one file that loads nothing and runs no script.

    Args:
        report: what `siftrec.noise_report` or `siftrec.audit` returns.
        path: the file, ending in `.html`; folders above it are made, and an older page of siftrec is replaced when the new
            one is complete.

    Raises:
        UsageError: something without a page, or another ending.
        EnvironmentProblem: a file there that siftrec did not write, disk full, read-only folder; what is there is untouched.
    """
    if not isinstance(report, Report):
        problem = "has no page; give what siftrec.noise_report or siftrec.audit returns"
        raise UsageError(f"report: {type(report).__name__} {problem}")
    place = Path(path)
    if place.suffix != ".html":
        raise UsageError(f"{place} must end in .html")
    with clear_errors(place):
        if place.is_file() and not _ours(place):
            raise EnvironmentProblem(f"{place}: is a file that siftrec did not write; choose another")
    write_text(place, report.page())


def _ours(place: Path) -> bool:
    with place.open("rb") as file:
        return f'<meta name="generator" content="{GENERATOR}">'.encode() in file.read(_HEAD)
