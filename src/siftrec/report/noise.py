"""The noise report of a log: what `siftrec noise` writes and what its page shows, as an object in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.detectors.blend import Detector
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.fitted import OnFold
from siftrec.errors import UsageError
from siftrec.methods.trained import Trained
from siftrec.modality.impute import without
from siftrec.nn.threads import threads
from siftrec.noise.content import shown_content
from siftrec.noise.judge import Judge
from siftrec.noise.measure import detection, judgement
from siftrec.noise.modal import Modal, judge_modalities, modal_detection
from siftrec.noise.sift import FITTED, scores_for
from siftrec.report.page import noise_page
from siftrec.report.subject import Data, Part, Subject, subject_of
from siftrec.report.view import noise_view

Counting = Callable[[str], AbstractContextManager[OnFold]]
"""Given what is counted, a context in which to tell how many are done, and of how many."""


@dataclass(frozen=True, eq=False)
class NoiseReport:
    """What is believed of a log's interactions, and of the content they showed; `noise_report` makes it.

    Attributes:
        name: heads the page; at first that of the method, `dataclasses.replace` gives another.
        subject: the log, its items, and what was planted.
        chosen: (E,) bool, the events of `subject.log` that were judged.
        scores: of these.
        modal: what is believed of their modalities; None where the method weighs none.
        titles: raw item id as text → title; may be empty.
        seed: of the scorers and the background.
    """

    name: str
    subject: Subject
    chosen: np.ndarray
    scores: NoiseScores
    modal: Modal | None
    titles: Mapping[str, str]
    seed: int

    def __repr__(self) -> str:
        weighed = "" if self.modal is None else f"; modalities {', '.join(self.modal.noise.names)}"
        return f"NoiseReport({self.name}: {self.scores!r}{weighed})"

    @cached_property
    def log(self) -> Sequences:
        """U rows: the events that were judged."""
        return self.subject.log.where(self.chosen)

    @property
    def truth(self) -> np.ndarray | None:
        """(E_judged,) bool, True = planted; None where nothing was."""
        injected = self.subject.injected
        return None if injected is None else injected.noisy[self.chosen]

    @property
    def foreign(self) -> np.ndarray | None:
        """(E_judged, M) bool, True = planted foreign content; None where none was."""
        foreign = self.subject.foreign
        return None if foreign is None else foreign.foreign_EM[self.chosen]

    def to_frame(self) -> pl.DataFrame:
        """interactions.parquet: `row, user, item, time, noise, flagged, evidence`, a row per positive interaction.

        In the source's order; what was planted stands behind the interaction that it follows. `noise` and `evidence` are
        null where not judged.
        """
        scores, order = self.scores, self._order
        at = self._judged(order)
        judged = pl.Series(at >= 0)
        frame = pl.DataFrame(
            {
                **self._named(order),
                "time": self.subject.log.times[order],
                "noise": pl.Series(scores.noise[at], dtype=pl.Float32),
                "flagged": pl.Series(scores.flagged[at]) & judged,
                "evidence": pl.Series(scores.evidence[at], dtype=pl.Int32),
            }
        )
        known = [pl.when(judged).then(pl.col(name)).otherwise(None).alias(name) for name in ("noise", "evidence")]
        return frame.with_columns(known)

    def modalities(self) -> pl.DataFrame | None:
        """modalities.parquet: `row, user, item, modality, weight, noise`, a row per interaction and modality it showed.

        `weight` and `noise` are null where not judged. An imputed vector has a weight, for it is read, but no probability
        of being foreign, for nobody was shown it. None where the method weighs no modalities.
        """
        if self.modal is None:
            return None
        catalog = self.subject.catalog
        shown_EM = shown_content(self.subject.log, len(catalog.modalities))[self._order]
        present = [each.present[shown_EM[:, m]] for m, each in enumerate(catalog.modalities.values())]
        place, column = np.nonzero(np.stack(present, axis=1))
        at = self._judged(self._order[place])
        values = {"weight": self.modal.weights.weight_EM, "noise": self.modal.noise.noise_EM}
        told = {name: np.where(at < 0, np.nan, each_EM[at, column]) for name, each_EM in values.items()}
        names = pl.Series(list(catalog), dtype=pl.String).gather(column)
        frame = pl.DataFrame({**self._named(self._order[place]), "modality": names, **told})
        return frame.with_columns(pl.col("weight", "noise").cast(pl.Float32).fill_nan(None))

    def to_json(self) -> dict[str, Any]:
        """The content of detection.json, see docs/noise.md; what needs the truth is None where nothing was planted."""
        return self._detection

    def page(self, command: str = "siftrec.noise_report(...)") -> str:
        """The page as one self-contained HTML file, see `siftrec.html`; `command` is what makes the same figures again."""
        return noise_page(noise_view(self, command))

    @cached_property
    def _detection(self) -> dict[str, Any]:
        injected, truth, log = self.subject.injected, self.truth, self.log
        if injected is None or truth is None:
            told = judgement(self.scores)
        else:
            told = detection(self.scores, truth, log, planted=injected.mechanism)
        if self.modal is not None and self.foreign is not None:
            genuine = np.ones(len(log.items), bool) if truth is None else ~truth
            told |= {"modalities": modal_detection(self.modal, self.foreign, genuine, log)}
        return told

    @cached_property
    def _order(self) -> np.ndarray:
        """(E,) the events in the source's order; what was planted stands behind the interaction that it follows."""
        rows = self.subject.log.rows
        place = np.maximum.accumulate(np.where(rows >= 0, np.arange(len(rows)), 0))
        return np.argsort(np.where(rows[place] >= 0, rows[place], 0), kind="stable")

    def _named(self, events: np.ndarray) -> dict[str, Any]:
        """The first columns of both tables."""
        split = self.subject.split
        log = split.log
        users, items = split.users.gather(log.owners[events]), split.items.decode(log.items[events])
        return {"row": log.rows[events], "user": users, "item": items}

    def _judged(self, events: np.ndarray) -> np.ndarray:
        """Where each event stands among those judged, -1 = was not."""
        return np.asarray(np.where(self.chosen, np.cumsum(self.chosen) - 1, -1)[events])


@threads(1)
def noise_report(
    model: Trained,
    split: Data,
    catalog: Catalog | None = None,
    *,
    part: Part = "all",
    titles: Mapping[Any, str] | None = None,
    detector: Detector | Judge | None = None,
    seed: int = 7,
    counting: Counting | None = None,
) -> NoiseReport:
    """Judge every interaction of a log, and of a Demure which modality counted: what `siftrec noise` does, in one thread.

    Interactions are judged by the log and the content of its items, whatever the method, see `siftrec.judge`. Where the
    model is a Demure its gate says how each modality was weighed, and the log whether what it showed is foreign, see
    `siftrec.slot_weights` and `siftrec.judge_content`.

    Args:
        model: a trained model.
        split: what it was trained on, a split; a log; where noise was planted, what `inject` or `Foreign` gives, whose
            truth is then told; or an experiment's data, `Experiment.prepare()`, which may hold both, and imputed content.
        catalog: items and content that the model was trained with; only a model without content, or an experiment's data,
            can do without.
        part: `all`, without the test part where noise was planted; `train`: training interactions, by training
            interactions only.
        titles: raw item id → title, for the page; None = those that the model was saved with.
        detector: what judges interactions, see `siftrec.judge`.
        seed: of the scorers and the background.
        counting: shows progress: called with what is counted, it gives a context manager of a function of the number done
            and their total; None shows nothing.

    Raises:
        UsageError: what is no model, log, catalog or detector; another part; content that is needed and was not given; a
            catalog that is not the one a Demure was trained with.
        SettingsError: `Agreement` without content.
        DataError: an item of the log that the catalog lacks.
    """
    subject = subject_of(model, split, catalog)
    named = model.titles if titles is None else titles
    if not isinstance(named, Mapping):
        raise UsageError(
            f"titles: {type(named).__name__} is no mapping of raw item id to title, e.g. {{'v1': 'First'}}"
        )
    chosen, content = subject.chosen(part), subject.catalog
    log, counting = subject.log.where(chosen), counting or _silent
    with counting(FITTED) as tell:
        scores = scores_for(log, content, seed, on_fold=tell, detector=detector)
    with counting("models of what each modality showed") as tell:
        modal = judge_modalities(model, log, without(content, subject.imputed), seed, tell)
    heading = type(model.method).__name__
    return NoiseReport(heading, subject, chosen, scores, modal, {str(item): named[item] for item in named}, seed)


def _silent(what: str) -> AbstractContextManager[OnFold]:
    return nullcontext(lambda done, of: None)
