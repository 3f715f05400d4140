"""The state of a training run, and sealed folders that hold it.

RUN/checkpoints/e00003-s00000120/    after step 120 of epoch 3 (from 0)
    state.json           progress, what the run is, length of the log
    tensors.safetensors  model.*, best.*, optimiser.<parameter>.*
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from siftrec import files
from siftrec.detectors.state import check_state
from siftrec.errors import ArtifactError, SettingsError
from siftrec.methods.base import Model
from siftrec.train.settings import Training

KIND, VERSION = "checkpoint", 1
STATE, TENSORS = "state.json", "tensors.safetensors"
Tensors = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: the current one, from 0.
        step: steps of it that are done.
        best: best validation metric so far.
        best_epoch: when; -1 before the first validation.
        sums: loss parts (and the gradient norm) summed since the last line of the log.
        summed: over so many steps.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int = -1
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return self.epoch - 1 - self.best_epoch


@dataclass
class State:
    """All that training changes.

    Attributes:
        model: the weights.
        optimiser: AdamW.
        best: the weights of the best epoch; empty before the first validation.
        progress: where the run stands.
    """

    model: Model
    optimiser: torch.optim.AdamW
    best: Tensors = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)

    @classmethod
    def fresh(cls, model: Model, training: Training) -> State:
        """Before the first step."""
        return cls(model, adamw(model, training))

    @property
    def is_new(self) -> bool:
        """Whether nothing has been trained yet."""
        return self.progress.epoch == 0 and self.progress.step == 0

    def keep_best(self) -> None:
        """Remember the current weights."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def load_best(self) -> None:
        """Give the model the best weights and put it in evaluation mode."""
        self.model.train()
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()

    def tensors(self) -> Tensors:
        """Model, best weights and optimiser in one flat table."""
        table = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        table |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            table |= {f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
        return table

    def restore(self, tensors: Tensors, progress: Progress) -> None:
        """Take over a saved state.

        Raises:
            ArtifactError: tensors that are not those of this model; nothing was changed then.
        """
        parts: dict[str, Tensors] = {"model": {}, "best": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind not in parts:
                raise ArtifactError(f"{name} is no tensor of a checkpoint")
            parts[kind][rest] = tensor
        files.check_tensors(parts["model"], self.model.state_dict())
        if parts["best"] or progress.best_epoch >= 0:
            files.check_tensors(parts["best"], self.model.state_dict())
        for saved in (parts["model"], parts["best"]):
            if saved:
                check_state(saved, self.model)
        moments = _moments(parts["optimiser"], list(self.model.parameters()))
        self.model.load_state_dict(parts["model"])
        self.best, self.progress = parts["best"], progress
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})


def adamw(model: Model, training: Training) -> torch.optim.AdamW:
    """The optimiser the settings ask for."""
    return torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )


def _moments(table: Tensors, parameters: list[torch.nn.Parameter]) -> dict[int, Tensors]:
    moments: dict[int, Tensors] = {}
    for name, tensor in table.items():
        number, _, moment = name.partition(".")
        if not number.isdecimal() or int(number) >= len(parameters):
            raise ArtifactError(f"optimiser tensor {name} belongs to no parameter")
        if moment != "step" and tensor.shape != parameters[int(number)].shape:
            raise ArtifactError(f"optimiser tensor {name} has shape {list(tensor.shape)}, not that of its parameter")
        moments.setdefault(int(number), {})[moment] = tensor
    for owner, found in moments.items():
        if set(found) != {"step", "exp_avg", "exp_avg_sq"} or found["step"].numel() != 1:
            raise ArtifactError(f"optimiser state of parameter {owner} is incomplete")
    return moments


def save(folder: Path, state: State, identity: Mapping[str, Any], log_bytes: int, keep: int) -> None:
    """Write one checkpoint durably, then remove the oldest beyond `keep`.

    Args:
        folder: `RUN/checkpoints`.
        state: the run's state.
        identity: what the run is; only an equal run may resume from it.
        log_bytes: length of the log up to this state.
        keep: how many checkpoints stay, at least 1.

    Raises:
        EnvironmentProblem: disk full, read-only folder; older checkpoints are untouched.
    """
    about = {"progress": dataclasses.asdict(state.progress), "identity": identity, "log_bytes": log_bytes}
    text = json.dumps(about, indent=1, allow_nan=False)
    target = folder / f"e{state.progress.epoch:05d}-s{state.progress.step:08d}"
    files.seal(
        target,
        {
            STATE: lambda path: path.write_text(text, "utf-8"),
            TENSORS: lambda path: files.write_tensors(path, state.tensors()),
        },
        KIND,
        VERSION,
    )
    for old in listed(folder)[keep:]:
        files.discard(old)


def listed(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    return sorted((path for path in folder.glob("e*-s*") if path.is_dir()), reverse=True)


def resume(folder: Path, state: State, identity: Mapping[str, Any], epochs: int) -> tuple[int, list[str]]:
    """Bring `state` to the newest checkpoint that is whole.

    Damaged ones that are newer are reported and removed, for training will write them again.

    Args:
        folder: `RUN/checkpoints`.
        state: fresh; changed in place.
        identity: what this run is.
        epochs: how many it is to train.

    Returns:
        The length of the log at that point, and one message per damaged checkpoint. (0, []) when there is none at all.

    Raises:
        ArtifactError: checkpoints of another run, or none that is whole.
        SettingsError: more epochs were begun than are asked for.
    """
    damaged: list[tuple[Path, str]] = []
    for path in listed(folder):
        try:
            tensors, about = _read(path)
            _check_identity(folder, about["identity"], identity)
            progress = Progress(**about["progress"])
            _check_epochs(folder, progress, epochs)
            state.restore(tensors, progress)
        except _OtherRunError:
            raise
        except ArtifactError as error:
            text = str(error)
            damaged.append((path, text if text.startswith(str(path)) else f"{path}: {text}"))
            continue
        _sweep(folder, [bad for bad, _ in damaged])
        return about["log_bytes"], [f"passed over a damaged checkpoint: {message}" for _, message in damaged]
    if damaged:
        raise ArtifactError(f"no checkpoint is whole; the newest: {damaged[0][1]}")
    _sweep(folder, [])
    return 0, []


def _sweep(folder: Path, damaged: list[Path]) -> None:
    for path in damaged:
        files.discard(path)
    for left in folder.glob(".e*-s*"):
        shutil.rmtree(left, ignore_errors=True)


class _OtherRunError(ArtifactError):
    """A checkpoint that is whole, but of a run with other settings or data."""


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    found = files.unseal(path, KIND, VERSION, (STATE, TENSORS))
    about = files.read_json(found[STATE])
    whole = {"progress": dict, "identity": dict, "log_bytes": int}
    kinds = {f.name: f.type for f in dataclasses.fields(Progress)}
    if any(type(about.get(key)) is not kind for key, kind in whole.items()) or set(about["progress"]) != set(kinds):
        raise ArtifactError(f"{found[STATE]}: is not the state of a training run")
    if any(type(about["progress"][name]) is not int for name, kind in kinds.items() if kind == "int"):
        raise ArtifactError(f"{found[STATE]}: progress must be in whole numbers")
    return files.read_tensors(found[TENSORS]), about


def _check_epochs(folder: Path, progress: Progress, epochs: int) -> None:
    begun = progress.epoch + (progress.step > 0)
    if begun > epochs:
        problem = f"is {epochs}, but the run in {folder.parent} has trained {begun}"
        raise SettingsError("train.epochs", f"{problem}; resume with {begun} or more, or choose another output folder")


def _check_identity(folder: Path, saved: dict[str, Any], now: Mapping[str, Any], path: str = "") -> None:
    for key in sorted(set(saved) | set(now)):
        old, new, here = saved.get(key), now.get(key), f"{path}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            _check_identity(folder, old, new, f"{here}.")
        elif old != new:
            raise _OtherRunError(
                f"{folder}: the run was made with {here} = {old!r}, now it is {new!r}; "
                "resume with the same, or choose another output folder"
            )
