"""`siftrec sift`: the log again, in its own layout, with weights, or without what is flagged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from siftrec.data.catalog import Catalog
from siftrec.data.interactions import Interactions
from siftrec.data.readers import arrow
from siftrec.data.sequences import Sequences
from siftrec.data.split import Fitting, Split
from siftrec.data.writers import tables
from siftrec.data.writers.marks import WEIGHT, Marks, refuse_weighted
from siftrec.data.writers.rewrite import check_target, rewrite
from siftrec.detectors.blend import Detector
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.fitted import OnFold
from siftrec.errors import DataError, UsageError
from siftrec.files import write_file
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.trained import Trained
from siftrec.noise.judge import Judge, judge
from siftrec.noise.trained import judged_by

MEMORY = "memory"
FITTED = "models of what goes with what"
"""The folds that `scores_for` counts."""
FINAL = "judged by all interactions, those held out too: for training a final model, not for an experiment"
"""What is to be known of weights that were not given by the training part alone."""


@dataclass(frozen=True, eq=False)
class Sifted:
    """A log with what is believed of its interactions.

    Attributes:
        events: the log.
        rows: (n,) source rows of the interactions that were judged; the others are kept, with weight 1.
        scores: of these, in the same order.
        part: what judged them: `all` interactions or those of the `train` part.
    """

    events: Interactions
    rows: np.ndarray
    scores: NoiseScores
    part: Literal["all", "train"] = "all"

    def __repr__(self) -> str:
        notes = "".join(f"; {note}" for note in self.notes)
        return f"Sifted({len(self.rows):,} of {len(self.events):,} interactions judged, {self.scores!r}{notes})"

    @property
    def notes(self) -> dict[str, int]:
        """Whether a test part had a say, in words, and in how many weights; nothing where the training part alone judged."""
        return {} if self.part == "train" else {f"{FINAL}: part='train'": len(self.rows)}

    def to_frame(self) -> pl.DataFrame:
        """Columns `row, user, item, noise, flagged, evidence, weight`, a row for each row of the source, in its order.

        `noise` and `evidence` are null and `weight` is 1 where an interaction was not judged: it was only shown, the model
        does not know its item, or the log was read without it (`core`, `window`). Of a log read from a file, or made by
        hand, only the rows that are in `events`.
        """
        given, frame = self.events.given, self.events.frame
        if given is None:
            told = frame.sort("row").select("row", "user", "item")
        else:
            ids = {
                role: pl.col(name).cast(frame[role].dtype)
                for role, name in (("user", given.user), ("item", given.item))
            }
            told = pl.DataFrame(given.table).select(**ids).with_row_index("row").cast({"row": pl.Int64})
        judged = self.scores.to_frame().insert_column(0, pl.Series("row", self.rows, pl.Int64))
        told = told.join(judged, on="row", how="left", maintain_order="left")
        return told.with_columns(pl.col("flagged").fill_null(False), pl.col("weight").fill_null(1.0))

    def write(self, path: str | Path, drop: bool = False) -> None:
        """Write the log in the layout of its source (see `siftrec.data.writers.rewrite`), or as Parquet.

        All columns and all rows of the source are there, in its order; rows that were not judged weigh 1.

        Args:
            path: the new file; ends as the source does, or in `.parquet`; a log from memory becomes Parquet.
            drop: leave out the flagged rows instead of writing weights. With short histories that destroys signal.

        Raises:
            UsageError: `path` is the source, or ends as another kind of file.
            DataError: the log has weights already, or has changed since it was read.
            EnvironmentProblem: disk full, read-only folder; an older file there is untouched.
        """
        rows, scores = self.rows, self.scores
        marks = Marks.without(rows, scores.flagged) if drop else Marks.weights(rows, scores.weight)
        source = self.events.source
        if source != MEMORY:
            check_target(source, Path(path), drop)
        if not drop and WEIGHT in self.events.frame.columns:
            refuse_weighted(source)
        if source == MEMORY:
            _write_memory(self.events, marks, Path(path))
        else:
            rewrite(source, Path(path), marks)


def sift(
    trained: Trained,
    events: Interactions,
    catalog: Catalog | None = None,
    *,
    detector: Detector | Judge | None = None,
    part: Literal["all", "train"] = "all",
    split: Split | None = None,
    q: float = 0.2,
    seed: int = 7,
) -> Sifted:
    """Judge every interaction of a log.

    Args:
        trained: CCL4Rec judges by what it has learned, unless a detector is named; under any other method the log is
            judged by itself and by the content of its items, see `judged`.
        events: the log; interactions with items that the model does not know are not judged.
        catalog: items and content that the model was trained with; only a model without content can do without.
        detector: judges the log by itself, whatever the method; see `siftrec.judge`.
        part: `train`: training interactions alone are judged, by training interactions alone, and the others weigh 1, so
            that the result can be used in an experiment without a leak; `all`: every interaction, by every other, for a
            final model: held-out interactions vouch for training ones, so the weights know the answers.
        split: with `part="train"`, the cut of `events` that the model was fitted on, which says which these are.
        q: share of genuine interactions aimed at among the flagged.
        seed: of the background.

    Raises:
        UsageError: what is no log or no detector, content that is needed and was not given, or another split.
        SettingsError: `Agreement` without content.
        DataError: no item of the log is one of the model's.
    """
    if not isinstance(events, Interactions):
        raise UsageError(f"events: {type(events).__name__} is no log; give what siftrec.read returns")
    kept, training = events.positives(), _training(trained, events, part, split)
    if detector is not None or not isinstance(trained.method, CCL4Rec):
        items = kept.items if training is None else training.items.ids
        content = catalog_for(trained, catalog, items, "sift(model, events, catalog)")
        if training is None:
            return judged(events, content, detector=detector, q=q, seed=seed)
        log = training.recode(content.vocab).train
        return Sifted(events, log.rows, scores_for(log, content, seed, q, detector=detector), "train")
    if training is not None:
        log = training.recode(trained.items).train
        return Sifted(events, log.rows, judged_by(trained, log, q=q, seed=seed)[0], "train")
    known = replace(kept, frame=kept.frame.filter(trained.items.encode(kept.frame["item"], unknown=0) > 0))
    if not len(known):
        raise DataError(
            f"has no item of the model's catalog, whose ids are like {trained.items.ids[0]!r}", events.source
        )
    log = known.sequences(known.users, trained.items)
    return Sifted(events, log.rows, judged_by(trained, log, q=q, seed=seed)[0])


def catalog_for(trained: Trained, catalog: Catalog | None, items: pl.Series, call: str) -> Catalog:
    """What a log is judged with: the catalog that was given, or the items alone where the model knows no content.

    Args:
        trained: the model.
        catalog: as it was given.
        items: raw ids of the log's items.
        call: how to give a catalog, for the error.

    Raises:
        UsageError: content that is needed and was not given, or what is no catalog.
    """
    if catalog is None and trained.contents:
        names = ", ".join(each.name for each in trained.contents)
        raise UsageError(f"the model was trained with content ({names}); give its catalog: {call}")
    if not isinstance(catalog, Catalog | None):
        raise UsageError(f"catalog: {type(catalog).__name__} is no Catalog; try siftrec.Catalog(events.items)")
    return Catalog(items) if catalog is None else catalog


def _training(trained: Trained, events: Interactions, part: str, split: Split | None) -> Fitting | None:
    """What the model was fitted on, where that alone is judged; None: everything is."""
    if part not in ("all", "train") or (part == "all" and split is not None):
        raise UsageError(f"part: {part!r} must be 'all', without a split, or 'train', with the split of the model")
    if part == "all":
        return None
    if not isinstance(split, Split) or split.train.fingerprint != trained.facts.train:
        raise UsageError(
            "split: must be the one that the model was fitted on, whose training interactions are judged: "
            "sift(model, events, part='train', split=split)"
        )
    log, frame = split.train, events.positives().frame.sort("row")
    frame = frame.filter(pl.col("row").is_in(pl.Series(log.rows).implode()))
    order = np.argsort(log.rows)
    rows, items = frame["row"].to_numpy(), split.items.encode(frame["item"], unknown=0)
    if not (np.array_equal(rows, log.rows[order]) and np.array_equal(items, log.items[order])):
        raise UsageError(f"split: is no cut of this log ({events.source}); its training interactions are others")
    return split.fitting


def judged(
    events: Interactions, catalog: Catalog, *, detector: Detector | Judge | None = None, q: float = 0.2, seed: int = 7
) -> Sifted:
    """Judge every interaction of a log by the log and the content of its items; no trained model is needed.

    Args:
        events: the log.
        catalog: its items.
        detector: see `siftrec.judge`.
        q: share of genuine interactions aimed at among the flagged.
        seed: of the scorer and the background.
    """
    kept = events.positives()
    log = kept.sequences(kept.users, catalog.vocab)
    return Sifted(events, log.rows, scores_for(log, catalog, seed, q, detector=detector))


def scores_for(
    log: Sequences,
    catalog: Catalog,
    seed: int,
    q: float = 0.2,
    on_fold: OnFold = lambda done, of: None,
    detector: Detector | Judge | None = None,
) -> NoiseScores:
    """Where the noise scores of the commands come from."""
    return judge(log, catalog, detector=detector, q=q, seed=seed, on_fold=on_fold)


def weighted(
    source: str | Path, events: Interactions, scores: NoiseScores, out: str | Path, drop: bool = False
) -> None:
    """Write the log in `source` again with the weights of `scores`.

    Args:
        source: what `events` were read from.
        events: the log.
        scores: of its positive interactions, in the order of `events.positives()`.
        out: see `Sifted.write`.
        drop: likewise.
    """
    rows = events.positives().frame["row"].to_numpy()
    if len(rows) != len(scores.noise):
        raise UsageError(f"{len(scores.noise)} scores for {len(rows)} interactions")
    Sifted(replace(events, source=str(source)), rows, scores).write(out, drop)


def _write_memory(events: Interactions, marks: Marks, out: Path) -> None:
    if out.suffix != ".parquet":
        raise UsageError(f"{out} must end in .parquet: the log came from memory and has no layout of its own")
    if events.given is not None:
        table = tables.marked(arrow.in_memory(events.given.table, MEMORY), MEMORY, marks)
        write_file(out, lambda work: tables.write(table, work, out.suffix))
        return
    frame = events.frame.sort("row")
    row = frame["row"].to_numpy()
    if marks.weight is None:
        frame = frame.filter(pl.Series(marks.kept(int(row.max(initial=-1)) + 1)[row]))
    else:
        beyond = np.ones(max(int(row.max()) + 1 - len(marks.weight), 0), np.float32)
        frame = frame.with_columns(pl.Series("weight", np.concatenate([marks.weight, beyond])[row]))
    write_file(out, lambda work: arrow.write_table(frame.drop("row"), work, events.time_kind))
