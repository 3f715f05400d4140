"""How the command line talks: messages on stderr, results on stdout, a progress bar only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    """A message for the person: one line on stderr."""
    print(text, file=sys.stderr, flush=True)


def complain(problem: str) -> None:
    """`error: …`, always a single line."""
    say(f"error: {' '.join(problem.split())}")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Aligned columns; numbers to the right, floats with four digits.

    metric      filtered  unfiltered
    ndcg@10       0.0411      0.0301
    """
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def write_result(value: Any, target: str) -> None:
    """A result as JSON: alone on stdout when `target` is `-`, else into that file."""
    if target == "-":
        print(json.dumps(value, ensure_ascii=False, allow_nan=False))
        return
    from siftrec.files import write_json

    write_json(Path(target), value)
