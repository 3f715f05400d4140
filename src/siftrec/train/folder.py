"""A run folder while it is trained in: the lock, the log and the checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siftrec.errors import UsageError
from siftrec.files import locked
from siftrec.train import checkpoint
from siftrec.train.checkpoint import State
from siftrec.train.log import Log

LOG, CHECKPOINTS = "log.jsonl", "checkpoints"


class RunFolder:
    """Where events and states go.

    Args:
        path: the run folder; its lock is held by the caller.
        identity: what the run is; see `checkpoint.save`.
        keep: how many checkpoints stay.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], keep: int) -> None:
        self.path, self._identity, self._keep = path, identity, keep
        self._log: Log | None = None

    @property
    def log(self) -> Log:
        """The open log; a run that was not resumed starts an empty one."""
        if self._log is None:
            self._log = Log(self.path / LOG)
        return self._log

    def refuse_used(self) -> None:
        """A new run must not overwrite another.

        Raises:
            UsageError: checkpoints are there already.
        """
        if checkpoint.listed(self.path / CHECKPOINTS):
            raise UsageError(f"{self.path}: holds a run already; resume it, or choose another output folder")

    def resume(self, state: State, epochs: int) -> list[str]:
        """Bring `state` to the newest whole checkpoint, within `epochs`, and the log to the same point; gives warnings."""
        length, warnings = checkpoint.resume(self.path / CHECKPOINTS, state, self._identity, epochs)
        self._log = Log(self.path / LOG, length)
        if self._log.lost:
            warnings.append(f"{self.path / LOG}: is shorter than it was; its first lines are lost")
        return warnings

    def save(self, state: State) -> None:
        """Make the state and every line of the log so far durable."""
        checkpoint.save(self.path / CHECKPOINTS, state, self._identity, self.log.sync(), self._keep)

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()


@contextmanager
def opened(path: str | Path | None, identity: Mapping[str, Any], keep: int) -> Iterator[RunFolder | None]:
    """The run folder, locked; None when nothing is to be kept.

    Raises:
        EnvironmentProblem: another process trains there, or it cannot be written.
    """
    if path is None:
        yield None
        return
    with locked(Path(path)):
        folder = RunFolder(Path(path), identity, keep)
        try:
            yield folder
        finally:
            folder.close()
