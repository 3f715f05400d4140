"""A run's log and what is believed of it: what `siftrec noise` writes and `siftrec sift` weighs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from siftrec.cli.console import counting, say
from siftrec.cli.runs import Trust, experiment_of, folder, load_run

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from siftrec.config import Experiment, Prepared
    from siftrec.data.sequences import Sequences
    from siftrec.detectors.blend import Detector
    from siftrec.detectors.calibrate import NoiseScores
    from siftrec.methods.trained import Trained
    from siftrec.noise.modal import Modal

Part = Literal["all", "train"]


@dataclass(frozen=True)
class Judged:
    """A run's log and what is believed of the part of it that was judged.

    Attributes:
        run: its folder.
        experiment: of the run.
        prepared: its data.
        chosen: (E,) bool, the events of `prepared.split.log` that were judged.
        log: these events.
        scores: of these events.
        trained: the run's model.
    """

    run: Path
    experiment: Experiment
    prepared: Prepared
    chosen: np.ndarray
    log: Sequences
    scores: NoiseScores
    trained: Trained

    @cached_property
    def titles(self) -> dict[str, str]:
        """By item id; empty where the experiment names no titles."""
        from siftrec.data.titles import titles

        path = self.experiment.data.titles
        return dict(titles(path).iter_rows()) if path and Path(path).is_file() else {}

    @property
    def time_kind(self) -> str:
        """What `time` means in the log."""
        return self.prepared.time_kind

    @property
    def truth(self) -> np.ndarray | None:
        """(E_judged,) bool, True = planted; None where nothing was."""
        injected = self.prepared.injected
        return None if injected is None else injected.noisy[self.chosen]

    @cached_property
    def foreign(self) -> np.ndarray | None:
        """(E_judged, M) bool, True = planted foreign content; None where none was."""
        foreign = self.prepared.foreign
        return None if foreign is None else foreign.foreign_EM[self.chosen]

    @cached_property
    def modal(self) -> Modal | None:
        """What is believed of the modalities; None where the method weighs none."""
        from siftrec.modality.impute import without
        from siftrec.noise.modal import judge_modalities

        shown = without(self.prepared.catalog, self.prepared.imputed)
        with counting("models of what each modality showed") as counter:
            return judge_modalities(self.trained, self.log, shown, self.experiment.seed, counter)

    @cached_property
    def _order(self) -> np.ndarray:
        """(E,) the events in the source's order; what was planted stands behind the interaction that it follows."""
        import numpy as np

        rows = self.prepared.split.log.rows
        place = np.maximum.accumulate(np.where(rows >= 0, np.arange(len(rows)), 0))
        return np.argsort(np.where(rows[place] >= 0, rows[place], 0), kind="stable")

    def _named(self, events: np.ndarray) -> dict[str, Any]:
        """The first columns of both tables."""
        split = self.prepared.split
        log = split.log
        users, items = split.users.gather(log.owners[events]), split.items.decode(log.items[events])
        return {"row": log.rows[events], "user": users, "item": items}

    def _judged(self, events: np.ndarray) -> np.ndarray:
        """Where each event stands among those judged, -1 = was not."""
        import numpy as np

        return np.asarray(np.where(self.chosen, np.cumsum(self.chosen) - 1, -1)[events])

    def modalities(self) -> pl.DataFrame | None:
        """One row per interaction and modality that it showed; `weight` and `noise` are null where not judged.

        An imputed vector has a weight, for it is read, but no probability of being foreign, for nobody was shown it.
        """
        import numpy as np
        import polars as pl

        from siftrec.noise.content import shown_content

        if self.modal is None:
            return None
        catalog, log = self.prepared.catalog, self.prepared.split.log
        shown_EM = shown_content(log, len(catalog.modalities))[self._order]
        present = [each.present[shown_EM[:, m]] for m, each in enumerate(catalog.modalities.values())]
        place, column = np.nonzero(np.stack(present, axis=1))
        at = self._judged(self._order[place])
        values = {"weight": self.modal.weights.weight_EM, "noise": self.modal.noise.noise_EM}
        told = {name: np.where(at < 0, np.nan, each_EM[at, column]) for name, each_EM in values.items()}
        names = pl.Series(list(catalog), dtype=pl.String).gather(column)
        frame = pl.DataFrame({**self._named(self._order[place]), "modality": names, **told})
        return frame.with_columns(pl.col("weight", "noise").cast(pl.Float32).fill_nan(None))

    def table(self) -> pl.DataFrame:
        """One row per positive interaction, in the source's order; `noise` and `evidence` are null where not judged."""
        import polars as pl

        scores, order = self.scores, self._order
        at = self._judged(order)
        judged = pl.Series(at >= 0)
        frame = pl.DataFrame(
            {
                **self._named(order),
                "time": self.prepared.split.log.times[order],
                "noise": pl.Series(scores.noise[at], dtype=pl.Float32),
                "flagged": pl.Series(scores.flagged[at]) & judged,
                "evidence": pl.Series(scores.evidence[at], dtype=pl.Int32),
            }
        )
        known = [pl.when(judged).then(pl.col(name)).otherwise(None).alias(name) for name in ("noise", "evidence")]
        return frame.with_columns(known)

    def detection(self) -> dict[str, Any]:
        """The content of detection.json."""
        import numpy as np

        from siftrec.noise.measure import detection, judgement
        from siftrec.noise.modal import modal_detection

        injected, truth, log = self.prepared.injected, self.truth, self.log
        if injected is None or truth is None:
            told = judgement(self.scores)
        else:
            popularity = log.counts(len(self.prepared.catalog))[log.items]
            lengths = log.lengths[log.owners]
            told = detection(self.scores, truth, log.owners, popularity, lengths, planted=injected.mechanism)
        if self.modal is not None and self.foreign is not None:
            genuine = np.ones(len(log.items), bool) if truth is None else ~truth
            told |= {"modalities": modal_detection(self.modal, self.foreign, genuine, log)}
        return told


def judge_run(run: Path, part: Part, trust: Trust, detector: Detector, unweighted: bool = False) -> Judged:
    """Read a run's log and judge it.

    Args:
        run: its folder.
        part: `train`: training interactions, by training interactions only.
        trust: packages whose code the run may name.
        detector: what judges.
        unweighted: refuse a log that has weights already.

    Raises:
        DataError: the data have changed since the run was trained, or have weights.
        SettingsError: `Agreement` without content.
    """
    import numpy as np

    from siftrec.data.split import TEST, TRAIN
    from siftrec.data.writers.marks import WEIGHT, refuse_weighted
    from siftrec.errors import DataError
    from siftrec.noise.sift import scores_for

    trained = load_run(run, trust)
    experiment = experiment_of(run, trust)
    prepared = experiment.prepare()
    split = prepared.split
    if split.train.fingerprint != trained.facts.train:
        raise DataError(f"the data have changed since {run} was trained; train again", experiment.data.path)
    if unweighted and split.log.weights is not None:
        refuse_weighted(experiment.data.path, experiment.data.weight or WEIGHT)
    chosen = np.ones(len(split.log.items), bool)
    if part == "train":
        chosen = split.role == TRAIN
    elif prepared.injected is not None or prepared.foreign is not None:
        # Test targets are clean by design; in a history they would vouch for others as no real log does.
        chosen = split.role < TEST
    log = split.log.where(chosen)
    say(f"judging {len(log.items):,} interactions of {int((log.lengths > 0).sum()):,} users")
    with counting("models of what goes with what") as counter:
        scores = scores_for(log, prepared.catalog, experiment.seed, on_fold=counter, detector=detector)
    return Judged(folder(run), experiment, prepared, chosen, log, scores, trained)
