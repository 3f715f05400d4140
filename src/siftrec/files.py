"""Sealed folders: a folder of files that is either wholly there and unchanged, or refused.

Artifacts and checkpoints are both sealed folders. Writing goes to a hidden neighbour, is flushed to disk and renamed,
so a crash leaves the old folder or the new one, and of several that write at once the last one's stays. `manifest.json`
holds the SHA-256 and size of every file and is written last.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftrec import beside
from siftrec.errors import ArtifactError, EnvironmentProblem

if TYPE_CHECKING:
    import torch

MANIFEST, LOCK = "manifest.json", ".lock"
Writer = Callable[[Path], object]
_NUMBERS = 2**20  # of a tensor that are looked at together
_LOCKS: dict[tuple[int, int], int] = {}


def seal(folder: Path, writers: Mapping[str, Writer], kind: str, version: int) -> None:
    """Write `folder` atomically.

    Args:
        folder: final place; an older one of its kind is replaced, and only when the new one is complete.
        writers: file name → function that writes that file at the path given to it.
        kind: what the folder is, e.g. `artifact`; checked by `unseal`, and before it is replaced.
        version: format version; checked by `unseal`.

    Raises:
        EnvironmentProblem: disk full, read-only folder, a folder there that holds anything else. Nothing half-written
            stays.
    """
    folder = folder.absolute()
    with clear_errors(folder):
        work = beside.working(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with beside.alone(folder.parent):
            _tidy(folder)
            check_replaceable(folder, kind)
        try:
            work.mkdir()
            for name, write in writers.items():
                write(work / name)
                _sync(work / name)
            files = {name: {"sha256": sha256(work / name), "bytes": (work / name).stat().st_size} for name in writers}
            write_text(work / MANIFEST, json.dumps({"kind": kind, "version": version, "files": files}, indent=1))
            _swap(work, folder)
        except BaseException:
            with beside.alone(folder.parent):
                _tidy(folder)
            raise


def _tidy(folder: Path) -> None:
    """Undo what a crash left beside `folder`: the folder comes back if it was on its way out, temporaries go."""
    old = beside.old(folder)
    if old.exists() and not folder.exists():
        os.rename(old, folder)
    shutil.rmtree(old, ignore_errors=True)
    beside.remove_left(folder)


def check_replaceable(folder: Path, kind: str) -> None:
    """Refuse, before anything is computed for it, a folder that `seal` would refuse.

    Args:
        folder: as given to `seal`.
        kind: likewise.

    Raises:
        OSError: it is a file, or nothing can be written beside it.
        EnvironmentProblem: it holds what siftrec did not write or a sealed folder of another kind, or is the current folder.
    """
    beside.check(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OSError(errno.ENOTDIR, "is a file")
    try:
        manifest = _manifest(folder, "folder")
        known, held = {MANIFEST, *manifest["files"]}, manifest.get("kind")
    except ArtifactError:
        known, held = set(), kind  # whatever it holds is foreign
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in known)
    if LOCK in foreign:
        raise EnvironmentProblem(f"{folder}: is a run folder; choose another folder, e.g. {folder / kind}")
    if foreign:
        raise EnvironmentProblem(f"{folder}: holds {foreign[0]!r}, which siftrec did not write; choose another folder")
    if held != kind:  # a trained model may have taken days, and what would replace it is made of it
        raise EnvironmentProblem(f"{folder}: holds a siftrec {held!r}, not an older {kind!r}; choose another folder")
    if folder.samefile(Path.cwd()):  # it would be swapped away under whoever stands in it
        raise EnvironmentProblem(f"{folder}: is the current folder; choose another, e.g. {folder / 'out'}")


def _swap(new: Path, folder: Path) -> None:
    old = beside.old(folder)
    with beside.alone(folder.parent):
        if folder.exists():
            os.rename(folder, old)
        os.rename(new, folder)
        _sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a sealed folder; a crash half-way leaves no folder of that name."""
    with clear_errors(folder):
        gone = beside.working(folder)
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)


def unseal(folder: Path, kind: str, version: int, names: Collection[str] = ()) -> dict[str, Path]:
    """Check a sealed folder completely, then give its files.

    Args:
        folder: as given to `seal`.
        kind: likewise.
        version: likewise.
        names: files that must be among them.

    Returns:
        file name → path; every path lies inside the folder and matches its SHA-256.

    Raises:
        ArtifactError: anything missing, added to the manifest, changed, linked, or of another kind or version.
    """
    folder = standing(folder)
    manifest = _manifest(folder, kind)
    if manifest.get("kind") != kind:
        raise ArtifactError(f"{folder / MANIFEST}: is not the manifest of a siftrec {kind}")
    if manifest.get("version") != version:
        raise ArtifactError(f"{folder}: {kind} format {manifest.get('version')!r}; this siftrec reads format {version}")
    missing = sorted(set(names) - set(manifest["files"]))
    if missing:
        raise ArtifactError(f"{folder / MANIFEST}: does not name {missing[0]}; this is not a complete siftrec {kind}")
    return {name: _checked(folder, name, entry) for name, entry in manifest["files"].items()}


def standing(folder: Path) -> Path:
    """What `unseal` checks: the folder, or the one that a crash was about to replace."""
    if folder.exists():  # asked first: "." has no name to put another beside
        return folder
    old = beside.old(folder)
    return old if old.exists() else folder


def stands(folder: Path) -> bool:
    """Whether `unseal` finds something to check."""
    return standing(folder).exists()


def _manifest(folder: Path, kind: str) -> dict[str, Any]:
    if not (folder / MANIFEST).exists():
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: {'is a file, not a folder' if folder.exists() else 'no such folder'}")
        raise ArtifactError(f"{folder}: no {MANIFEST}; this is not a complete siftrec {kind}")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{folder / MANIFEST}: is not the manifest of a siftrec {kind}")
    return manifest


def _checked(folder: Path, name: str, entry: Any) -> Path:
    path = folder / name
    if Path(name).name != name or "\0" in name or not isinstance(entry, dict):
        raise ArtifactError(f"{folder}: the manifest names {name!r}, which is not a plain file name")
    status = _plain(path)
    if status.st_size != entry.get("bytes") or sha256(path) != entry.get("sha256"):
        raise ArtifactError(f"{path}: does not match its SHA-256 in {MANIFEST}; the file was damaged or changed")
    return path


def _plain(path: Path) -> os.stat_result:
    try:
        status = path.lstat()
    except OSError:
        raise ArtifactError(f"{path}: is missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise ArtifactError(f"{path}: is a link or special file; only plain files are read")
    return status


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file atomically and durably.

    Args:
        path: final place; folders above it are made. Of a link, the file that it leads to is replaced.
        write: writes the file at the path given to it.

    Raises:
        EnvironmentProblem: disk full, read-only folder, a pipe or a device; the old file is untouched.
    """
    with clear_errors(path):
        path = beside.final(path)
        work = beside.working(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.remove_left(path)
        try:
            write(work)
            _sync(work)
            os.replace(work, path)
            _sync(path.parent)
        except BaseException:
            work.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Replace a small text file atomically and durably."""
    write_file(path, lambda work: work.write_text(text, "utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically and durably."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a plain file.

    Raises:
        ArtifactError: not a plain file, not JSON, not an object.
    """
    _plain(path)
    try:
        value = json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: must be a JSON object, not {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors; tensors may share memory.

    Raises:
        ArtifactError: a number that is not finite.
        OSError: as any other file that cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    _check_finite(path, tensors)
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(_apart(tensors), path)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), str(error)) from None
    path.chmod(mode)  # save_file leaves a file that only its owner may read


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as safetensors takes them: contiguous, no two in one memory; only those that need it are copied."""
    apart: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        here = tensor.detach().cpu().contiguous()
        place = here.untyped_storage().data_ptr()
        apart[name] = here.clone() if place in taken else here
        taken.add(place)
    return apart


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, in memory of their own.

    Raises:
        ArtifactError: not safetensors, or a number that is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(f"{path}: cannot be read as safetensors: {error}") from None
    _check_finite(path, tensors)
    return tensors


def _check_finite(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        parts = tensor.reshape(-1).split(_NUMBERS) if tensor.is_floating_point() else ()
        if not all(bool(part.isfinite().all()) for part in parts):
            raise ArtifactError(f"{path}: {name} holds NaN or infinity")


def check_tensors(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that differ from those expected in name, shape or type.

    Extra state (`Module.get_extra_state`) has the shape that training data gave it; the module checks it when it is set.

    Raises:
        ArtifactError: the first difference.
    """
    odd = sorted(set(found) ^ set(expected))
    if odd:
        raise ArtifactError(f"tensor {odd[0]} is {'missing' if odd[0] in expected else 'not one of this model'}")
    for name, tensor in found.items():
        here, right = (f"{each.dtype} {list(each.shape)}" for each in (tensor, expected[name]))
        if here != right and not name.endswith("_extra_state"):
            raise ArtifactError(f"tensor {name} is {here}, the model needs {right}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time may write in `folder`; the process that holds the lock may enter again.

    Raises:
        EnvironmentProblem: another process holds the lock; its number is named.
    """
    with clear_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        key = (os.fstat(handle).st_dev, os.fstat(handle).st_ino)
        if not _LOCKS.get(key):
            _take_lock(handle, folder)
        _LOCKS[key] = _LOCKS.get(key, 0) + 1
        try:
            yield
        finally:
            _LOCKS[key] -= 1
    finally:
        os.close(handle)


def _take_lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise EnvironmentProblem(
            f"{folder}: is in use by process {holder}; wait for it or choose another output folder"
        ) from None
    with clear_errors(folder):
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


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
            errno.EFBIG: "the file is larger than this system allows; raise the limit and run again with --resume",
            errno.EROFS: "the file system is read-only; choose another output folder",
            errno.EACCES: "no permission to write; choose another output folder",
            errno.EPERM: "no permission to write; choose another output folder",
            errno.ENOTDIR: "a file stands where a folder is needed; choose another output folder",
            errno.EEXIST: "a file stands where a folder is needed; choose another output folder",
        }.get(error.errno or 0, f"cannot be written: {error.strerror or error}")
        raise EnvironmentProblem(f"{target}: {reason}") from error
