"""A service in a process of its own, as `siftrec serve` starts it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START = """
import json, sys
from dataclasses import replace
from siftrec.serve import settings
settings.DEFAULT = replace(settings.DEFAULT, **json.loads(sys.argv[1]))
{before}
from siftrec.cli.main import run
sys.exit(run(sys.argv[2:]))
"""
JSON = {"Content-Type": "application/json"}


class Process:
    """One running service.

    Args:
        arguments: of `siftrec serve`.
        limits: other limits than the usual ones.
        before: Python to run first in the process.
        env: further variables.
    """

    def __init__(
        self, *arguments: str | Path, limits: Mapping[str, Any] = {}, before: str = "", env: Mapping[str, str] = {}
    ) -> None:
        command = [sys.executable, "-c", _START.format(before=before), json.dumps(dict(limits)), "serve"]
        self.child = subprocess.Popen(
            [*command, *map(str, arguments), "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        )
        assert self.child.stderr is not None
        self.said = self.child.stderr.readline()
        assert " at http://" in self.said, self.said + self.child.stderr.read()
        self.url = self.said.split()[-1]
        self.address = self.url.removeprefix("http://")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=30)

    def memory(self) -> int:
        """Resident bytes."""
        pages = Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def seconds(self) -> float:
        """CPU time so far."""
        spent = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what it said after its first line."""
        if self.child.poll() is None:
            self.child.send_signal(how)
        assert self.child.stderr is not None
        rest = "" if self.child.stderr.closed else self.child.stderr.read()
        self.child.stderr.close()
        return self.child.wait(30), rest


@contextmanager
def running(*arguments: str | Path, **options: Any) -> Iterator[Process]:
    process = Process(*arguments, **options)
    try:
        yield process
    finally:
        process.end(signal.SIGKILL)


def ask(
    connection: http.client.HTTPConnection, path: str, body: Any = None, headers: Mapping[str, str] = {}
) -> tuple[int, Any]:
    """Status and JSON of one request; with a body it is a POST."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, data, {**(JSON if data else {}), **headers})
    answer = connection.getresponse()
    raw = answer.read()
    return answer.status, json.loads(raw) if answer.headers.get_content_type() == "application/json" else raw
