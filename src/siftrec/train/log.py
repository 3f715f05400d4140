"""`log.jsonl`: one line per event, cut back to the checkpoint when a run resumes, so no step is there twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

from siftrec.files import clear_errors
from siftrec.train.events import Event, record


class Log:
    """An open log.

    Args:
        path: the file; made when missing.
        length: bytes that stay; what follows was written after the checkpoint and will be written again.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        with clear_errors(path):
            self._file = path.open("ab")
            self.lost = self._file.tell() < length
            os.truncate(path, min(length, self._file.tell()))

    def write(self, event: Event) -> None:
        """Append one line."""
        with clear_errors(self.path):
            self._file.write(json.dumps(record(event), allow_nan=False).encode() + b"\n")
            self._file.flush()

    def sync(self) -> int:
        """Make every line durable; gives the length in bytes."""
        with clear_errors(self.path):
            os.fsync(self._file.fileno())
            return self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
