"""Console blocks of the documentation, carried out line by line; services they start end with the page."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl

import siftrec as sr
from serve.running import running
from siftrec.cli.main import run

_ADDRESS = "127.0.0.1:8000"


class Followed(ExitStack):
    """Runs `$ siftrec …`, `$ curl …` and `$ openssl …`; JSON that stands below a line must have the keys that it prints."""

    def __init__(self) -> None:
        super().__init__()
        self._address, self._told = _ADDRESS, ""

    def __call__(self, block: str) -> None:
        for line in block.splitlines():
            if line.startswith("$ siftrec serve "):
                self._serve(shlex.split(line)[3:])
            elif line.startswith("$ siftrec "):
                self._command(line)
            elif line.startswith("$ "):
                assert line.split()[1] in ("curl", "openssl"), line
                shell = line[2:].replace(_ADDRESS, self._address)
                self._told = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout
            elif line.startswith("{"):
                assert keys(json.loads(line)) == keys(json.loads(self._told)), f"{line}\n{self._told}"
            else:
                pattern = re.sub(r"model \w+, [\d,]+ items", "M", line)
                assert pattern == re.sub(r"model \w+, [\d,]+ items", "M", self._told), line

    def _command(self, line: str) -> None:
        _, _, *command = shlex.split(line, comments=True)
        short = ["--set", "train.epochs=1"] if command[0] == "train" else []
        assert run([*command, *short]) == 0, line

    def _serve(self, arguments: list[str]) -> None:
        if not Path(arguments[0]).exists():
            small(Path(arguments[0]))
        process = self.enter_context(running(*arguments))
        self._address = process.address
        self._told = process.said.strip().replace(self._address, _ADDRESS)


def small(folder: Path) -> None:
    """A run where the page takes one for granted."""
    rows = [(f"u{u}", item, t) for u in range(20) for t, item in enumerate(("v17", "v203", f"v{300 + u}"))]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").with_row_index("row")
    events = sr.Interactions(log.cast({"row": pl.Int64}), "order")
    sr.save(sr.fit(sr.Markov(), sr.leave_one_out(events)), folder / "artifact")


def keys(value: Any) -> Any:
    """The shape of a JSON value."""
    if isinstance(value, dict):
        return {name: keys(each) for name, each in value.items()}
    return [keys(each) for each in value] if isinstance(value, list) else None
