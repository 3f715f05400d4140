"""Damaged checkpoints are never used: the last good one is, and the user is told (RELIABILITY 4, 5)."""

import shutil
from pathlib import Path

import pytest

import damage
import hostile
from siftrec.errors import ArtifactError
from siftrec.train.checkpoint import STATE, TENSORS, listed
from siftrec.train.events import Started, Warned
from train.tiny import Collected, tiny_fit, weights_hash

DAMAGES = damage.every(TENSORS, (STATE,)) | {
    "state a list": damage.resealed(damage.text(STATE, "[]")),
    "state without identity": lambda folder: damage.edited(folder, STATE, lambda s: s.pop("identity")),
    "state with text for a number": lambda folder: damage.edited(
        folder, STATE, lambda s: s["progress"].update(step="2")
    ),
    "state with a stranger": lambda folder: damage.edited(folder, STATE, lambda s: s["progress"].update(cake=1)),
    "state with NaN": lambda folder: damage.edited(folder, STATE, lambda s: s["progress"].update(best=float("nan"))),
    "optimiser of a parameter that is not": damage.tensors_edited(
        TENSORS, lambda t: t.update({"optimiser.99.step": t["optimiser.0.step"].clone()})
    ),
    "optimiser incomplete": damage.tensors_edited(TENSORS, lambda t: t.pop("optimiser.0.exp_avg")),
    "best missing": damage.tensors_edited(TENSORS, lambda t: [t.pop(n) for n in list(t) if n.startswith("best.")]),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("run") / "run"
    return folder, weights_hash(tiny_fit(folder, epochs=2))


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_passed_over_with_a_warning(run: tuple[Path, str], tmp_path: Path, name: str) -> None:
    folder, right = tmp_path / "a" / "run", run[1]
    shutil.copytree(run[0], folder)
    newest, older = listed(folder / "checkpoints")
    DAMAGES[name](newest)
    seen = Collected()
    assert weights_hash(tiny_fit(folder, epochs=2, resume=True, on_event=seen)) == right
    assert isinstance(seen[0], Warned)
    assert isinstance(seen[1], Started)
    assert str(newest) in seen[0].message
    assert "\n" not in seen[0].message
    assert seen[1].step == int(older.name[-8:])


def test_when_none_is_whole_nothing_starts_and_nothing_is_removed(run: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    for path in listed(folder / "checkpoints"):
        damage.flip(TENSORS)(path)
    with pytest.raises(ArtifactError, match=r"no checkpoint is whole; the newest: .*SHA-256"):
        tiny_fit(folder, resume=True)
    assert len(listed(folder / "checkpoints")) == 2


def test_only_the_newest_stay(tmp_path: Path) -> None:
    tiny_fit(tmp_path, epochs=3, checkpoint_steps=1, checkpoints=3)
    names = [path.name for path in listed(tmp_path / "checkpoints")]
    assert names == ["e00002-s00000003", "e00002-s00000002", "e00002-s00000001"]


def test_nothing_unpickles(run: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    newest = listed(folder / "checkpoints")[0]
    for name in ("model.pt", "model.pkl", "model.npy", "model.npz", "model.yaml"):
        (newest / name).write_bytes(hostile.PICKLE)
    (newest / TENSORS).write_bytes(hostile.PICKLE)
    damage.reseal(newest)
    seen = Collected()
    with hostile.nothing_unpickled():
        assert weights_hash(tiny_fit(folder, epochs=2, resume=True, on_event=seen)) == run[1]
    assert isinstance(seen[0], Warned)
