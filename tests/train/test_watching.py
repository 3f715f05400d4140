"""Who watches a training: what is said, when it ends, and what it leaves behind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siftrec.artifact import load, save
from siftrec.data.catalog import Catalog
from siftrec.data.split import everything
from siftrec.errors import ArtifactError
from siftrec.methods.base import Method
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.cl4srec import CL4SRec
from siftrec.methods.demure import Demure
from siftrec.methods.popularity import Popularity
from siftrec.methods.sasrec import SASRec
from siftrec.modality.precomputed import features
from siftrec.settings import settings
from siftrec.train.events import EpochEnded, Event, Read, Started, Stopped, Warned
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
    assert any(line.startswith("training: at most") for line in rest)
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


FEW = "training ended after few steps, 6 in all; more may help: a smaller batch_size (now 32), more epochs (now 2), "
FEW += "a larger patience (now 3)"


def test_a_training_of_few_steps_warns_whoever_called_it() -> None:
    """The defaults make fourteen steps on 250 users, worse than popularity, and nobody was told."""
    with pytest.warns(UserWarning, match="few steps") as caught:
        fit(Tiny(), split(), epochs=2, batch_size=32)
    assert [(str(each.message), Path(each.filename).name) for each in caught] == [(FEW, Path(__file__).name)]


def test_with_somebody_watching_few_steps_are_an_event_and_no_warning(
    recwarn: pytest.WarningsRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Collected()
    fit(Tiny(), split(), epochs=2, batch_size=32, on_event=seen)
    assert [event.message for event in seen if isinstance(event, Warned)] == [FEW]
    assert isinstance(seen[-1], Stopped)
    fit(Tiny(), split(), epochs=2, batch_size=32, on_event=Progress())
    assert f"warning: {FEW}" in capsys.readouterr().out.splitlines()
    assert not recwarn.list


@pytest.mark.parametrize(("most", "told"), [(6, False), (7, True)])
def test_enough_steps_are_not_told_and_neither_is_no_training(
    most: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftrec.train.loop.FEW_STEPS", most)
    seen = Collected()
    fit(Tiny(), split(), epochs=2, batch_size=32, patience=0, on_event=seen)
    warned = [event.message for event in seen if isinstance(event, Warned)]
    assert bool(warned) is told
    assert "patience" not in "".join(warned), "nothing was stopped by it"
    fit(Tiny(), split(), epochs=0, on_event=seen)
    assert len([event for event in seen if isinstance(event, Warned)]) == len(warned)


@pytest.mark.parametrize(
    ("method", "deaf"),
    [
        (SASRec(dim=8), True),
        (SASRec(dim=8, content=True), False),
        (CL4SRec(base=SASRec(dim=8)), True),
        (Demure(base=SASRec(dim=8)), False),
        (Tiny(), False),
    ],
)
def test_content_that_a_method_was_not_told_to_read_is_noted(method: Method, deaf: bool) -> None:
    """Coverage was printed, and a model of ids alone was taken for one of content."""
    parts, seen = split(), Collected()
    vectors = features(
        np.random.default_rng(0).normal(size=(len(parts.items) - 1, 4)).astype(np.float32), ids=parts.items.ids
    )
    fit(method, parts, Catalog(parts.items.ids, text=vectors), epochs=1, on_event=seen)
    started = next(event for event in seen if isinstance(event, Started))
    note = "SASRec reads no content (content=True does); modalities in the catalog"
    assert (started.notes.get(note) == 1) is deaf


@settings
class Deaf(Popularity):
    """Popularity that says of itself that it does not listen to weights."""

    weighted_targets = False


@pytest.mark.parametrize(
    ("method", "deaf"),
    [(CCL4Rec(dim=8), False), (CCL4Rec(dim=8, weighted_targets=False), True), (Popularity(), False), (Deaf(), True)],
)
@pytest.mark.parametrize("weight", [None, 1.0, 0.5])
def test_weights_that_a_method_does_not_listen_to_are_noted(method: Method, deaf: bool, weight: float | None) -> None:
    """Who sifted a log, and trains what does not weigh it, would compare two equal models and call sifting useless."""
    parts, seen = split(), Collected()
    weights = None if weight is None else np.full(len(parts.log.items), weight, np.float32)
    fit(method, replace(parts, log=replace(parts.log, weights=weights)), epochs=1, on_event=seen)
    notes = {name: count for event in seen if isinstance(event, Read | Started) for name, count in event.notes.items()}
    note = f"{type(method).__name__} does not weigh targets by the log's weights (weighted_targets = False); "
    assert notes.get(f"{note}interactions of weight below 1") == (96 if deaf and weight == 0.5 else None)
