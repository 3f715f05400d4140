"""A trained model as a folder, without pickle.

artifact.json        method and its settings, where it comes from, modalities, parameters
weights.safetensors  all tensors, item vectors included: content is not needed to recommend
catalog.arrow        raw ids in code order, and how often each was trained on
manifest.json        format version, SHA-256 and size of each file
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
import polars as pl

import siftrec
from siftrec import files, seeds
from siftrec.data.catalog import Catalog, Content
from siftrec.data.vocab import Vocab
from siftrec.detectors.state import check_state
from siftrec.errors import ArtifactError, DataError, SettingsError
from siftrec.methods.base import Counted, Learned, Method, Model, Scorer
from siftrec.methods.trained import Facts, Trained
from siftrec.settings import build, describe

KIND, VERSION = "artifact", 1
ABOUT, WEIGHTS, CATALOG = "artifact.json", "weights.safetensors", "catalog.arrow"
_ID_TYPES = (pl.String, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
T = TypeVar("T", Facts, Content)


def save(trained: Trained, folder: str | Path) -> None:
    """Write a trained model; an older artifact in `folder` is replaced when the new one is complete.

    Raises:
        ArtifactError: a weight that is NaN or infinite.
        EnvironmentProblem: disk full, read-only folder, or a folder that holds anything else.
    """
    about = {
        "siftrec": siftrec.__version__,
        "method": describe(trained.method),
        "facts": dataclasses.asdict(trained.facts),
        "items": len(trained.items) - 1,
        "modalities": [dataclasses.asdict(each) for each in trained.contents],
        "parameters": parameters(trained),
    }
    text = json.dumps(about, indent=1, allow_nan=False) + "\n"
    table = pl.DataFrame({"id": trained.items.ids, "popularity": trained.popularity[1:].astype(np.int64)})
    files.seal(
        Path(folder),
        {
            ABOUT: lambda path: path.write_text(text, "utf-8"),
            WEIGHTS: lambda path: files.write_tensors(path, trained.scorer.tensors()),
            CATALOG: lambda path: table.write_ipc(path, compat_level=pl.CompatLevel.oldest()),
        },
        KIND,
        VERSION,
    )


def parameters(trained: Trained) -> dict[str, int]:
    """How many numbers are learned: `embedding` (one row per item) and `other`."""
    if not isinstance(trained.scorer, Model):
        return {"embedding": 0, "other": 0}
    sizes = [(len(trained.items) == p.shape[0] if p.dim() else False, p.numel()) for p in trained.scorer.parameters()]
    return {"embedding": sum(n for per_item, n in sizes if per_item), "other": sum(n for each, n in sizes if not each)}


def load(folder: str | Path, trust: Iterable[str] = ("siftrec",)) -> Trained:
    """The model that `save` wrote.

    Args:
        folder: a run folder or the artifact in it.
        trust: packages whose methods may be loaded: a name in a file is code to be run.

    Raises:
        ArtifactError: anything damaged, incomplete, of another version, or of a package that is not trusted.
    """
    found = files.unseal(place(Path(folder)), KIND, VERSION, (ABOUT, WEIGHTS, CATALOG))
    about = files.read_json(found[ABOUT])
    method = _method(about, found[ABOUT], tuple(trust))
    facts = _dataclass(Facts, about.get("facts"), found[ABOUT])
    listed = about.get("modalities")
    contents = tuple(
        _dataclass(Content, each, found[ABOUT]) for each in (listed if isinstance(listed, list) else ["?"])
    )
    ids, popularity = _catalog(found[CATALOG], about.get("items"))
    scorer = _scorer(method, Catalog.described(ids, contents), found[WEIGHTS])
    return Trained(method, scorer, Vocab(ids), popularity, facts, contents)


def place(folder: Path) -> Path:
    """The artifact, given its run folder or itself."""
    inner = folder / KIND
    return inner if not (folder / files.MANIFEST).exists() and files.stands(inner) else folder


def _method(about: dict[str, Any], path: Path, trust: tuple[str, ...]) -> Method:
    table = about.get("method")
    if not isinstance(table, dict):
        raise ArtifactError(f"{path}: does not say which method it holds")
    try:
        method = build(table, "method", trust)
    except (SettingsError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: {error}") from None
    if not isinstance(method, Learned | Counted):
        raise ArtifactError(f"{path}: method.use = {table['use']!r} is not a method")
    return method


def _dataclass(cls: type[T], table: Any, path: Path) -> T:
    kinds = get_type_hints(cls)
    if not isinstance(table, dict) or set(table) != set(kinds):
        raise ArtifactError(f"{path}: {cls.__name__.lower()} must be a table of {', '.join(kinds)}")
    for name, value in table.items():
        if type(value) is not kinds[name] or (name == "width" and not 1 <= value <= 1 << 24):
            raise ArtifactError(f"{path}: {name} = {value!r} is not a possible {kinds[name].__name__}")
    return cls(**table)


def _catalog(path: Path, items: Any) -> tuple[pl.Series, np.ndarray]:
    try:
        table = pl.read_ipc(path.read_bytes())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ArtifactError(f"{path}: cannot be read as Arrow: {error}") from None
    if table.columns != ["id", "popularity"] or table["popularity"].dtype != pl.Int64:
        raise ArtifactError(f"{path}: must have the columns id and popularity (64-bit integers)")
    ids = table["id"]
    if ids.dtype not in _ID_TYPES or table.null_count().sum_horizontal().item():
        raise ArtifactError(f"{path}: ids must be text or whole numbers without gaps, not {ids.dtype}")
    if len(ids) == 0 or len(ids) != items or not bool((ids.head(len(ids) - 1) < ids.tail(len(ids) - 1)).all()):
        raise ArtifactError(f"{path}: must hold {items!r} distinct ids in sorted order")
    if (table["popularity"] < 0).any():
        raise ArtifactError(f"{path}: popularity must not be negative")
    return ids, np.concatenate([[0], table["popularity"].to_numpy()])


def _scorer(method: Method, catalog: Catalog, path: Path) -> Scorer:
    tensors = files.read_tensors(path)
    try:
        if isinstance(method, Counted):
            return method.restore(tensors)
        with seeds.initialised(0, "unused"):
            model = method.build(catalog)
        files.check_tensors(tensors, model.tensors())
        check_state(tensors, model)
        model.load_state_dict(tensors)
    except (ArtifactError, DataError, SettingsError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: does not fit the method: {error}") from None
    return model.eval()
