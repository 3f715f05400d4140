"""How well noise was found, where the truth is known: the content of `detection.json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores
from siftrec.errors import UsageError
from siftrec.settings import describe

LEVELS = (0.05, 0.2, 0.4)
CONTROLS = ("auroc_popularity", "auroc_position", "auroc_lifetime")
"""What knows nothing of what goes with what. It is as good as it is far from .5, on either side."""
LENGTHS = {"2-3": (2, 3), "4-5": (4, 5), "6-10": (6, 10), ">10": (11, None)}
_BINS = 10
_BOUNDED = (
    "calibrated_on",
    "detector",
    "rho_upper",
    "rho_interval",
    "rho_short",
    "flagged",
    "recall_at_fdr",
    "fdr_reached",
)


def detection(
    scores: NoiseScores | np.ndarray,
    truth: np.ndarray,
    log: Sequences | np.ndarray,
    popularity: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    *,
    planted: str | None = None,
) -> dict[str, Any]:
    """What `detection.json` holds; a figure that is not defined (AUROC of one class) is None.

    Args:
        scores: of E events; or (E,) numbers of any make, higher = more likely noise, of which what needs a bound or flags is
            None, and what needs probabilities where one is outside [0, 1].
        truth: (E,) bool, True = noise.
        log: what was judged, e.g. `split.log`; or (E,) the user of each event, by whom the interval is clustered. Users
            alone tell neither place nor time, so that `auroc_position` and `auroc_lifetime` are None then.
        popularity: (E,) popularity of each item; None: how often it occurs in `log`. The control calls unpopular items
            noise; near .5 it knows nothing.
        lengths: (E,) length of the history that each event is in; None: as in `log`.
        planted: the mechanism of the noise, where it is another than the one calibrated on.

    Raises:
        UsageError: arrays of different lengths, or empty ones; users of events without the other two; no scores.
    """
    truth, noise, events = np.asarray(truth), _noise(scores), log
    owners, popularity, lengths = _told(log, popularity, lengths)
    if not len(truth) == len(noise) == len(owners) == len(popularity) == len(lengths) or not len(truth):
        raise UsageError(
            "scores, truth and log must be of one length, one value per event, and so must popularity and lengths"
        )
    truth, probable = truth.astype(bool), bool(((noise >= 0) & (noise <= 1)).all())
    low, high = auroc_interval(truth, noise, owners)
    unbounded = {"schema": 1, **dict.fromkeys(_BOUNDED), "events": len(noise)}
    told = _bounded(scores, truth) if isinstance(scores, NoiseScores) else unbounded
    unsaid = {} if probable else {"predicted": None}
    return told | {
        "mechanism": planted or told["calibrated_on"],
        "rho": float(truth.mean()),
        "auroc": auroc(truth, noise),
        "auroc_interval": [low, high],
        "auroc_popularity": auroc(truth, -popularity.astype(np.float64)),
        **_placed(truth, events),
        "auprc": auprc(truth, noise),
        "brier": float(((noise - truth) ** 2).mean()) if probable else None,
        "reliability": reliability(truth, noise, owners) if probable else None,
        "by_history_length": {
            name: _slice(truth, noise, owners, popularity, _between(lengths, *ends)) | unsaid
            for name, ends in LENGTHS.items()
        },
    }


def _noise(scores: NoiseScores | np.ndarray) -> np.ndarray:
    """(E,) float64: how likely noise each event is, higher = more."""
    noise = np.asarray(scores.noise if isinstance(scores, NoiseScores) else scores)
    if noise.ndim != 1 or noise.dtype.kind not in "iuf" or not np.isfinite(noise).all():
        raise UsageError(
            "scores: give NoiseScores, or an array of one finite number per event, higher = more likely noise"
        )
    return noise.astype(np.float64)


def _bounded(scores: NoiseScores, truth: np.ndarray) -> dict[str, Any]:
    """What a bound and flags tell, and how much of the noise is among what is flagged at each level."""
    flags = {f"{q:g}": scores.at(q) for q in LEVELS}
    return judgement(scores) | {
        "recall_at_fdr": {q: _mean(flagged[truth]) for q, flagged in flags.items()},
        "fdr_reached": {q: _mean(~truth[flagged]) for q, flagged in flags.items()},
    }


def judgement(scores: NoiseScores) -> dict[str, Any]:
    """What `detection.json` holds where no truth is known: the share of noise; what needs the truth is None."""
    unknown = ("mechanism", "rho", "auroc", "auroc_interval", *CONTROLS, "auprc", "brier", "recall_at_fdr")
    return {
        "schema": 1,
        "calibrated_on": scores.mechanism,
        "detector": settings_told(scores),
        "events": len(scores.noise),
        "rho_upper": scores.rho_upper,
        "rho_interval": list(scores.rho_interval),
        "rho_short": short_told(scores),
        "flagged": {f"{q:g}": int(scores.at(q).sum()) for q in LEVELS},
        **dict.fromkeys((*unknown, "fdr_reached", "reliability", "by_history_length")),
    }


def short_told(scores: NoiseScores) -> dict[str, Any] | None:
    """`others`, `rho_upper` and `rho_interval` of interactions with fewer others; None where `rho_upper` comes from all."""
    return None if scores.short is None else asdict(scores.short)


def settings_told(scores: NoiseScores) -> dict[str, Any] | None:
    """The detector behind scores as a configuration file spells it, every default written out; None where there is none."""
    return None if scores.detector is None else describe(scores.detector)


def _told(
    log: Sequences | np.ndarray, popularity: np.ndarray | None, lengths: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each event its user, and where they are not given the popularity of its item and the length of its history."""
    if isinstance(log, Sequences):
        counts = log.counts(int(log.items.max(initial=0)) + 1)[log.items] if popularity is None else popularity
        return log.owners, counts, log.lengths[log.owners] if lengths is None else lengths
    if not isinstance(log, np.ndarray):
        raise UsageError(
            f"log: {type(log).__name__} is not what was judged; give e.g. split.log, or injected.split.log"
        )
    if popularity is None or lengths is None:
        raise UsageError("popularity and lengths: users of events tell neither; give both, or the log, e.g. split.log")
    return log, popularity, lengths


def _placed(truth: np.ndarray, log: Sequences | np.ndarray) -> dict[str, float | None]:
    """Two controls: noisier the nearer to the end of its history, and the longer after the first one with its item."""
    if not isinstance(log, Sequences):
        return {"auroc_position": None, "auroc_lifetime": None}
    to_end = log.offsets[1:][log.owners] - np.arange(len(log.items))
    first = np.full(int(log.items.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, log.items, log.times)
    since = log.times - first[log.items]
    controls = {"auroc_position": -to_end, "auroc_lifetime": since}
    return {name: auroc(truth, noise.astype(np.float64)) for name, noise in controls.items()}


def denoising_ratios(truth: np.ndarray, kept: np.ndarray) -> dict[str, float | None]:
    """Over-denoising: how much of the genuine events was taken away; under-denoising: how much of the noise was left.

    Args:
        truth: (E,) bool, True = noise.
        kept: (E,) how much of each event a denoiser leaves, in [0, 1]; of one that drops, 0 or 1.
    """
    return {"over_denoising": _mean(1 - kept[~truth]), "under_denoising": _mean(kept[truth])}


def auroc(truth: np.ndarray, noise: np.ndarray) -> float | None:
    """Probability that a noisy event is called noisier than a genuine one, ties half; None where one kind is missing.

    Args:
        truth: (E,) bool, True = noise.
        noise: (E,) higher = more likely noise; NaN = not judged, and left out.
    """
    judged = ~np.isnan(noise)
    truth, noise = truth[judged], noise[judged]
    noisy = int(truth.sum())
    genuine = len(truth) - noisy
    if not noisy or not genuine:
        return None
    return float((rankdata(noise)[truth].sum() - noisy * (noisy + 1) / 2) / noisy / genuine)


def auroc_interval(
    truth: np.ndarray, noise: np.ndarray, owners: np.ndarray, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Interval of the AUROC when users, not events, are drawn (Obuchowski, 1997), on the scale of its logit.

    The error of few users is uncertain itself: quantiles are of t, with the users who have the rarer kind of event less one.

    Args:
        truth: (E,) bool, True = noise.
        noise: (E,) higher = more likely noise.
        owners: (E,) user of each event.
        level: coverage.

    Returns:
        (low, high) within (0, 1); (None, None) where fewer than two users have one of the kinds, or the events show no
        error: all are told apart, or none.
    """
    area = auroc(truth, noise)
    users, user = np.unique(owners, return_inverse=True)
    freedom = min(len(np.unique(user[kind])) for kind in (truth, ~truth)) - 1
    if area is None or freedom < 1:
        return None, None
    # A noisy event's part is the share of genuine ones below it; a genuine event's, of noisy ones above it.
    part = np.empty(len(truth))
    for kind, sign in ((truth, 1.0), (~truth, -1.0)):
        below = (rankdata(noise)[kind] - rankdata(noise[kind])) / (~kind).sum()
        part[kind] = ((below if sign > 0 else 1 - below) - area) / kind.sum()
    by_user = np.bincount(user, part)
    error = float(np.sqrt((by_user**2).sum() * len(users) / (len(users) - 1)))
    if error == 0:
        return None, None
    reach = float(student.ppf((1 + level) / 2, freedom)) * error / (area * (1 - area))
    return float(expit(logit(area) - reach)), float(expit(logit(area) + reach))


def auprc(truth: np.ndarray, noise: np.ndarray) -> float | None:
    """Average precision: mean precision over recall, equal scores taken together; None without noise."""
    if not truth.any():
        return None
    order = np.argsort(-noise, kind="stable")
    found = np.cumsum(truth[order])
    last = np.append(np.diff(noise[order]) != 0, True)
    found, taken = found[last], np.flatnonzero(last) + 1
    return float((np.diff(found, prepend=0) * found / taken).sum() / found[-1])


def reliability(truth: np.ndarray, noise: np.ndarray, owners: np.ndarray) -> list[dict[str, Any]]:
    """Ten bins of equal width, empty ones left out.

    Args:
        truth: (E,) bool, True = noise.
        noise: (E,) probabilities.
        owners: (E,) user of each event.

    Returns:
        `{"predicted": mean, "observed": share of noise, "interval": [low, high], "count": E}` each: the 95 % normal
        interval of a share when users, not events, are drawn; [None, None] for a bin of one user or of one kind.
    """
    place = np.minimum((noise * _BINS).astype(np.int64), _BINS - 1)
    return [_bin(truth[place == k], noise[place == k], owners[place == k]) for k in np.unique(place)]


def _bin(truth: np.ndarray, noise: np.ndarray, owners: np.ndarray) -> dict[str, Any]:
    observed = float(truth.mean())
    users, user = np.unique(owners, return_inverse=True)
    interval: list[float | None] = [None, None]
    if len(users) > 1 and 0 < observed < 1:
        residual = np.bincount(user, truth - observed)
        error = np.sqrt((residual**2).sum() * len(users) / (len(users) - 1)) / len(truth)
        reach = float(norm.ppf(0.975)) * float(error)
        interval = [max(0.0, observed - reach), min(1.0, observed + reach)]
    return {"predicted": float(noise.mean()), "observed": observed, "interval": interval, "count": len(truth)}


def _slice(
    truth: np.ndarray, noise: np.ndarray, owners: np.ndarray, popularity: np.ndarray, here: np.ndarray
) -> dict[str, Any]:
    low, high = auroc_interval(truth[here], noise[here], owners[here])
    return {
        "events": int(here.sum()),
        "rho": _mean(truth[here]),
        "predicted": _mean(noise[here]),
        "auroc": auroc(truth[here], noise[here]),
        "auroc_interval": [low, high],
        "auroc_popularity": auroc(truth[here], -popularity[here].astype(np.float64)),
    }


def _between(lengths: np.ndarray, least: int, most: int | None) -> np.ndarray:
    return np.asarray((lengths >= least) & (lengths <= (np.inf if most is None else most)))


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
