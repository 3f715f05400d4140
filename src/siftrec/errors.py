"""Every error siftrec raises on purpose, and the exit code the command line gives it.

SiftrecError              1  internal error
├── UsageError            2  the command line itself is wrong
├── DataError             3  a log, feature file or split; names file:line:column
├── SettingsError         3  configuration; names the key path
├── ArtifactError         4  an artifact or checkpoint that must not be trusted
├── NonFiniteLossError    5  training met NaN or infinity; names epoch, step, tensors
├── EnvironmentProblem    6  missing extra, disk full, read-only folder, lock held
└── Terminated          143  SIGTERM arrived and the run was saved
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager


class SiftrecError(Exception):
    """Base of all errors raised on purpose. The message is one line: what, where, what would be right."""

    exit_code = 1


class UsageError(SiftrecError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class DataError(SiftrecError):
    """Input data that cannot be read as what it claims to be.

    Args:
        problem: what is wrong and what would be right.
        where: `file`, `file:line` or `file:line:column`.
    """

    exit_code = 3

    def __init__(self, problem: str, where: str | None = None) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where


class SettingsError(SiftrecError):
    """A configuration key or value that is refused.

    Args:
        path: dotted key path, e.g. `method.base.dim`.
        problem: what is wrong and what would be right.
    """

    exit_code = 3

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path, self.problem = path, problem

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[str, str]]:
        return type(self), (self.path, self.problem)  # or a worker process could not tell it


@contextmanager
def of_base() -> Iterator[None]:
    """A method that stands around another builds it here: a refused `method.x` is then told as `method.base.x`."""
    try:
        yield
    except SettingsError as error:
        head, dot, key = error.path.partition(".")
        path = f"method.base.{key}" if dot and head == "method" else error.path
        raise SettingsError(path, error.problem) from error


class ArtifactError(SiftrecError):
    """An artifact or checkpoint that is damaged, incomplete, of an unknown version, or not to be trusted."""

    exit_code = 4


class NonFiniteLossError(SiftrecError):
    """The loss or a gradient stopped being a finite number."""

    exit_code = 5


class EnvironmentProblem(SiftrecError):
    """The machine lacks something: an optional extra, disk space, write permission, a free lock."""

    exit_code = 6


class Terminated(SiftrecError):
    """SIGTERM arrived; the newest checkpoint holds everything up to the last step."""

    exit_code = 143


_NO_MEMORY = re.compile("can't allocate memory|CUDA out of memory|Storage size calculation overflowed")
"""As torch words it, in errors that have no class of their own."""


def no_memory(error: Exception) -> bool:
    """Whether memory is short; a note of the error says what needs less of it, where that is known."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None
    )


def missing_extra(extra: str, package: str) -> EnvironmentProblem:
    """The error for an optional dependency that is not installed; the message names the command that fixes it.

    pip adds the extra to the siftrec that is installed, one from a checkout too, without looking for a release.
    """
    return EnvironmentProblem(f"{package} is not installed; run: pip install 'siftrec[{extra}]'")
