"""Hidden neighbours: what is written stands beside its final place until it is whole.

.box.old                 the folder `box`, on its way out
.box.4711-4712.writing   what thread 4712 of process 4711 will put in the place of `box`
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def final(path: Path) -> Path:
    """Where a file stands that is to be replaced: itself, or what a link leads to.

    Raises:
        OSError: it is a pipe, a device, a link to itself, or an open file such as `/dev/stdout`, whatever that leads to.
    """
    folder = os.path.realpath(path.parent)
    there = Path(os.path.realpath(path))
    opened = path.is_symlink() and (folder == "/dev" or folder.startswith("/proc/"))
    odd = there.is_symlink() or (there.exists() and not there.is_file() and not there.is_dir())
    if opened or odd:
        raise OSError(errno.EINVAL, "is no regular file; name another (for --json, - is standard output)")
    return there if path.is_symlink() else path


def old(path: Path) -> Path:
    """Where a folder stands while another takes its place.

    Raises:
        OSError: the root folder, which has nothing beside it.
    """
    return _hidden(path, "old")


def working(path: Path) -> Path:
    """Where this thread writes what will take the place of `path`; no other thread or process writes there.

    Raises:
        OSError: as of `old`.
    """
    return _hidden(path, f"{os.getpid()}-{threading.get_native_id()}.writing")


def _hidden(path: Path, role: str) -> Path:
    path = path.absolute()  # `.` has no name
    if not path.name:
        raise OSError(errno.EISDIR, "is the root folder")
    return path.with_name(f".{path.name}.{role}")


def check(path: Path) -> None:
    """Try whether anything can be made beside `path`, or in the nearest folder above it that is there; nothing is left.

    Raises:
        OSError: it cannot.
    """
    path = (path if path.is_dir() else final(path)).absolute()
    above = path.parent
    while not above.exists():
        above = above.parent
    trial = working(above / path.name)
    trial.touch()
    trial.unlink()


def remove_left(path: Path) -> None:
    """Remove what this thread, and whoever is no longer there, would have put in the place of `path`."""
    name = re.compile(rf"\.{re.escape(path.absolute().name)}\.(?:(\d{{1,9}})-(\d+)\.)?writing")
    with suppress(OSError):  # it is in nobody's way
        for entry in path.absolute().parent.iterdir():
            found = name.fullmatch(entry.name)
            if found and not (found[1] and _writes(int(found[1]), int(found[2]))):
                _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _writes(process: int, thread: int) -> bool:
    """Whether it is another thread that may be writing still."""
    if process == os.getpid():
        return thread != threading.get_native_id() and thread in {each.native_id for each in threading.enumerate()}
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user
    return True


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No two threads or processes at a time change which folders stand in `folder`, and under which names."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
