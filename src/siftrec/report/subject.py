"""What a noise report is about, whatever it was given as: a log in parts, its items, and what is known to be made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from siftrec.config import Prepared
from siftrec.data.catalog import Catalog
from siftrec.data.interactions import Interactions
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, Split, everything, recoding
from siftrec.errors import UsageError
from siftrec.methods.demure import Demure
from siftrec.methods.trained import Trained
from siftrec.noise.foreign import ForeignContent
from siftrec.noise.inject import Injected
from siftrec.noise.sift import catalog_for

Part = Literal["all", "train"]
Data = Split | Interactions | Injected | ForeignContent | Prepared


@dataclass(frozen=True, eq=False)
class Subject:
    """A log to be judged.

    Attributes:
        split: the log in parts.
        catalog: the items, with the content that the model was given.
        injected: the planted interactions, or None.
        foreign: the planted foreign content, or None.
        imputed: modality → (N,) bool, items whose vector is imputed; one that is not named has none.
    """

    split: Split
    catalog: Catalog
    injected: Injected | None = None
    foreign: ForeignContent | None = None
    imputed: Mapping[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def log(self) -> Sequences:
        """U rows, E events: every positive interaction, in the codes of the catalog."""
        if self.split.items == self.catalog.vocab:
            return self.split.log
        return self.split.log.recode(recoding(self.split.items, self.catalog.vocab))

    def chosen(self, part: Part) -> np.ndarray:
        """(E,) bool: the events that are judged, and by which.

        Args:
            part: `train`: training interactions, by training interactions only.

        Raises:
            UsageError: another part.
        """
        if part not in get_args(Part):
            raise UsageError(f"part: {part!r} is neither 'all' nor 'train'")
        role = self.split.role
        if part == "train":
            return np.asarray(role == TRAIN)
        if self.injected is None and self.foreign is None:
            return np.ones(len(role), bool)
        # Test targets are clean by design; in a history they would vouch for others as no real log does.
        return np.asarray(role < TEST)


def subject_of(model: Trained, given: Data, catalog: Catalog | None = None) -> Subject:
    """What is to be judged, checked against the model.

    Args:
        model: any trained method.
        given: see `siftrec.report.noise.noise_report`.
        catalog: likewise.

    Raises:
        UsageError: what is no model, log or catalog; content that is needed and was not given; a gate's other items.
        DataError: an item of the log that the catalog lacks.
    """
    if not isinstance(model, Trained):
        raise UsageError(
            f"model: {type(model).__name__} is no trained model; give what siftrec.fit or siftrec.load returns"
        )
    subject = _prepared(given, catalog) if isinstance(given, Prepared) else _cut(model, given, catalog)
    _check_gate(model, subject.catalog)
    return subject


def _prepared(given: Prepared, catalog: Catalog | None) -> Subject:
    if catalog is not None:
        raise UsageError("catalog: an experiment's data have their own; leave it out")
    return Subject(given.split, given.catalog, given.injected, given.foreign, given.imputed)


def _cut(model: Trained, given: object, catalog: Catalog | None) -> Subject:
    split = given.split if isinstance(given, Injected | ForeignContent) else given
    if isinstance(split, Interactions):
        split = everything(split)
    if not isinstance(split, Split):
        problem = "is neither a split nor a log of interactions; give e.g. siftrec.leave_one_out(events), or events"
        raise UsageError(f"split: {type(given).__name__} {problem}")
    content = catalog_for(model, catalog, split.items.ids, "noise_report(model, split, catalog)")
    injected = given if isinstance(given, Injected) else None
    foreign = given if isinstance(given, ForeignContent) else None
    if foreign is not None and foreign.names != tuple(content):
        was, now = (", ".join(names) or "no content" for names in (foreign.names, tuple(content)))
        raise UsageError(f"catalog: has {now}, but foreign content was planted in {was}")
    return Subject(split, content, injected, foreign)


def _check_gate(model: Trained, catalog: Catalog) -> None:
    """Refuse content that a gate was not trained on: it weighs what it knows, by item code and by order of modalities."""
    if not isinstance(model.method, Demure) or not tuple(catalog):
        return
    ours, theirs = ([*names] or ["no content"] for names in ((each.name for each in model.contents), catalog))
    if ours != theirs:
        raise UsageError(f"catalog: has {', '.join(theirs)}, but the model was trained with {', '.join(ours)}")
    trained_on = model.items.ids.head(len(model.items) - 1 - model.added)
    if not catalog.vocab.ids.equals(trained_on):
        raise UsageError("catalog: its items are not those of the model; give the catalog that it was trained with")
