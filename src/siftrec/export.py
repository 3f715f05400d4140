"""A trained run as files for other programs: item vectors, the user tower, and what it all is.

items.arrow    id, title, popularity, vector: one row per item, row r has code r + 1
items.npy      (N, D) float32 the same vectors
ids.json       the same ids
users.onnx     items int64 (batch, L) → users float32 (batch, D): codes, oldest first, padded with 0 on the left
model.md       the model card
manifest.json  SHA-256 and size of each file

The score of an item for a user is the inner product of their vectors.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn

from siftrec import files, seeds
from siftrec.artifact import load, place
from siftrec.card import card
from siftrec.detectors.likelihood import CrossFitted
from siftrec.errors import UsageError, missing_extra
from siftrec.methods.base import Model, VectorScorer
from siftrec.methods.trained import Trained, without_vectors

KIND, VERSION = "export", 1
TOLERANCE = 1e-5
_LARGEST = 2_000_000_000
_BATCHES = (1, 3, 32)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        items: how many.
        dim: D; 0 where the method has no vectors.
        difference: the largest between ONNX and torch, over random histories; None without users.onnx.
        refused: why there is no users.onnx, be it that it did not give what torch gives; "" where there is.
    """

    folder: Path
    items: int
    dim: int
    difference: float | None
    refused: str


def export(run: Path, out: Path, trust: Iterable[str] = ()) -> Exported:
    """Write a trained run for other programs; an older export in `out` is replaced when the new one is complete.

    Args:
        run: run folder or artifact.
        out: a folder; new, or of an earlier export.
        trust: as of `siftrec.load`.

    Raises:
        ArtifactError: there is no trained run, or it is damaged.
        EnvironmentProblem: the extra `export` is not installed, or `out` holds anything else.
    """
    trained = load(run, trust)
    with files.clear_errors(out):
        files.check_replaceable(out, KIND)
    vectors, tower, refused, difference = _vectors(trained), None, "", None
    try:
        graph = user_tower(trained)
        difference = compared(trained, graph)
        tower = graph
    except UsageError as error:
        refused = str(error)
    folder = place(run).absolute().parent  # `.` has no parent
    text = card(trained, folder, _notes(trained, vectors, difference, refused))
    table = _items(trained, vectors)
    writers: dict[str, files.Writer] = {
        "items.arrow": lambda path: table.write_ipc(path, compat_level=pl.CompatLevel.oldest()),
        "model.md": lambda path: path.write_text(text, "utf-8"),
    }
    if vectors is not None:
        ids = json.dumps(trained.items.ids.to_list(), ensure_ascii=False)
        writers["items.npy"] = lambda path: _save(path, vectors)
        writers["ids.json"] = lambda path: path.write_text(ids, "utf-8")
    if tower is not None:
        checked = tower
        writers["users.onnx"] = lambda path: path.write_bytes(checked)
    files.seal(out, writers, KIND, VERSION)
    return Exported(out, len(table), 0 if vectors is None else vectors.shape[1], difference, refused)


def _vectors(trained: Trained) -> np.ndarray | None:
    if not isinstance(trained.scorer, Model) or not isinstance(trained.scorer, VectorScorer):
        return None
    return trained.item_vectors()[1]


def _save(path: Path, vectors: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)


def _items(trained: Trained, vectors: np.ndarray | None) -> pl.DataFrame:
    titles = [trained.titles.get(each) for each in trained.items.ids.to_list()]
    table = pl.DataFrame(
        {
            "id": trained.items.ids,
            "title": pl.Series(titles, dtype=pl.String),
            "popularity": trained.popularity[1:].astype(np.int64),
        }
    )
    return table if vectors is None else table.with_columns(pl.Series("vector", vectors))


class _Users(nn.Module):
    """The user tower alone, as a module with one input and one output."""

    def __init__(self, model: VectorScorer) -> None:
        super().__init__()
        self.model = model

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        return self.model.users(items)


def user_tower(trained: Trained) -> bytes:
    """The user tower as ONNX: items int64 (batch, L) → users float32 (batch, D).

    L is `method.length`: histories are codes, oldest first, padded with 0 on the left.

    Raises:
        UsageError: the method has no user vectors, or its tower cannot be written as a graph.
        EnvironmentProblem: the extra `export` is not installed.
    """
    model, name = trained.scorer, type(trained.method).__name__
    if not isinstance(model, Model) or not isinstance(model, VectorScorer):
        raise without_vectors(trained.method)
    denoising = getattr(model, "denoising", None)
    if denoising is not None and denoising.how.pooling and not isinstance(denoising.detector, CrossFitted):
        detector = type(denoising.how.detector).__name__
        raise UsageError(f"the detector of this {name}, {detector}, cannot be written as a graph; Likelihood can")
    size = 4 * sum(each.numel() for each in model.buffers())
    if size > _LARGEST:
        raise UsageError(f"the tables of the model have {size / 1e9:.1f} GB, and an ONNX file at most 2")
    try:
        import onnxruntime
        import onnxscript
    except ModuleNotFoundError as error:
        raise missing_extra("export", str(error.name)) from None
    del onnxruntime, onnxscript
    example = histories(trained, 3)
    with torch.no_grad(), _quiet():
        model.users(example)  # what is computed at the first call is then a constant of the graph
        try:
            program = torch.onnx.export(
                _Users(model).eval(),
                (example,),
                input_names=["items"],
                output_names=["users"],
                dynamic_shapes={"items": {0: torch.export.Dim("batch", min=1, max=1 << 20)}},
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            problem = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            raise UsageError(f"the user tower of this {name} cannot be written as a graph ({problem})") from None
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def histories(trained: Trained, count: int) -> torch.Tensor:
    """items_BL: random histories of every length from 1 to L in turn, padded on the left."""
    length, size = trained.method.length, len(trained.items)
    rng = seeds.generator(0, "export", count)
    items_BL = torch.randint(1, size, (count, length), generator=rng)
    lengths_B1 = torch.arange(count).unsqueeze(1) % length + 1
    return items_BL * (torch.arange(length) >= length - lengths_B1)


def compared(trained: Trained, tower: bytes) -> float:
    """The largest difference between the exported tower and torch, over random histories of every length.

    Raises:
        UsageError: it is larger than 1e-5, times the largest number in the vectors where that is above 1; or a number
            is NaN or infinite.
    """
    import onnxruntime

    assert isinstance(trained.scorer, VectorScorer)
    session = onnxruntime.InferenceSession(tower, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in (*_BATCHES, 4 * trained.method.length):
        items_BL = histories(trained, count)
        with torch.inference_mode():
            right_BD = trained.scorer.users(items_BL).numpy()
        (found_BD,) = session.run(None, {"items": items_BL.numpy()})
        finite = bool(np.isfinite(found_BD).all() and np.isfinite(right_BD).all())
        off = float(np.abs(found_BD - right_BD).max()) if finite else float("nan")
        if not off <= TOLERANCE * max(1.0, float(np.abs(right_BD).max())):
            name = type(trained.method).__name__
            raise UsageError(
                f"the exported user tower of this {name} differs from torch by {off:.1e}; it is not written"
            )
        worst = max(worst, off)
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch tells of its own deprecations, and of what else could be installed, while it exports."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _notes(trained: Trained, vectors: np.ndarray | None, difference: float | None, refused: str) -> list[str]:
    notes = []
    if vectors is not None:
        notes.append(f"The score of an item is the inner product of two vectors of {vectors.shape[1]} numbers.")
    if difference is not None:
        notes.append(
            f"`users.onnx` reads the codes of the last {trained.method.length} items (row in `items.arrow` + 1), oldest "
            f"first, padded with 0 on the left; it differs from torch by at most {difference:.0e}."
        )
    return [*notes, *([f"There is no `users.onnx`: {refused}."] if refused else [])]
