"""Sealed folders: a folder of files that is either wholly there and unchanged, or refused.

Artifacts and checkpoints are both sealed folders. Writing goes to a hidden neighbour, is flushed to disk and renamed, so
a crash leaves the old folder or the new one. `manifest.json` holds the SHA-256 and size of every file and is written last.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siftrec.errors import ArtifactError, EnvironmentProblem

MANIFEST = "manifest.json"
Writer = Callable[[Path], None]


def seal(folder: Path, writers: Mapping[str, Writer], kind: str, version: int) -> None:
    """Write `folder` atomically.

    Args:
        folder: final place; an older sealed folder there is replaced only when the new one is complete.
        writers: file name → function that writes that file at the path given to it.
        kind: what the folder is, e.g. `artifact`; checked by `unseal`.
        version: format version; checked by `unseal`.

    Raises:
        EnvironmentProblem: disk full, read-only folder. Nothing half-written stays.
    """
    work = folder.with_name(f".{folder.name}.writing")
    with clear_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir()
            for name, write in writers.items():
                write(work / name)
                _sync(work / name)
            files = {name: {"sha256": sha256(work / name), "bytes": (work / name).stat().st_size} for name in writers}
            write_text(work / MANIFEST, json.dumps({"kind": kind, "version": version, "files": files}, indent=1))
            _sync(work)
            _swap(work, folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise


def _swap(new: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def unseal(folder: Path, kind: str, version: int) -> dict[str, Path]:
    """Check a sealed folder completely, then give its files.

    Returns:
        file name → path; every path lies inside the folder and matches its SHA-256.

    Raises:
        ArtifactError: anything missing, added to the manifest, changed, linked, or of another kind or version.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST}; this is not a complete siftrec {kind}") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder / MANIFEST}: cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != kind or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{folder / MANIFEST}: is not the manifest of a siftrec {kind}")
    if manifest.get("version") != version:
        raise ArtifactError(f"{folder}: {kind} format {manifest.get('version')!r}; this siftrec reads format {version}")
    return {name: _checked(folder, name, entry) for name, entry in manifest["files"].items()}


def _checked(folder: Path, name: str, entry: Any) -> Path:
    path = folder / name
    if Path(name).name != name or not isinstance(entry, dict):
        raise ArtifactError(f"{folder}: the manifest names {name!r}, which is not a plain file name")
    try:
        status = path.lstat()
    except OSError:
        raise ArtifactError(f"{path}: is missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise ArtifactError(f"{path}: is a link or special file; only plain files are read")
    if status.st_size != entry.get("bytes") or sha256(path) != entry.get("sha256"):
        raise ArtifactError(f"{path}: does not match its SHA-256 in {MANIFEST}; the file was damaged or changed")
    return path


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replace a small text file atomically and durably."""
    work = path.with_name(f".{path.name}.writing")
    with clear_errors(path):
        try:
            work.write_text(text, "utf-8")
            _sync(work)
            os.replace(work, path)
        except BaseException:
            work.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically and durably."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def clear_errors(target: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line that names the fix."""
    try:
        yield
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full; free some space and run again with --resume",
            errno.EDQUOT: "the disk quota is used up; free some space and run again with --resume",
            errno.EROFS: "the file system is read-only; choose another output folder",
            errno.EACCES: "no permission to write; choose another output folder",
            errno.EPERM: "no permission to write; choose another output folder",
            errno.ENOTDIR: "a file stands where a folder is needed; choose another output folder",
        }.get(error.errno or 0)
        if reason is None:
            raise
        raise EnvironmentProblem(f"{target}: {reason}") from error
