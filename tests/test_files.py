import errno
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siftrec import files
from siftrec.errors import ArtifactError, EnvironmentProblem

CONTENT = {"a.txt": "one", "b.txt": "two"}


def sealed(folder: Path, content: dict[str, str] = CONTENT) -> Path:
    files.seal(
        folder, {name: lambda path, text=text: path.write_text(text) for name, text in content.items()}, "box", 3
    )
    return folder


def opened(folder: Path) -> dict[str, str]:
    return {name: path.read_text() for name, path in files.unseal(folder, "box", 3, CONTENT).items()}


def test_what_was_sealed_comes_back_and_nothing_else_is_left(tmp_path: Path) -> None:
    assert opened(sealed(tmp_path / "deep" / "box")) == CONTENT
    assert opened(sealed(tmp_path / "deep" / "box", CONTENT | {"a.txt": "new"}))["a.txt"] == "new"
    assert os.listdir(tmp_path / "deep") == ["box"]


@given(st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    box = sealed(tmp_path_factory.mktemp("x") / "box", CONTENT | {"c": "longer text"})
    name = data.draw(st.sampled_from(["a.txt", "b.txt", "c"]))
    content = bytearray((box / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (box / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name}: does not match its SHA-256"):
        files.unseal(box, "box", 3)


@pytest.mark.parametrize("kind", ["fifo", "folder", "link"])
def test_only_plain_files_are_opened(tmp_path: Path, kind: str) -> None:
    box = sealed(tmp_path / "box")
    for name in ("a.txt", files.MANIFEST):
        path = box / name
        path.rename(tmp_path / name)
        make = {"fifo": os.mkfifo, "folder": os.mkdir, "link": lambda p, name=name: p.symlink_to(tmp_path / name)}
        make[kind](path)
        with pytest.raises(ArtifactError, match="only plain files"):
            files.unseal(box, "box", 3)
        path.rmdir() if kind == "folder" else path.unlink()
        (tmp_path / name).rename(path)
    assert opened(box) == CONTENT


@pytest.mark.parametrize("call", ["mkdir", "rename", "fsync"])
@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EIO, "Input/output error")],
)
def test_a_failing_disk_leaves_the_old_folder_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, message: str
) -> None:
    box = sealed(tmp_path / "box")

    def fail(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(EnvironmentProblem, match=f"box.*: .*{message}"):
            sealed(box, {"a.txt": "new"})
    assert opened(box) == CONTENT
    sealed(box)
    assert os.listdir(tmp_path) == ["box"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_a_folder_without_permission_is_named() -> None:
    # Not tmp_path: its parents are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        box = sealed(root / "box")
        os.seteuid(65534)
        try:
            for write in (lambda: sealed(box), lambda: files.write_text(root / "x", "y"), lambda: enter(root)):
                with pytest.raises(EnvironmentProblem, match="no permission to write; choose another output folder"):
                    write()
            assert opened(box) == CONTENT
        finally:
            os.seteuid(0)
        assert os.listdir(root) == ["box"]


def enter(folder: Path) -> None:
    with files.locked(folder):
        pass


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "box"):
        with pytest.raises(EnvironmentProblem, match="a file stands where a folder is needed"):
            sealed(place)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_replaced_by_its_own_kind_alone(tmp_path: Path) -> None:
    """`siftrec export RUN -o RUN/artifact` put an export in the place of the trained model."""
    box = sealed(tmp_path / "box")
    with pytest.raises(EnvironmentProblem, match="box: holds a siftrec 'box', not an older 'crate'; choose another"):
        files.check_replaceable(box, "crate")
    with pytest.raises(EnvironmentProblem, match="holds a siftrec 'box', not an older 'crate'"):
        files.seal(box, {"a.txt": fail_to_write}, "crate", 1)
    assert opened(box) == CONTENT
    assert os.listdir(tmp_path) == ["box"]


def test_a_run_folder_is_called_so(tmp_path: Path) -> None:
    (tmp_path / files.LOCK).touch()
    with pytest.raises(
        EnvironmentProblem, match=f"{tmp_path}: is a run folder; choose another .*, e.g. {tmp_path}/box$"
    ):
        sealed(tmp_path)
    assert opened(sealed(tmp_path / "box")) == CONTENT


@pytest.mark.parametrize("name", [".", "../box"])
def test_the_current_folder_is_not_swapped_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whoever stands in it would be left in a folder that is gone."""
    box = sealed(tmp_path / "box")
    monkeypatch.chdir(box)
    for place in (Path(name), Path(name).absolute()):
        with pytest.raises(EnvironmentProblem, match="is the current folder; choose another"):
            files.check_replaceable(place, "box")
        with pytest.raises(EnvironmentProblem, match="is the current folder; choose another"):
            sealed(place)
    assert opened(box) == CONTENT
    assert sorted(os.listdir()) == sorted([*CONTENT, files.MANIFEST])
    sealed(Path("inner"))


def test_an_interrupted_replacement_is_completed_by_reader_and_writer(tmp_path: Path) -> None:
    box = sealed(tmp_path / "box")
    box.rename(tmp_path / ".box.old")
    assert opened(box) == CONTENT
    with pytest.raises(RuntimeError):
        files.seal(box, {"a.txt": fail_to_write}, "box", 3)
    assert os.listdir(tmp_path) == ["box"]
    assert opened(box) == CONTENT


def fail_to_write(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "x.json"
    files.write_json(target, {"a": 1})
    with pytest.raises(RuntimeError):
        files.write_file(target, fail_to_write)
    assert files.read_json(target) == {"a": 1}
    assert os.listdir(target.parent) == ["x.json"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for link, to in (("link", "there/x"), ("again", "link"), ("to nothing yet", "there/y")):
        (tmp_path / link).symlink_to(to)
        files.write_text(tmp_path / link, link)
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / to).read_text() == link
    assert sorted(os.listdir(tmp_path / "there")) == ["x", "y"]
    assert sorted(os.listdir(tmp_path)) == ["again", "link", "there", "to nothing yet"]


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "round").symlink_to("round")
    with (tmp_path / "open").open("w") as file:
        for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "round", Path(f"/proc/self/fd/{file.fileno()}")):
            with pytest.raises(EnvironmentProblem, match=f"{path}: .*is no regular file; name another"):
                files.write_text(path, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["link", "open", "pipe", "round"]


def test_infinity_at_the_far_end_of_a_large_tensor_is_not_written(tmp_path: Path) -> None:
    """Large tensors are looked at piece by piece."""
    tensor = torch.zeros(2**20 + 5, 2).T
    files.write_tensors(tmp_path / "t", {"a": tensor})
    tensor[1, -1] = torch.inf
    with pytest.raises(ArtifactError, match="a holds NaN or infinity"):
        files.write_tensors(tmp_path / "t", {"a": tensor})


def test_tensors_keep_their_bits_share_memory_and_are_readable_by_all(tmp_path: Path) -> None:
    whole = torch.arange(12, dtype=torch.float16).reshape(3, 4)
    tensors = {"a": whole, "tied": whole, "turned": whole.T, "none": torch.empty(0, 3), "n": torch.tensor(2**60)}
    files.write_tensors(tmp_path / "t", tensors)
    found = files.read_tensors(tmp_path / "t")
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_only_tensors_in_a_memory_of_others_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, torch.Tensor] = {}
    monkeypatch.setattr("safetensors.torch.save_file", lambda tensors, path: kept.update(tensors))
    whole, rows = torch.rand(6, 4), torch.rand(3, 4)
    files.write_tensors(tmp_path / "t", {"whole": whole, "tied": whole, "part": whole[2:], "turned": rows.T})
    assert kept["whole"].data_ptr() == whole.data_ptr()
    assert len({tensor.untyped_storage().data_ptr() for tensor in kept.values()}) == 4
    assert all(tensor.is_contiguous() for tensor in kept.values())


def test_the_lock_may_be_entered_again_by_its_holder(tmp_path: Path) -> None:
    with files.locked(tmp_path), files.locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    enter(tmp_path)


def elsewhere(work: Callable[[], object]) -> int:
    """What another process does with it: its exit status."""
    process = os.fork()
    if process == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize("beside", ["process", "thread"])
def test_two_that_write_one_target_do_not_mix_their_bytes(tmp_path: Path, beside: str) -> None:
    """Two `siftrec evaluate` of one run wrote into one temporary: files of both, or an error that it is gone."""

    def other(work: Callable[[], object]) -> int:
        if beside == "process":
            return elsewhere(work)
        thread = threading.Thread(target=work)
        thread.start()
        return thread.join() or 0

    def interrupted(path: Path, others: Callable[[], object]) -> None:
        path.write_text("first, ")
        assert other(others) == 0
        with path.open("a") as file:
            file.write("whole")

    target, box = tmp_path / "x.txt", sealed(tmp_path / "box")
    files.write_file(target, lambda path: interrupted(path, lambda: files.write_text(target, "second")))
    assert target.read_text() == "first, whole"
    files.seal(box, {"a.txt": lambda path: interrupted(path, lambda: sealed(box)), "b.txt": Path.touch}, "box", 3)
    assert opened(box) == {"a.txt": "first, whole", "b.txt": ""}
    assert sorted(os.listdir(tmp_path)) == ["box", "x.txt"]


def test_what_the_killed_have_left_goes_with_the_next_writing(tmp_path: Path) -> None:
    target, box = tmp_path / "x[1].txt", tmp_path / "box"

    def killed(path: Path) -> None:
        path.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    assert elsewhere(lambda: files.write_file(target, killed)) == -signal.SIGKILL
    assert elsewhere(lambda: files.seal(box, {"a.txt": killed}, "box", 3)) == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    files.write_text(target, "whole")
    sealed(box)
    assert sorted(os.listdir(tmp_path)) == ["box", "x[1].txt"]


def test_the_root_folder_is_refused() -> None:
    """`siftrec evaluate RUN --json /` was an internal error: it has no name to put another beside."""
    with pytest.raises(EnvironmentProblem, match=r"^/: cannot be written: is the root folder$"):
        files.write_text(Path("/"), "x")
