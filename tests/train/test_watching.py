"""Who watches a training: what is said, when it ends, and what it leaves behind."""

from pathlib import Path
from typing import Any

import pytest
import torch

from siftrec.artifact import load, save
from siftrec.data.split import everything
from siftrec.errors import ArtifactError
from siftrec.methods.popularity import Popularity
from siftrec.train.events import EpochEnded, Event, Stopped
from siftrec.train.fit import fit
from siftrec.train.progress import Progress
from train.tiny import Collected, Tiny, log, split, tiny_fit, weights_hash


def test_whoever_has_seen_enough_keeps_the_best_weights_so_far() -> None:
    collected = Collected()

    def second(event: Event) -> bool:
        collected(event)
        return isinstance(event, EpochEnded) and event.epoch == 1

    stopped = fit(Tiny(), split(), epochs=9, patience=0, on_event=second)
    assert stopped.facts.epochs == 2
    (end,) = (event for event in collected if isinstance(event, Stopped))
    assert (end.reason, end.epochs) == ("asked to stop", 2)
    best = end.best_epoch
    until = fit(Tiny(), split(), epochs=9, patience=0, on_event=lambda e: isinstance(e, EpochEnded) and e.epoch == best)
    assert weights_hash(stopped) == weights_hash(until)


def test_an_answer_that_is_not_true_stops_nothing() -> None:
    assert fit(Tiny(), split(), epochs=2, on_event=lambda event: False).facts.epochs == 2
    assert fit(Tiny(), split(), epochs=2, on_event=print).facts.epochs == 2


def test_training_leaves_the_number_of_threads_as_it_was() -> None:
    """Whoever computes with torch in the same process would be slower ever after."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit(Tiny(), split(), epochs=1, threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_model_saved_where_it_was_trained_is_loaded_from_there(tmp_path: Path) -> None:
    trained = tiny_fit(tmp_path)
    with pytest.raises(ArtifactError, match=r"siftrec\.save\(model, .*was not called.*resume=True"):
        load(tmp_path, trust=["train"])
    save(trained, tmp_path)
    assert weights_hash(load(tmp_path, trust=["train"])) == weights_hash(trained)
    save(trained, tmp_path)  # again, over itself
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".jsonl") == [
        ".lock",
        "artifact",
        "checkpoints",
    ]


def test_progress_says_what_it_will_take_and_how_each_epoch_went(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Tiny(), split(), epochs=2, on_event=Progress())
    first, *rest = capsys.readouterr().out.splitlines()
    assert "2 epochs of" in first
    assert any(line.startswith("estimate: at most") for line in rest)
    assert [line.split()[1] for line in rest if line.startswith("epoch")] == ["1/2", "2/2"]
    assert rest[-1].startswith("stopped after epoch 2 (done); epoch")


def test_without_validation_every_epoch_is_trained_and_the_last_one_kept() -> None:
    """There is nothing to stop early by, and nothing says that an earlier epoch was better."""
    seen = Collected()
    steady: dict[str, Any] = {"batch_size": 32, "learning_rate": 0.3, "schedule": "constant"}
    long = fit(Tiny(), everything(log()), epochs=8, patience=1, on_event=seen, **steady)
    ended, stopped = [event for event in seen if isinstance(event, EpochEnded)], seen[-1]
    assert isinstance(stopped, Stopped)
    assert [event.value for event in ended] == [None] * 8
    assert (stopped.reason, stopped.epochs, stopped.best_epoch) == ("done", 8, 7)
    state = {name: tensor.clone() for name, tensor in long.scorer.tensors().items()}
    shorter = fit(Tiny(), everything(log()), epochs=7, **steady).scorer.tensors()
    assert not all(torch.equal(state[name], shorter[name]) for name in state)
    assert (long.popularity.sum(), long.facts.protocol) == (len(log()), "everything")
    counted = fit(Popularity(), everything(log()))
    assert counted.popularity.sum() == len(log())
    assert counted.recommend(["v1"], k=2).items
