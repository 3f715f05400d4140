"""A trained model as a folder, without pickle.

artifact.json        method and its settings, where it comes from, modalities, parameters
weights.safetensors  all tensors, item vectors included: content is not needed to recommend
catalog.arrow        raw ids in code order, how often each was trained on, and its title; items added later come last
manifest.json        format version, SHA-256 and size of each file
"""

from __future__ import annotations

import dataclasses
import json
import shlex
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
from siftrec.errors import ArtifactError, DataError, SettingsError, UsageError
from siftrec.methods.base import Counted, Extensible, Method, Model, Scorer, refusal, tried
from siftrec.methods.checks import check_trained
from siftrec.methods.trained import Facts, Trained
from siftrec.settings import build, describe, trusting

KIND, VERSION = "artifact", 1
ABOUT, WEIGHTS, CATALOG = "artifact.json", "weights.safetensors", "catalog.arrow"
_CONFIG, _CHECKPOINTS, _STATE, _RECORD = "config.toml", "checkpoints", "state.json", "run.json"
"""What a run folder holds beside an artifact."""
_ID_TYPES = (pl.String, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
T = TypeVar("T", Facts, Content)


def save(trained: Trained, folder: str | Path) -> None:
    """Write a trained model; an older artifact in `folder` is replaced when the new one is complete.

    Args:
        trained: the model.
        folder: new, an artifact, or the run folder that `fit` kept its checkpoints in: there it goes into `artifact`, where
            `load(folder)` looks too.

    Raises:
        ArtifactError: a weight that is NaN or infinite.
        UsageError: no trained model, or a run folder and a model that another run trained.
        EnvironmentProblem: disk full, read-only folder, or a folder that holds anything else, be it an export.
    """
    check_trained(trained)
    about = {
        "siftrec": siftrec.__version__,
        "method": describe(trained.method),
        "facts": dataclasses.asdict(trained.facts),
        "items": len(trained.items) - 1,
        "added": trained.added,
        "modalities": [dataclasses.asdict(each) for each in trained.contents],
        "parameters": parameters(trained),
    }
    text = json.dumps(about, indent=1, allow_nan=False) + "\n"
    titles = [trained.titles.get(each) for each in trained.items.ids.to_list()]
    table = pl.DataFrame(
        {
            "id": trained.items.ids,
            "popularity": trained.popularity[1:].astype(np.int64),
            "title": pl.Series(titles, dtype=pl.String),
        }
    )
    standing = Path(folder)
    if _trained_in(standing):
        _check_own(trained, standing)
        standing = standing / KIND
    files.seal(
        standing,
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
    rows = len(trained.items) - trained.added
    sizes = [(rows == p.shape[0] if p.dim() else False, p.numel()) for p in trained.scorer.parameters()]
    return {"embedding": sum(n for per_item, n in sizes if per_item), "other": sum(n for each, n in sizes if not each)}


def load(folder: str | Path, trust: Iterable[str] = ()) -> Trained:
    """The model that `save` wrote.

    Args:
        folder: a run folder or the artifact in it.
        trust: packages whose methods may be loaded beside siftrec's: a name in a file is code to be run.

    Raises:
        ArtifactError: anything damaged, incomplete, of another version, or of a package that is not trusted.
        UsageError: `trust` is no list of packages.
    """
    packages, standing = trusting(trust), place(Path(folder))
    if _trained_in(standing):
        again, ended = f"fit(..., folder={str(standing)!r}, resume=True)", ""
        if (standing / _CONFIG).is_file():
            again = shlex.join(["siftrec", "train", str(standing / _CONFIG), "-o", str(standing), "--resume"])
        else:
            ended = f", or siftrec.save(model, {str(standing)!r}) was not called"
        raise ArtifactError(f"{standing}: its training has not ended{ended}; `{again}` goes on with it")
    found = files.unseal(standing, KIND, VERSION, (ABOUT, WEIGHTS, CATALOG))
    about = files.read_json(found[ABOUT])
    method = _method(about, found[ABOUT], packages)
    facts = _dataclass(Facts, about.get("facts"), found[ABOUT])
    listed = about.get("modalities")
    contents = tuple(
        _dataclass(Content, each, found[ABOUT]) for each in (listed if isinstance(listed, list) else ["?"])
    )
    table, added = _catalog(found[CATALOG], about.get("items"), about.get("added", 0))
    ids, named = table["id"], table.drop_nulls("title")
    scorer = _scorer(method, Catalog.described(ids.head(len(ids) - added), contents), added, found[WEIGHTS])
    popularity = np.concatenate([[0], table["popularity"].to_numpy()])
    titles = dict(zip(named["id"].to_list(), named["title"].to_list(), strict=True))
    return Trained(method, scorer, Vocab(ids), popularity, facts, contents, titles, added)


def place(folder: Path) -> Path:
    """The artifact, given its run folder or itself."""
    inner = folder / KIND
    return inner if not (folder / files.MANIFEST).exists() and files.stands(inner) else folder


def _trained_in(folder: Path) -> bool:
    """Whether a folder holds the checkpoints of a run, and is no artifact itself."""
    return not (folder / files.MANIFEST).exists() and (folder / _CHECKPOINTS).is_dir()


def _check_own(trained: Trained, run: Path) -> None:
    """Refuse a model that is not the one whose checkpoints and record stand there."""
    states = sorted((run / _CHECKPOINTS).glob(f"e*-s*/{_STATE}"))
    identity = _read(states[-1]) if states else {}
    prints = _read(run / _RECORD).get("fingerprints") if (run / _RECORD).exists() else None
    was = {"method": identity.get("method"), "seed": identity.get("seed")}
    was |= {"training data": prints.get("train") if isinstance(prints, dict) else None}
    now = {"method": describe(trained.method), "seed": trained.facts.seed, "training data": trained.facts.train}
    for what, theirs in was.items():
        if theirs is not None and theirs != now[what]:
            told = _told(what, theirs, now[what])
            raise UsageError(f"{run} holds another run: {told}; save the model in a folder of its own")


def _read(path: Path) -> dict[str, Any]:
    """What a run says that it is; {} where that cannot be read, for then it says nothing."""
    try:
        about = files.read_json(path)
    except ArtifactError:
        return {}
    inner = about.get("identity", about)
    return inner if isinstance(inner, dict) else {}


def _told(what: str, theirs: Any, ours: Any) -> str:
    if not isinstance(theirs, dict):
        return f"its {what} is {theirs!r}, that of the model {ours!r}"
    keys = ["use", *sorted(theirs.keys() | ours.keys())]
    key = next(each for each in keys if theirs.get(each) != ours.get(each))
    return _told(f"{what}.{key}", str(theirs.get(key)), str(ours.get(key)))


def _method(about: dict[str, Any], path: Path, trust: tuple[str, ...]) -> Method:
    table = about.get("method")
    if not isinstance(table, dict):
        raise ArtifactError(f"{path}: does not say which method it holds")
    try:
        method: Method = build(table, "method", trust)
    except (SettingsError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: {error}") from None
    problem = refusal(method)
    if problem:
        raise ArtifactError(f"{path}: method.use = {table['use']!r} is not a method: {problem}")
    return method


def _dataclass(cls: type[T], table: Any, path: Path) -> T:
    kinds = get_type_hints(cls)
    if not isinstance(table, dict) or set(table) != set(kinds):
        raise ArtifactError(f"{path}: {cls.__name__.lower()} must be a table of {', '.join(kinds)}")
    for name, value in table.items():
        if type(value) is not kinds[name] or (name == "width" and not 1 <= value <= 1 << 24):
            raise ArtifactError(f"{path}: {name} = {value!r} is not a possible {kinds[name].__name__}")
    return cls(**table)


def _catalog(path: Path, items: Any, added: Any) -> tuple[pl.DataFrame, int]:
    """Columns id, popularity and title, and how many of the items were added after training."""
    try:
        table = pl.read_ipc(path.read_bytes())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ArtifactError(f"{path}: cannot be read as Arrow: {error}") from None
    if "title" not in table.columns:  # written before titles were kept
        table = table.with_columns(title=pl.lit(None, dtype=pl.String))
    kinds = {name: kind for name, kind in table.schema.items() if name != "id"}
    if table.columns != ["id", "popularity", "title"] or kinds != {"popularity": pl.Int64, "title": pl.String}:
        raise ArtifactError(f"{path}: must have the columns id, popularity (64-bit integers) and title (text)")
    ids = table["id"]
    if ids.dtype not in _ID_TYPES or ids.null_count() or table["popularity"].null_count():
        raise ArtifactError(f"{path}: ids must be text or whole numbers without gaps, not {ids.dtype}")
    if type(added) is not int or not 0 <= added < max(len(ids), 1):
        raise ArtifactError(f"{path}: {added!r} of {len(ids)} items cannot have been added later")
    known = ids.head(len(ids) - added)
    ordered = bool((known.head(len(known) - 1) < known.tail(len(known) - 1)).all())
    if len(ids) == 0 or len(ids) != items or not ordered or ids.n_unique() < len(ids):
        raise ArtifactError(f"{path}: must hold {items!r} distinct ids in sorted order, those added later behind them")
    if (table["popularity"] < 0).any():
        raise ArtifactError(f"{path}: popularity must not be negative")
    return table, added


def _scorer(method: Method, catalog: Catalog, added: int, path: Path) -> Scorer:
    tensors = files.read_tensors(path)
    try:
        if isinstance(method, Counted):
            return tried(method.restore(tensors), len(catalog))  # a file may hold what no counting gives
        with seeds.initialised(0, "unused"):
            model = _widened(method.build(catalog), added)
        files.check_tensors(tensors, model.tensors())
        check_state(tensors, model)
        model.load_state_dict(tensors)
        return model.eval()
    except (
        ArtifactError,
        DataError,
        SettingsError,
        UsageError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise ArtifactError(f"{path}: does not fit the method: {error}") from None


def _widened(model: Model, added: int) -> Model:
    """A fresh model with room for items that were added after training."""
    wider = model.widened(added) if added and isinstance(model, Extensible) else model
    assert isinstance(wider, Model)
    return wider
