"""A small world with titles, scores and truth, and the views of both pages made from it."""

from __future__ import annotations

import numpy as np
import polars as pl

from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.methods.demure import SlotWeights
from siftrec.noise.content import ModalityNoise
from siftrec.noise.modal import Modal
from siftrec.report import noise_page
from siftrec.report.data import (
    AuditView,
    Detection,
    Estimate,
    Level,
    Modalities,
    NoiseView,
    Origin,
    Point,
    Proxy,
    Summary,
    Suspect,
    Verdict,
)
from siftrec.report.marks import Flagged
from siftrec.report.modalities import Covered, Weighing, modalities
from siftrec.report.summary import Names, log_view, summarise

ORIGIN = Origin("siftrec audit tiny.inter -o a", "0.1.0", 7)
SOURCE = "tiny.inter"


def world(users: int = 60, items: int = 40, seed: int = 5) -> tuple[Sequences, Names, dict[str, np.ndarray]]:
    """A log, its names, and `noise, flagged, evidence, planted` of its events."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 25, users)
    events = int(lengths.sum())
    draws = (rng.random(events) ** 2 * items).astype(np.int32) + 1
    log = Sequences.from_items(draws, lengths)
    planted = rng.random(events) < 0.3
    noise = np.clip(rng.beta(2, 5, events) + 0.5 * planted * rng.random(events), 0, 1).astype(np.float32)
    evidence = np.maximum(log.lengths[log.owners] - 1, 0).astype(np.int32)
    noise[evidence == 0] = 0.3
    scores = {
        "noise": noise,
        "flagged": (noise > 0.7) & (evidence > 0),
        "evidence": evidence,
        "planted": planted,
    }
    ids = [f"{code:03d}" for code in range(1, items + 1)]
    titles = {each: f"Film {each}" for each in ids[: items // 2]}
    names = Names(pl.Series([f"u{row}" for row in range(users)]), Vocab.of(pl.Series(ids)), titles)
    return log, names, scores


def summary(**changed: np.ndarray | None) -> Summary:
    """The summary of the world."""
    log, names, scores = world()
    return summarise(log, names=names, **(scores | changed))


def detections() -> tuple[Detection, ...]:
    """Three mechanisms; only the first has everything."""
    curve = tuple(
        Point(said, Estimate(said * 0.9, said * 0.8, min(1.0, said * 1.05)), 997) for said in (0.06, 0.21, 0.44, 0.83)
    )
    lengths = (("2 to 5", Estimate(0.613, 0.587, 0.641)), ("6 to 10", Estimate(0.718, 0.691, 0.749)))
    first = Detection(
        "replace",
        0.31,
        Estimate(0.763, 0.751, 0.774),
        Estimate(0.533, 0.519, 0.541),
        auroc_position=0.512,
        auroc_lifetime=0.471,
        auprc=0.577,
        brier=0.173,
        flagged=(Flagged(0.05, 0.012, None), Flagged(0.2, 0.087, 0.27), Flagged(0.4, 0.341, 0.44)),
        reliability=curve,
        by_length=lengths,
    )
    return (
        first,
        Detection("swap", 0.29, Estimate(0.702, 0.688, 0.716), Estimate(0.498)),
        Detection("autoplay", 0.28, Estimate(0.482)),
    )


def noise_view() -> NoiseView:
    """Everything a noise page can show."""
    log, names, _ = world()
    seen = log_view(log, names, SOURCE, span="1997-09-20 to 1998-04-22", suspects=(Suspect("u9", 737, "737 in a day"),))
    return NoiseView(SOURCE, level(), summary(), ORIGIN, detections(), seen, modal())


def weighing(seed: int = 3, parts: tuple[str, ...] = ("cover", "caption", "sound")) -> Weighing:
    """The world with weights: even users go by the first modality, odd ones by the second; the last is often absent."""
    log, names, _ = world()
    rng = np.random.default_rng(seed)
    shape = (len(log.items), len(parts))
    logits = rng.standard_normal(shape)
    logits[np.arange(len(log.items)), log.owners % 2 % len(parts)] += 2
    present = np.ones(shape, bool)
    present[:, -1] = rng.random(len(log.items)) < 0.4
    weight = np.exp(logits) * present
    weight = (weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
    evidence = (np.maximum(log.lengths[log.owners] - 1, 0)[:, None] * present).astype(np.int32)
    share = (1 / log.lengths[log.owners]).astype(np.float32)
    noise = np.where(present, rng.beta(1, 5, shape), np.nan).astype(np.float32)
    flagged = np.nan_to_num(noise) > 0.6
    upper = tuple(0.11 + 0.07 * m for m in range(len(parts)))
    bounds = tuple((each - 0.013, each + 0.017) for each in upper)
    found = ModalityNoise(parts, present, noise, flagged, evidence, noise, upper, bounds, 0.2)
    weights = SlotWeights(parts, weight, logits.astype(np.float32), evidence, present, share)
    return Weighing(log, Modal(weights, found), names, rng.random(shape) < 0.2)


def modal() -> Modalities:
    """Everything a page can say of modalities."""
    coverage = {"cover": Covered(39, 0, 1), "caption": Covered(36, 3, 1), "sound": Covered(17, 0, 23)}
    planted = {"cover": Detection("foreign", 0.19, Estimate(0.687, 0.661, 0.713), Estimate(0.512))}
    return modalities(weighing(), coverage, planted)


def level() -> Level:
    """A bound with its interval, and something flagged at it."""
    return Level(Estimate(0.342, 0.318, 0.367), 0.2, 31, at_levels=((0.05, 0), (0.2, 31), (0.4, 77)))


def verdict() -> Verdict:
    """Two proxies and a margin."""
    proxies = (
        Proxy("EASE", "NDCG@20", 941, 0.0517, Estimate(0.00158, 0.00041, 0.00273)),
        Proxy("SASRec, small", "NDCG@20", 939, 0.0432, Estimate(-0.00023, -0.00112, 0.00067), "drop"),
    )
    return Verdict("weight", "EASE gains 3.1 % on the later part. Use the weights.", proxies, 0.01)


def audit_view() -> AuditView:
    """Everything an audit page can show."""
    view = noise_view()
    assert view.log
    return AuditView(SOURCE, view.level, verdict(), view.summary, ORIGIN, view.detections, view.log)


def noise_page_text() -> str:
    """The noise page of everything."""
    return noise_page(noise_view())
