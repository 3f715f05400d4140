"""What judges a noisy log in noise.py: ours, the controls, and what the field uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from datasets import LOGS, load
from erring import errs, groups

from siftrec.data.catalog import Catalog
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, Split
from siftrec.detectors.agreement import Agreement, ContentAgreement, space_of
from siftrec.detectors.calibrate import NoiseScores, calibrate
from siftrec.detectors.content import content_of, units
from siftrec.detectors.cooccurrence import Cooccurrence, PairCounts
from siftrec.detectors.fitted import Fitted, drawn_for, judge, judge_drawn
from siftrec.detectors.likelihood import CrossFitted, Likelihood
from siftrec.detectors.ratio import LogRatio
from siftrec.detectors.slots import Background, others, pieces
from siftrec.methods.denoise import Denoise
from siftrec.methods.judgement import Denoiser
from siftrec.methods.model import SequenceModel
from siftrec.nn.cloze import LONGEST
from siftrec.nn.importance import Geometry
from siftrec.noise.inject import inject
from siftrec.noise.measure import auroc, denoising_ratios, detection
from siftrec.train.fit import fit
from siftrec.train.settings import Training

_DRAWS = 50_000
DISLIKED = 2.0
IN_NATS = ("likelihood", "likelihood, twice", "blend")
"""Of the library's detectors, those whose score is a log-ratio, by which `Denoise` weighs targets."""
OURS = (*IN_NATS, "cooccurrence", "agreement")
"""The library's detectors: what `siftrec sift` and `siftrec audit` make of a log by them is told as of any denoiser."""


@dataclass(frozen=True)
class Case:
    """A log whose noise is known: train and validation interactions.

    Attributes:
        log: to be judged.
        clean: the same users without planted noise.
        truth: (E,) bool, True = noise.
        catalog: the items.
        mechanism: of the noise.
        background: histories with one interaction replaced.
        split: for those that are trained: on the train interactions of the log, stopped by its validation.
    """

    log: Sequences
    clean: Sequences
    truth: np.ndarray
    catalog: Catalog
    mechanism: str
    background: Background
    split: Split

    @property
    def users(self) -> np.ndarray:
        """(U,) rows."""
        return np.arange(len(self.log))


@dataclass(frozen=True)
class Judged:
    """Scores of the events (E,) and of the background draws (R,), higher = more genuine, and what they cost.

    0 or NaN where nothing is said. Of denoisers also how much they leave of the events (E,).
    """

    score: np.ndarray
    drawn: np.ndarray
    cpu_s: float
    kept: np.ndarray | None = None


def noisy_log(data: str, mechanism: str, rho: float, seed: int, folder: Path) -> Case:
    """Plant noise in a data set, or take low ratings for it."""
    loaded = load(data, folder)
    clean = loaded.split.log.where(loaded.split.role < TEST)
    if mechanism == "rating":
        split, log, truth = loaded.split, clean, _disliked(folder / LOGS[data], clean.rows)
    else:
        injected = inject(loaded.split, mechanism, rho, seed)  # type: ignore[arg-type]
        split, known = injected.split, injected.split.role < TEST
        log, truth = split.log.where(known), injected.noisy[known]
    return Case(log, clean, truth, loaded.catalog, mechanism, background(log, seed), split)


def background(log: Sequences, seed: int) -> Background:
    """Histories of the log with one interaction replaced, as the library's likelihood is compared with."""
    users = np.arange(len(log))
    return drawn_for(Likelihood().build(1, 0), pieces(log, LONGEST), log.owners, users, _DRAWS, seed)


def _disliked(path: Path, rows: np.ndarray) -> np.ndarray:
    separator = "\t" if path.suffix == ".inter" else ","
    table = pl.read_csv(path, separator=separator)
    ratings = table[next(name for name in table.columns if name.startswith("rating"))].to_numpy()
    return np.asarray(ratings[rows] <= DISLIKED)


def scorers(case: Case, seed: int) -> dict[str, Judged]:
    """All that see the noisy log only; those that need content only where there is some."""
    counts_N, start = case.log.counts(len(case.catalog)), time.process_time()
    fitted, content_NG = _fitted(case, case.log, seed)
    spent = time.process_time() - start
    common = np.log(np.maximum(counts_N, 1) / counts_N.sum())
    found = {
        "popularity": _timed(case, lambda log, _: common[log.items]),
        "likelihood": _by(case, fitted, content_NG, spent),
        "not cross-fitted": _timed(
            case, lambda log, users: judge(fitted, log, content_NG, strangers(fitted, users)), spent
        ),
    }

    def loss(log: Sequences, users: np.ndarray) -> np.ndarray:
        """−log p(item | rest) by a model that has seen the user, with its sign turned."""
        return np.asarray(judge(fitted, log, content_NG, strangers(fitted, users)) + common[log.items])

    start = time.process_time()
    again, _ = _fitted(case, case.log, seed, rounds=2)
    found["likelihood, twice"] = _by(case, again, content_NG, time.process_time() - start)
    found["loss of the interaction"] = _timed(case, loss, spent)
    found["mean loss of the history"] = _timed(case, lambda log, users: _mean(log, loss(log, users)), spent)
    together = PairCounts(Cooccurrence(), len(case.catalog)).fit(case.log, content_NG, seed)
    found["cooccurrence"] = _by(case, together, content_NG)
    blended = ["likelihood", "cooccurrence"]
    if case.catalog.modalities:
        alike = ContentAgreement(Agreement(), len(case.catalog)).fit(case.log, content_NG, seed)
        found["agreement"] = _by(case, alike, content_NG)
        space = space_of(content_NG)
        found["similarity to the next item"] = _timed(case, lambda log, _: _next(space, log))
        blended.append("agreement")
    found["blend"] = _blend(case, [found[name] for name in blended])
    return found


def likelihood(case: Case, seed: int) -> Judged:
    """The cross-fitted likelihood alone."""
    return _timed_likelihood(case, case.log, seed)


def ceiling(case: Case, seed: int) -> Judged:
    """The likelihood fitted on the clean log with the same folds: what better learning could reach at most."""
    return _timed_likelihood(case, case.clean, seed)


def _timed_likelihood(case: Case, log: Sequences, seed: int) -> Judged:
    start = time.process_time()
    fitted, content_NG = _fitted(case, log, seed)
    return _by(case, fitted, content_NG, time.process_time() - start)


def denoisers(case: Case, methods: dict[str, tuple[Denoiser, Training]], seed: int) -> dict[str, Judged]:
    """Opponents that denoise, each trained on the noisy log without content, and asked what it made of it."""
    found = {}
    for name, (method, training) in methods.items():
        start = time.process_time()
        model = fit(method, case.split, Catalog(case.catalog.vocab.ids), training=training, seed=seed).scorer
        assert isinstance(model, SequenceModel)
        score, kept = method.judge(model, case.log)
        drawn = method.judge(model, case.background.histories).score[case.background.slots]
        found[name] = Judged(score, drawn, time.process_time() - start, kept)
    return found


def figures_of(case: Case, judged: dict[str, Judged], seed: int) -> dict[str, Any]:
    """`detection` of each, with the AUROC of the bare score, without what is NaN, and of histories of at least six.

    Of what denoises also how much is taken away of what: by the library's detectors 1 − noise is left of an interaction, and
    of a target, where `Denoise` weighs them, what `left_of_target` says.
    """
    log = case.log
    lengths = np.repeat(log.lengths, log.lengths)
    found, here = {}, groups(log, case.catalog)
    for name, each in judged.items():
        scores = calibrated(case, each, seed)
        found[name] = detection(scores, case.truth, log, planted=case.mechanism)
        long = lengths >= 6
        found[name] |= {
            "auroc_score": auroc(case.truth, -each.score),
            "auroc_6": auroc(case.truth[long], scores.noise[long].astype(np.float64)),
        }
        found[name]["errs"] = errs(case.truth, scores.noise.astype(np.float64), here)
        if (kept := scores.weight if name in OURS else each.kept) is not None:
            found[name] |= denoising_ratios(case.truth, kept)
        if name in IN_NATS:
            left = left_of_target(noise_of(each.score, scores.rho_upper))
            found[name]["weighted targets"] = denoising_ratios(case.truth, left)
    return found


def noise_of(score: np.ndarray, rho: float) -> np.ndarray:
    """(E,) n = min(1, ρ e^−r) of log-ratios, as `Denoise` has it; 0 where nothing is said."""
    return np.where(_said(score), np.minimum(1, rho * np.exp(-np.nan_to_num(score))), 0)


def left_of_target(noise: np.ndarray) -> np.ndarray:
    """(E,) 1 − min(1, s n), the weight that `Denoise` gives to targets; s is its severity."""
    return 1 - np.minimum(Denoise().severity * noise, 1)


def calibrated(case: Case, judged: Judged, seed: int) -> NoiseScores:
    """What scores say, held against those of the background."""
    evidence, there = others(pieces(case.log, LONGEST)), others(case.background.histories)[case.background.slots]
    able, drawn_able = np.where(_said(judged.score), evidence, 0), np.where(_said(judged.drawn), there, 0)
    return calibrate(judged.score, able, case.log.owners, judged.drawn, drawn_able, seed=seed)[0]


def _said(scores: np.ndarray) -> np.ndarray:
    return np.asarray(np.nan_to_num(scores) != 0)


def strangers(fitted: CrossFitted, users: np.ndarray) -> np.ndarray:
    """For each user the next row of another fold: its model has learned from the user."""
    own, row = fitted.fold(torch.from_numpy(users)).numpy(), users.copy()
    while (same := fitted.fold(torch.from_numpy(row)).numpy() == own).any():
        row[same] += 1
    return row


def _fitted(case: Case, log: Sequences, seed: int, rounds: int = 1) -> tuple[CrossFitted, torch.Tensor]:
    counts_N = torch.from_numpy(log.counts(len(case.catalog)).astype(np.float32))
    content_NG = units(content_of(case.catalog, counts_N))
    how = Likelihood(rounds=rounds)
    return how.build(len(case.catalog), content_NG.shape[1]).fit(log, content_NG, seed), content_NG


def _by(case: Case, fitted: Fitted, content_NG: torch.Tensor, spent: float = 0.0) -> Judged:
    start = time.process_time()
    drawn = judge_drawn(fitted, case.background, content_NG, case.users)
    return Judged(judge(fitted, case.log, content_NG, case.users), drawn, spent + time.process_time() - start)


def _timed(case: Case, score: Callable[[Sequences, np.ndarray], np.ndarray], spent: float = 0.0) -> Judged:
    start = time.process_time()
    drawn = score(case.background.histories, case.background.owners)[case.background.slots]
    return Judged(score(case.log, case.users), drawn, spent + time.process_time() - start)


def _blend(case: Case, parts: list[Judged]) -> Judged:
    start = time.process_time()
    evidence = others(pieces(case.log, LONGEST))
    there = others(case.background.histories)[case.background.slots]
    scores, drawn = (np.stack(each, axis=1) for each in ([p.score for p in parts], [p.drawn for p in parts]))
    fitted = LogRatio.fit(scores, evidence, drawn, there)
    spent = time.process_time() - start + sum(part.cpu_s for part in parts)
    return Judged(fitted.judge(scores, evidence), fitted.judge(drawn, there), spent)


def _mean(log: Sequences, values: np.ndarray) -> np.ndarray:
    """(E,) the mean over each event's history."""
    total = np.bincount(log.owners, values, minlength=len(log)) / np.maximum(log.lengths, 1)
    return np.asarray(total[log.owners])


def _next(space: Geometry, log: Sequences) -> np.ndarray:
    """(E,) cosine with the next item of the history, of its last item with the one before; 0 where there is none."""
    last = np.flatnonzero(np.diff(log.owners, append=-1))
    beside = np.arange(1, len(log.items) + 1)
    beside[last] = np.maximum(last - 1, 0)
    items, other = (torch.from_numpy(log.items[at].astype(np.int64)) for at in (np.arange(len(log.items)), beside))
    found = np.concatenate(
        [
            space.cosine(a.unsqueeze(1), b.unsqueeze(1)).view(-1).numpy()
            for a, b in zip(items.split(65536), other.split(65536), strict=True)
        ]
    )
    alone = (log.owners[beside] != log.owners) | ~np.isfinite(found) | (log.items[beside] == log.items)
    return np.where(alone, 0, found).astype(np.float32)
