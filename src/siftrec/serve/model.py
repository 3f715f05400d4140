"""The model that answers: one immutable snapshot, replaced as a whole."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from siftrec import files
from siftrec.artifact import ABOUT, CATALOG, WEIGHTS, load, place
from siftrec.errors import ArtifactError, SiftrecError, UsageError
from siftrec.methods.trained import Trained
from siftrec.serve.clusters import kept
from siftrec.serve.settings import DEFAULT
from siftrec.serve.store import Conflict, Full, Item, Missing, Store
from siftrec.settings import nearest, trusting

_TRIES = 5
_SLICE = 8192


@dataclass(frozen=True)
class Served:
    """What one request is answered with.

    Attributes:
        trained: the model, added items included.
        version: of the artifact, so of everything but the added items.
        added: how many of the store's items are in it.
        left_out: how many of the store's items are not: this model has not the modalities they came with.
        seq: place in the store up to which it has looked.
        told: titles that the store has of items that the model knows by itself.
        hidden: ids that must not be in an answer, in this catalog or not.
        turned: place in the store up to which it has looked for what was hidden or shown.
    """

    trained: Trained
    version: str
    added: int = 0
    left_out: int = 0
    seq: int = 0
    told: Mapping[object, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    turned: int = 0

    def title(self, item: object) -> str | None:
        """An item's title, if it has one: the model's, else the store's."""
        return self.trained.titles.get(item, self.told.get(item))

    @cached_property
    def _names(self) -> pl.DataFrame:
        """All items that are not hidden, most popular first, with the text that a search looks at."""
        ids = self.trained.items.ids
        titles = pl.Series([self.title(each) for each in ids.to_list()], dtype=pl.String)
        table = pl.DataFrame({"item": ids.cast(pl.String), "title": titles, "popularity": self.trained.popularity[1:]})
        if self.hidden:
            table = table.filter(~pl.col("item").is_in(self.hidden))
        text = pl.concat_str("item", pl.col("title").fill_null(""), separator="\n").str.to_lowercase()
        return table.with_columns(text.alias("text")).sort("popularity", descending=True, maintain_order=True)

    def search(self, text: str, limit: int) -> list[tuple[str, str | None, int]]:
        """(id, title, popularity) of items whose id or title holds `text` in any case, most popular first."""
        lower, rows = pl.Series([text]).str.to_lowercase()[0], list[tuple[str, str | None, int]]()
        for part in self._names.iter_slices(_SLICE):  # what is asked for is mostly among the popular ones
            found = part.filter(part["text"].str.contains(lower, literal=True)) if text else part
            rows += found.head(limit - len(rows)).select("item", "title", "popularity").rows()
            if len(rows) == limit:
                break
        return rows


class Serving:
    """Keeps the snapshot in step with the artifact on disk and with the store.

    Args:
        folder: run folder or artifact.
        store: of items that clients add.
        most: items that it may hold.
        clusters: folder that keeps those of an approximate index; None: every item is looked at.
        trust: as of `siftrec.load`, for every artifact that is taken up.

    Raises:
        ArtifactError: there is no model to begin with.
        UsageError: an approximate index of a model without vectors.
        EnvironmentProblem: the extra `ann` is not installed.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        most: int = DEFAULT.items,
        clusters: Path | None = None,
        trust: Iterable[str] = (),
    ) -> None:
        self._folder, self._store, self._most, self._lock = folder, store, most, threading.Lock()
        self._clusters, self._trust = clusters, trusting(trust)[1:]
        self.problem: str | None = None
        self.reloads = {"done": 0, "refused": 0}
        self._tried = self._seen = self._mark()
        self.current = self._grown(self._loaded())

    def poll(self) -> None:
        """Take up what changed on disk since the last look: items added by another process, another artifact.

        Raises:
            Unusable: the store cannot be used; while it cannot be read, a new artifact waits, for items would be missing.
        """
        with self._lock:
            self.current = self._grown(self.current)
        mark = self._mark()
        # Without a new manifest somebody may be writing, file by file: it is tried once nothing moves any more.
        if mark and mark != self._tried and (mark[:1] != self._tried[:1] or mark == self._seen):
            self.reload()
        self._seen = mark
        self._store.look()

    def reload(self) -> None:
        """Serve the artifact that is on disk now; one that cannot be served leaves the old one and a `problem`."""
        self._tried, before = self._mark(), self.current.version
        try:
            fresh = self._loaded()
            with self._lock:
                self.current = self._grown(fresh)
        except Exception as error:  # whatever is wrong with the new model, the old one goes on
            self.problem = str(error) if isinstance(error, SiftrecError) else f"internal error: {error!r}"
            print(f"error: the new model is refused: {self.problem}", file=sys.stderr, flush=True)
            self.reloads["refused"] += 1
        else:
            if self.problem is not None or fresh.version != before:
                items = len(self.current.trained.items) - 1
                print(f"serving model {fresh.version} ({items:,} items)", file=sys.stderr, flush=True)
            self.problem = None
            self.reloads["done"] += 1

    def add(self, items: Sequence[Item]) -> Served:
        """Add items, durably, then to the snapshot: all of them or none.

        Raises:
            Conflict: an id is known.
            Full: the store has no room for them.
            UsageError: content that does not fit the model, or a method that cannot take items by content.
        """
        with self._lock:
            self.current = self._grown(self.current)
            now = self.current
            known = np.flatnonzero(now.trained.codes([each.item for each in items]))
            if len(known):
                raise Conflict(f"item {items[known[0]].item!r} is known already")
            if now.seq + len(items) > self._most:
                raise Full(f"{now.seq:,} items are stored, and at most {self._most:,} may be; train on them")
            trained = _with(now.trained, items)
            seq = self._store.add_items(items)
            alone = seq == now.seq + len(items)  # else another process came between, with items of its own
            self.current = (
                replace(now, trained=trained, added=now.added + len(items), seq=seq) if alone else self._grown(now)
            )
            return self.current

    def hide(self, items: Sequence[str], hidden: bool) -> Served:
        """Take items out of all answers, durably, or have them there again: all of them or none.

        Args:
            items: ids, of the catalog; one that is hidden need not be in it to be shown.
            hidden: False: they are shown.

        Raises:
            Missing: no item has that id.
        """
        with self._lock:
            self.current = now = self._grown(self.current)
            for item, code in zip(items, now.trained.codes(list(items)), strict=True):
                if not code and (hidden or item not in now.hidden):
                    raise Missing(f"no item {item!r} in the catalog")
            self._store.hide(items, hidden)
            self.current = self._grown(now)
            return self.current

    def _mark(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What changes when a file of the artifact does, the manifest first; empty while it is being replaced."""
        folder = files.standing(place(self._folder))
        marks = [_file_mark(folder / name) for name in (files.MANIFEST, ABOUT, CATALOG, WEIGHTS)]
        return tuple(marks) if marks[0] else ()

    def _loaded(self) -> Served:
        """The artifact and its version, of one and the same writing, without the store's items."""
        for _ in range(_TRIES):
            before = self._version()
            try:
                trained = self._indexed(load(self._folder, self._trust))
                _answers(trained)
            except ArtifactError:
                if before == self._version():
                    raise
            else:
                if before == self._version():
                    return Served(trained, before)
            time.sleep(0.05)
        raise ArtifactError(f"{self._folder}: is being rewritten all the time")

    def _indexed(self, trained: Trained) -> Trained:
        """The model with the index that was asked for; items of the store come later, beside its clusters."""
        folder = self._clusters
        return trained if folder is None else trained.approximated(lambda items_ND: kept(items_ND, folder))

    def _version(self) -> str:
        try:
            manifest = files.standing(place(self._folder)) / files.MANIFEST
            return hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
        except OSError:
            return ""

    def _grown(self, served: Served) -> Served:
        """The snapshot with what the store got since."""
        items, seq = self._store.items_after(served.seq)
        turned, place = self._store.turned_after(served.turned)
        if place != served.turned:
            served = replace(served, hidden=_turned(served.hidden, turned), turned=place)
        if seq == served.seq:
            return served
        ids = [each.item for each in items]
        coded = list(zip(items, _typed(ids, served.trained), served.trained.codes(ids), strict=True))
        told = {raw: each.title for each, raw, code in coded if code and each.title is not None}
        new = [each for each, _, code in coded if not code]
        trained, taken = _with_those_that_fit(served.trained, _fitting(new, served.trained))
        added, left_out = served.added + taken, served.left_out + len(new) - taken
        return replace(served, trained=trained, seq=seq, added=added, left_out=left_out, told={**served.told, **told})


def _turned(hidden: frozenset[str], changes: Iterable[tuple[str, bool]]) -> frozenset[str]:
    """What is hidden after changes, each item named once."""
    last = dict(changes)
    return frozenset((hidden - last.keys()) | {item for item, gone in last.items() if gone})


def _file_mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _answers(trained: Trained) -> None:
    """See that a model answers before anybody is sent to it; its first answer is also its slowest."""
    first = trained.items.ids.head(1).to_list()
    if not all(np.isfinite(trained.recommend(history, 1, seen=True).scores).all() for history in ([], first)):
        raise ArtifactError("the model's answers are not finite numbers")


def _fitting(items: Sequence[Item], trained: Trained) -> list[Item]:
    """Items whose modalities and kind of id are the model's."""
    width = {each.name: each.width for each in trained.contents}
    named = zip(items, _typed([each.item for each in items], trained), strict=True)
    return [
        each
        for each, raw in named
        if raw is not None and all(width.get(name) == len(vector) for name, vector in each.content.items())
    ]


def _with_those_that_fit(trained: Trained, items: Sequence[Item]) -> tuple[Trained, int]:
    """The model with the items that it can take, and how many those are: one that it cannot take keeps no other out."""
    if not items:
        return trained, 0
    try:
        return _with(trained, items), len(items)
    except SiftrecError:
        if len(items) == 1:
            return trained, 0
    half = len(items) // 2
    trained, first = _with_those_that_fit(trained, items[:half])
    trained, second = _with_those_that_fit(trained, items[half:])
    return trained, first + second


def _with(trained: Trained, items: Sequence[Item]) -> Trained:
    """The model with more items.

    Raises:
        UsageError: an id, modality or width that is not the model's.
    """
    ids = _typed([each.item for each in items], trained)
    if None in ids:
        raise UsageError(f"item {items[ids.index(None)].item!r}: the ids of this catalog are whole numbers")
    width = {each.name: each.width for each in trained.contents}
    for each in items:
        for name, vector in each.content.items():
            if width and name not in width:
                raise UsageError(f"item {each.item!r}: the model knows no {name!r}{nearest(name, width)}")
            if width and len(vector) != width[name]:
                raise UsageError(f"item {each.item!r}: {name} has {len(vector)} numbers, the model needs {width[name]}")
    content = {
        name: np.array([each.content.get(name, [np.nan] * size) for each in items], np.float32)
        for name, size in width.items()
    }
    titles = {raw: each.title for raw, each in zip(ids, items, strict=True) if each.title is not None}
    return trained.add_items(ids, content, titles)


def _typed(ids: Iterable[str], trained: Trained) -> list[object]:
    """Ids as the catalog has them: text, or the whole numbers that the text spells exactly; None: it spells none."""
    text = pl.Series(list(ids), dtype=pl.String)
    typed = text.cast(trained.items.ids.dtype, strict=False)
    same = (typed.cast(pl.String) == text).fill_null(False)
    return [raw if right else None for raw, right in zip(typed.to_list(), same.to_list(), strict=True)]
