"""One TOML file → one `Experiment`, and back.

    seed = 7
    [data]
    path = "events.parquet"      # relative paths are relative to this file
    [modality.text]
    path = "feat_text.npy"
    ids = "items.tsv"
    [method]
    use = "siftrec:CCL4Rec"
    dim = 64
    [train]
    epochs = 10

A key that is not known, a value of the wrong type or out of range, and an object of the wrong kind are refused with
their key path.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from siftrec.data.catalog import Catalog, names_modality
from siftrec.data.cleaned import cleaned
from siftrec.data.exposure import ImpressionSplit, rated
from siftrec.data.interactions import Interactions, TimeKind
from siftrec.data.read import read
from siftrec.data.split import LeaveOneOut, Split, recoding
from siftrec.errors import SettingsError, UsageError
from siftrec.methods.base import Learned, Method, refusal
from siftrec.methods.demure import Demure
from siftrec.methods.late import LateFusion
from siftrec.modality.impute import Impute, impute
from siftrec.modality.source import Source, check_exists
from siftrec.noise.foreign import Foreign, ForeignContent
from siftrec.noise.inject import Inject, Injected
from siftrec.overrides import override
from siftrec.settings import ANY, Count, Size, build, construct, describe, nearest, settings, toml_lines, trusting
from siftrec.train.loop import check_impressed, check_ranked
from siftrec.train.settings import Training


@settings
class Data:
    """Where the log is and how to read it.

    Attributes:
        path: a table, or a folder in a known layout.
        user, item, time, label, weight, rating, split: column names, where they are not recognised; "" = there is none.
        liked: make labels of ratings: what was rated was shown, and is labelled 1 where the rating is at least so much.
        core: keep the k-core; 1 keeps everything.
        original: the log that `path` was cleaned from. Users, items, targets and filtered items are then its, so that runs
            on both can be compared; see `siftrec.cleaned`.
        titles: a table `item, title`, to show recommendations by title.
        inject: noise planted into training and validation histories, with the truth kept.
        foreign: content planted there that belongs to other items, after `inject`, with the truth kept.
    """

    path: str
    user: str | None = None
    item: str | None = None
    time: str | None = None
    label: str | None = None
    weight: str | None = None
    rating: str | None = None
    split: str | None = None
    liked: Annotated[float, Field(allow_inf_nan=False)] | None = None
    core: Size = 1
    original: str | None = None
    titles: str | None = None
    inject: Inject | None = None
    foreign: Foreign | None = None

    def read(self) -> Interactions:
        """The log, validated and labelled, after the k-core: of `original`, where it is named."""
        return self.logs()[0]

    def logs(self) -> tuple[Interactions, Interactions]:
        """The log, and the log that is cut: `original`, or the same."""
        events = self._labelled("path", self.path)
        if self.original is None:
            events = events.core(self.core) if self.core > 1 else events
            return events, events
        whole = replace(self, weight="")._labelled("original", self.original)
        if self.core > 1:
            whole = whole.core(self.core)
            events = events.within(whole, self.core)
        return events, whole

    def _labelled(self, key: str, path: str) -> Interactions:
        check_exists(f"data.{key}", path)
        names = ("user", "item", "time", "label", "weight", "rating", "split")
        events = read(path, **{name: getattr(self, name) for name in names})
        if self.liked is not None:
            if "label" in events.frame.columns:
                raise SettingsError("data.liked", "makes labels of ratings, but the log has labels; leave it out")
            events = rated(events, self.liked)
        return events


@settings
class Evaluating:
    """What `siftrec evaluate` reports, and validation too."""

    cutoffs: Annotated[tuple[Size, ...], Field(min_length=1)] = (5, 10, 20, 50)


@dataclass(frozen=True)
class Prepared:
    """An experiment's data, ready to fit.

    Attributes:
        parts: the log in parts, corrupted where the experiment plants noise.
        catalog: the items with their modalities.
        injected: the planted noise, or None.
        foreign: the planted foreign content, or None.
        imputed: modality → (N,) bool, items of the catalog whose vector is imputed.
        notes: what was accepted and counted while reading, e.g. {"duplicate rows": 3}.
        time_kind: what `time` means in the log.
    """

    parts: Split | ImpressionSplit
    catalog: Catalog
    injected: Injected | None
    foreign: ForeignContent | None
    imputed: Mapping[str, np.ndarray]
    notes: dict[str, int]
    time_kind: TimeKind

    @property
    def split(self) -> Split:
        """The parts, of who needs a log of interactions.

        Raises:
            UsageError: impressions.
        """
        if isinstance(self.parts, ImpressionSplit):
            raise UsageError("this needs a log of interactions, and split.use of the experiment cuts impressions")
        return self.parts


@settings
class Experiment:
    """Everything that decides a run's result.

    Attributes:
        seed: of every random decision.
        data: the log.
        split: cuts the log; see `siftrec.data.split`.
        modality: name → its vectors.
        method: what is trained.
        train: how it is trained.
        evaluate: what is reported.
    """

    data: Data
    method: Method
    seed: Count = 7
    split: Callable[[Interactions], Split | ImpressionSplit] = field(default_factory=LeaveOneOut)
    modality: dict[str, Source] = field(default_factory=dict)
    train: Training = field(default_factory=Training)
    evaluate: Evaluating = field(default_factory=Evaluating)

    def prepare(self) -> Prepared:
        """Read, align, cut, and plant noise where asked.

        Raises:
            DataError, SettingsError: what is wrong and where.
        """
        if self.data.foreign and not isinstance(self.method, Demure | LateFusion):
            name = type(self.method).__name__
            raise SettingsError(
                "data.foreign", f"changes nothing for {name}, which reads no shown content; use siftrec:Demure"
            )
        events, whole = self.data.logs()
        sources = {name: source.read(f"modality.{name}") for name, source in self.modality.items()}
        catalog, parts = Catalog(whole.items, **sources), self.split(whole)
        injected = foreign = None
        if isinstance(parts, ImpressionSplit):
            self._check_impressions()
            notes, train = events.notes, parts.train.clicks
        else:
            if isinstance(self.method, Learned):
                check_ranked(self.train)
            self._check_cutoffs(len(catalog) - 1)
            told, before = events.positives().notes, len(parts.train.items)
            if self.data.original is not None:
                parts = cleaned(parts, events)
                told |= {"training interactions of data.original that data.path lacks": before - len(parts.train.items)}
            injected = self.data.inject(parts, self.seed) if self.data.inject else None
            parts = injected.split if injected else parts
            foreign = self.data.foreign(parts, catalog, self.seed) if self.data.foreign else None
            parts = foreign.split if foreign else parts
            notes, train = told | parts.notes, parts.train
        how = {name: source.impute for name, source in self.modality.items()}
        filled, imputed = impute(catalog, train.recode(recoding(parts.items, catalog.vocab)), how)
        notes = notes | _missing(catalog, imputed, how)
        if injected and injected.taken_later:
            notes |= {"planted interactions with what their user takes in the test part": injected.taken_later}
        return Prepared(parts, filled, injected, foreign, imputed, notes, events.time_kind)

    def _check_cutoffs(self, items: int) -> None:
        """Refuse lists that are longer than the catalog."""
        largest = {"evaluate.cutoffs": max(self.evaluate.cutoffs)}
        if isinstance(self.method, Learned) and self.train.metric != Training().metric:  # nobody asked for the default
            largest["train.metric"] = int(self.train.metric.partition("@")[2])
        for key, cutoff in largest.items():
            if cutoff > items:
                raise SettingsError(key, f"{cutoff} is more than the catalog's {items} items")

    def _check_impressions(self) -> None:
        """Refuse what says nothing of impressions, before it costs a training."""
        for name in ("inject", "foreign"):
            if getattr(self.data, name) is not None:
                problem = "plants noise in histories of interactions, and split.use cuts impressions; leave it out"
                raise SettingsError(f"data.{name}", problem)
        if self.data.original is not None:
            problem = "is of a cleaned log of interactions, and split.use cuts impressions; leave it out"
            raise SettingsError("data.original", problem)
        if self.evaluate != Evaluating():
            raise SettingsError("evaluate.cutoffs", "impressions are judged by AUC, GAUC and the 50 best; leave it out")
        if isinstance(self.method, Learned):
            check_impressed(self.method, self.train)

    def load_data(self) -> tuple[Split | ImpressionSplit, Catalog]:
        """The two that `fit` takes; see `prepare`."""
        prepared = self.prepare()
        return prepared.parts, prepared.catalog


def _missing(catalog: Catalog, imputed: Mapping[str, np.ndarray], how: Mapping[str, Impute]) -> dict[str, int]:
    """How many items lack each modality, of how many it is imputed, and how many vectors nobody asks for, in words."""
    notes = {}
    for name, aligned in catalog.modalities.items():
        notes[f"items without {name}"] = int((~aligned.present[1:]).sum())
        notes[f"{name} vectors of items that the log lacks"] = int(
            aligned.modality.present.sum() - aligned.present.sum()
        )
        notes[f"items whose {name} is imputed ({how[name]})"] = int(imputed[name].sum())
    return {note: count for note, count in notes.items() if count}


def load(
    path: str | os.PathLike[str],
    overrides: Iterable[str] = (),
    *,
    trust: Iterable[str] = ANY,
    on_note: Callable[[str], None] | None = None,
) -> Experiment:
    """The experiment a TOML file describes.

    Args:
        path: the file; relative paths in it are relative to its folder.
        overrides: `"method.dim=32"`: a dotted key and a TOML value, or plain text. Another `use` starts its table anew,
            for the settings beside it in the file are those of something else; other overrides, before it or behind,
            are settings of the new one.
        trust: packages whose code the file may name beside siftrec's. Any, for whoever trains has written it; of a run
            from elsewhere, whose `config.toml` is such a file too, say which.
        on_note: called with what is to be known and stops nothing, e.g. which settings another `use` has dropped.

    Raises:
        SettingsError: naming file:line:column, or the key path.
        UsageError: an override that is not `key=value`.
    """
    file = Path(path)
    table = parse(file)
    for note in override(table, overrides, file.name):
        if on_note is not None:
            on_note(note)
    return _experiment(table, file.parent, trusting(trust))


def dump(experiment: Experiment) -> str:
    """Resolved, complete TOML; `load` makes an equal experiment of it."""
    table = {
        "seed": experiment.seed,
        "data": _bare(experiment.data),
        "split": describe(experiment.split),
        "modality": {name: _bare(source) for name, source in experiment.modality.items()},
        "method": describe(experiment.method),
        "train": _bare(experiment.train),
        "evaluate": _bare(experiment.evaluate),
    }
    return "\n".join(toml_lines(table)) + "\n"


def dumped(file: Path) -> dict[str, Any] | None:
    """The tables of a file that reads as `dump` writes; None where somebody may have written it by hand."""
    try:
        table = parse(file)
        whole = {"seed", "data", "split", "modality", "method", "train", "evaluate"} == table.keys()
        return table if whole and file.read_text("utf-8") == "\n".join(toml_lines(table)) + "\n" else None
    except (SettingsError, OSError):
        return None


def parse(file: Path) -> dict[str, Any]:
    """The tables of an experiment's file as they stand: nothing they name is imported.

    Raises:
        SettingsError: naming file:line:column.
    """
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(str(file), "no such file; `siftrec init DATA -o exp.toml` writes one") from None
    except OSError as error:
        raise SettingsError(str(file), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(str(file), f"is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        problem, _, place = str(error).rpartition(" (at ")
        where = ":".join([str(file), *re.findall(r"\d+", place)])
        raise SettingsError(where, f"not TOML: {problem[0].lower()}{problem[1:]}") from None
    except RecursionError:
        raise SettingsError(str(file), "not TOML: its brackets are nested too deep") from None


def _experiment(table: Mapping[str, Any], folder: Path, trust: tuple[str, ...]) -> Experiment:
    _check_shape(table)
    data = construct(Data, table["data"], "data", trust)
    data = replace(
        data,
        **{part: _absolute(f"data.{part}", getattr(data, part), folder) for part in ("path", "original", "titles")},
    )
    modality = {name: _source(name, value, folder, trust) for name, value in table.get("modality", {}).items()}
    parts: dict[str, Any] = {"data": data, "method": build(table["method"], "method", trust)}
    problem = refusal(parts["method"])
    if problem:
        raise SettingsError(
            "method.use", f"{table['method']['use']!r} is not a method, as 'siftrec:CCL4Rec' is: {problem}"
        )
    if "split" in table:
        parts["split"] = build(table["split"], "split", trust)
        if not callable(parts["split"]):
            raise SettingsError("split.use", f"{table['split']['use']!r} is not a split; e.g. 'siftrec:LeaveOneOut' is")
    for name, kind in (("train", Training), ("evaluate", Evaluating)):
        parts[name] = construct(kind, table.get(name, {}), name, trust)
    if "seed" in table:
        parts["seed"] = table["seed"]
    return replace(construct(Experiment, parts, "", trust), modality=modality)


def _check_shape(table: Mapping[str, Any]) -> None:
    known = ("seed", "data", "split", "modality", "method", "train", "evaluate")
    for key, value in table.items():
        if key not in known:
            raise SettingsError(key, f"unknown key{nearest(key, known)}")
        if key != "seed" and not isinstance(value, Mapping):
            raise SettingsError(key, f"must be a table, [{key}], not {value!r}")
    for key in ("data", "method"):
        if key not in table:
            raise SettingsError(key, f"missing; an experiment needs a table [{key}]")


def _source(name: str, table: Any, folder: Path, trust: tuple[str, ...]) -> Source:
    key = f"modality.{name}"
    if not isinstance(table, Mapping):
        raise SettingsError(key, f"must be a table, [{key}] with a path, not {table!r}")
    if not names_modality(name):
        raise SettingsError(key, f"{name!r} cannot name a modality; use letters, digits and _, e.g. 'text'")
    source = construct(Source, table, key, trust)
    located = {part: _absolute(f"{key}.{part}", getattr(source, part), folder) for part in ("path", "ids", "mask")}
    return replace(source, **located)


def _absolute(key: str, path: str | None, folder: Path) -> Any:
    try:
        return None if path is None else os.path.abspath(folder / Path(path).expanduser())
    except RuntimeError:
        raise SettingsError(key, f"{path!r} names a user who has no home here; write ./{path} for a folder") from None


def _bare(thing: Any) -> dict[str, Any]:
    table = describe(thing)
    del table["use"]
    return table
