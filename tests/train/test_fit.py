import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siftrec import files
from siftrec.artifact import load, save
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.split import TEST
from siftrec.errors import (
    EnvironmentProblem,
    NonFiniteLossError,
    SettingsError,
)
from siftrec.methods.base import Method
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.demure import Demure
from siftrec.methods.late import LateFusion
from siftrec.methods.popularity import Popularity
from siftrec.methods.sasrec import SASRec
from siftrec.methods.slots import SlotViews
from siftrec.train.estimate import give_back_memory
from siftrec.train.events import EpochEnded, Started, Stepped, Stopped, Warned
from siftrec.train.fit import fit
from siftrec.train.settings import Training
from train.tiny import Collected, Tiny, content_fit, split, tiny_fit, weights_hash


def test_same_seed_same_weights_another_seed_others() -> None:
    first, again, other = weights_hash(tiny_fit()), weights_hash(tiny_fit()), weights_hash(tiny_fit(seed=8))
    assert first == again
    assert first != other


def test_keeping_a_run_folder_changes_no_weight_and_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    assert weights_hash(tiny_fit(tmp_path, checkpoint_steps=1)) == weights_hash(tiny_fit())
    assert torch.equal(before, torch.get_rng_state())


def test_other_test_items_change_neither_a_weight_nor_a_count_nor_an_answer() -> None:
    """All are one item, so that whatever counted the test part would count otherwise."""
    whole = split()
    items = np.where(whole.role == TEST, 1, whole.log.items).astype(whole.log.items.dtype)
    other = replace(whole, log=replace(whole.log, items=items))
    assert whole.test.fingerprint != other.test.fingerprint
    a, b = (fit(Tiny(), each, epochs=2) for each in (whole, other))
    assert weights_hash(a) == weights_hash(b)
    assert (a.popularity == b.popularity).all()
    assert (a.popularity == np.bincount(whole.train.items, minlength=len(whole.items))).all()
    for history in (["v1", "v2"], ["unknown"]):  # the latter is answered with what is popular
        assert a.recommend(history, k=5) == b.recommend(history, k=5)


def test_events_come_in_order_and_say_what_happened() -> None:
    seen = Collected()
    trained = tiny_fit(epochs=3, patience=0, on_event=seen)
    kinds = [type(event) for event in seen]
    assert kinds == [Started, *([Stepped, Stepped, EpochEnded] * 3), Warned, Stopped]
    started, stopped = seen[0], seen[-1]
    assert isinstance(started, Started)
    assert isinstance(stopped, Stopped)
    assert (started.steps, started.epochs, started.epoch, started.step) == (3, 3, 0, 0)
    assert started.parameters == sum(p.numel() for p in trained.scorer.parameters())  # type: ignore[attr-defined]
    assert started.estimate.seconds > 0
    assert started.estimate.memory > started.estimate.weights > 0
    ended = [event for event in seen if isinstance(event, EpochEnded)]
    values = [event.value for event in ended]
    assert stopped.value == max(v for v in values if v is not None)
    assert stopped.best_epoch == values.index(stopped.value)
    assert stopped.reason == "done"
    assert trained.facts.epochs == 3


def test_the_best_epoch_is_kept_not_the_last() -> None:
    seen = Collected()
    steady: dict[str, Any] = {"patience": 0, "learning_rate": 0.3, "schedule": "constant"}
    long = tiny_fit(epochs=12, on_event=seen, **steady)
    stopped = seen[-1]
    assert isinstance(stopped, Stopped)
    assert stopped.best_epoch < 11
    short = tiny_fit(epochs=stopped.best_epoch + 1, **steady)
    assert weights_hash(long) == weights_hash(short)


def test_patience_stops_early() -> None:
    seen = Collected()
    trained = tiny_fit(epochs=50, patience=2, learning_rate=0.3, on_event=seen)
    stopped = seen[-1]
    assert isinstance(stopped, Stopped)
    assert stopped.reason == "no better for 2 epochs"
    assert trained.facts.epochs == stopped.best_epoch + 3 < 50


def test_a_longer_run_goes_on_from_a_shorter_one_where_the_rate_is_constant(tmp_path: Path) -> None:
    tiny_fit(tmp_path, epochs=2, schedule="constant")
    seen = Collected()
    longer = tiny_fit(tmp_path, epochs=4, schedule="constant", resume=True, on_event=seen)
    started = seen[0]
    assert isinstance(started, Started)
    assert (started.epoch, started.step) == (1, 3), "its last checkpoint lies before the last validation"
    assert weights_hash(longer) == weights_hash(tiny_fit(epochs=4, schedule="constant"))


def test_the_rate_falls_along_half_a_cosine_to_a_fiftieth(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), step(self))[1]
    )
    tiny_fit(epochs=4, patience=0, learning_rate=0.01)
    fallen = rates[-12:]  # the steps before them are those of the estimate
    assert fallen[0] == 0.01
    assert fallen[6] == pytest.approx(0.01 * 0.51)
    assert fallen == sorted(fallen, reverse=True)
    assert Training(learning_rate=0.01).rate(1.0) == pytest.approx(0.01 / 50)
    rates.clear()
    tiny_fit(epochs=1, schedule="constant")
    assert set(rates) == {0.01}


def test_a_loss_that_is_not_finite_names_its_place_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    poisoned = Tiny(poison=(1, 2))
    with pytest.raises(
        NonFiniteLossError, match=r"epoch 1, step 2: spread is nan, gradient norm is nan; .*table\.weight"
    ):
        tiny_fit(tmp_path, method=poisoned)
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 2"):
        tiny_fit(tmp_path, method=poisoned, resume=True)
    assert files.unseal(tmp_path / "checkpoints" / "e00001-s00000002", "checkpoint", 1)


HOLDER = """
import sys, time
from pathlib import Path
from siftrec.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_trainers_in_one_folder_one_is_told_who_holds_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(EnvironmentProblem, match=f"in use by process {holder.pid}"):
            tiny_fit(tmp_path)
        holder.kill()
    assert weights_hash(tiny_fit(tmp_path)) == weights_hash(tiny_fit()), "a dead holder holds nothing"


def test_a_full_disk_is_named_and_the_last_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves = []
    save_file = files.write_tensors

    def full(path: Path, tensors: dict[str, torch.Tensor]) -> None:
        saves.append(path)
        if len(saves) > 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save_file(path, tensors)

    monkeypatch.setattr(files, "write_tensors", full)
    with pytest.raises(EnvironmentProblem, match="the disk is full"):
        tiny_fit(tmp_path)
    monkeypatch.undo()
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["e00000-s00000002", "e00000-s00000003"]
    assert weights_hash(tiny_fit(tmp_path, resume=True)) == weights_hash(tiny_fit())


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from train.tiny import tiny_fit
from siftrec.errors import EnvironmentProblem
folder = Path(sys.argv[1])
tiny_fit(folder, epochs=1, schedule="constant")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    tiny_fit(folder, epochs=2, schedule="constant", resume=True)
except EnvironmentProblem as error:
    print(error)
"""


def test_a_write_that_the_system_cuts_short_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "larger than this system allows" in done.stdout
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["e00000-s00000002", "e00000-s00000003"]
    steady: dict[str, Any] = {"epochs": 2, "schedule": "constant"}
    assert weights_hash(tiny_fit(tmp_path, resume=True, **steady)) == weights_hash(tiny_fit(**steady))


def test_content_reaches_the_model_and_is_remembered() -> None:
    whole = split()
    n = len(whole.items) - 1
    image = Modality(np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32), np.arange(n) != 2, source="i.npy")
    trained = fit(Tiny(), whole, Catalog(whole.items.ids, image=image), epochs=1)
    content = trained.contents[0]
    assert (content.name, content.width, content.source) == ("image", 3, "i.npy")
    assert content.coverage == pytest.approx((n - 1) / n)


def test_counted_methods_fit_by_the_same_call() -> None:
    trained = fit(Popularity(), split())
    assert trained.facts.epochs == 0
    assert trained.recommend(["v1"], k=3).items


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", -1),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("metric", "ndgc@10"),
        ("metric", "ndcg"),
        ("epoch", 3),
    ],
)
def test_wrong_settings_are_refused_by_key(setting: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"train.{setting}"):
        fit(Tiny(), split(), **{setting: value})  # type: ignore[arg-type]


def test_overrides_keep_the_other_settings() -> None:
    seen = Collected()
    fit(Tiny(), split(), training=Training(epochs=9, log_steps=1, batch_size=32), epochs=1, on_event=seen)
    assert [type(event) for event in seen] == [Started, Stepped, Stepped, Stepped, EpochEnded, Warned, Stopped]


def test_clipping_bounds_the_step_and_rows_per_user_bounds_the_epoch() -> None:
    free, clipped = tiny_fit(epochs=1), tiny_fit(epochs=1, clip_norm=1e-3)
    assert weights_hash(free) != weights_hash(clipped)
    seen = Collected()
    tiny_fit(epochs=1, rows_per_user=1, batch_size=24, on_event=seen)
    assert isinstance(seen[0], Started)
    assert seen[0].steps == 1


class StopError(Exception):
    pass


def stop_in_second_epoch(event: object) -> None:
    if isinstance(event, Stepped) and (event.epoch, event.step) == (1, 2):
        raise StopError


def stop_after_first_epoch(event: object) -> None:
    if isinstance(event, EpochEnded):
        raise StopError


def test_what_is_measured_at_the_end_of_an_epoch_is_measured_again_by_a_run_that_stopped_there(tmp_path: Path) -> None:
    """The state is of the last step, before the gate was calibrated on it."""
    method = Demure(base=LateFusion(dim=8, length=5))
    right = content_fit(method)
    with pytest.raises(StopError):
        content_fit(method, tmp_path, on_event=stop_after_first_epoch)
    assert weights_hash(content_fit(method, tmp_path, resume=True)) == weights_hash(right)


@pytest.mark.parametrize(
    "method",
    [SASRec(dim=8, length=5), CCL4Rec(dim=8, length=5), Demure(base=CCL4Rec(dim=8, length=5), views=SlotViews())],
    ids=lambda method: type(method).__name__,
)
def test_the_library_s_own_methods_resume_within_an_epoch_bit_by_bit(tmp_path: Path, method: Method) -> None:
    right = content_fit(method)
    with pytest.raises(StopError):
        content_fit(method, tmp_path, on_event=stop_in_second_epoch)
    seen = Collected()
    resumed = content_fit(method, tmp_path, resume=True, on_event=seen)
    assert isinstance(seen[0], Started)
    assert (seen[0].epoch, seen[0].step) == (1, 1)
    assert weights_hash(resumed) == weights_hash(right)
    save(right, tmp_path / "artifact")
    again = load(tmp_path)
    assert weights_hash(again) == weights_hash(right)
    assert again.recommend(["v1", "v2"], k=5) == right.recommend(["v1", "v2"], k=5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is resident")
def test_memory_that_was_freed_is_given_back() -> None:
    freed = [bytes(50_000) for _ in range(1000)]
    keeps_the_heap_open = bytes(50_000)
    before = resident()
    del freed
    give_back_memory()
    assert before["RssAnon"] - resident()["RssAnon"] > 40_000
    assert not any(keeps_the_heap_open)


def resident() -> dict[str, int]:
    """kB of this process in memory, of its own and of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}


def test_the_estimate_is_near_what_the_run_takes() -> None:
    seen = Collected()
    tiny_fit(epochs=4, patience=0, method=Tiny(slow=0.05), on_event=seen)
    assert isinstance(seen[0], Started)
    slept = 4 * 3 * 0.05
    assert slept < seen[0].estimate.seconds < 5 * slept
