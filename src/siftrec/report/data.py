"""What the pages show: plain values, made of a noise report or an audit. None = not measured, and said so.

Every string may come from the log and is shown as text, never as markup.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from siftrec.report.marks import Company, Flagged

Answer = Literal["weight", "leave", "short"]
"""Weight it; no detectable benefit, leave it alone; too short to tell."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; `low` and `high` are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Level:
    """How noisy, and how sure.

    Attributes:
        upper: upper bound of the share of noise (`NoiseScores.rho_upper`, `rho_interval`).
        q: false discovery level of what is flagged.
        flagged: interactions flagged at that level.
        mechanism: the named noise model, e.g. "replace".
        at_levels: (q, interactions flagged at q), for levels beside `q`; empty = not computed.
        detector: what judged, e.g. "Blend"; "" = one that is not of this library; None = the default one.
        caveat: where there may be more noise, in words (`NoiseScores.caveat`); "" = nowhere that is known.
    """

    upper: Estimate
    q: float
    flagged: int
    mechanism: str = "replace"
    at_levels: tuple[tuple[float, int], ...] = ()
    detector: str | None = None
    caveat: str = ""


@dataclass(frozen=True)
class Group:
    """Interactions that have something in common.

    Attributes:
        label: e.g. "6 to 10".
        interactions: how many.
        noise: their mean noise probability.
        flagged: how many of them are flagged.
    """

    label: str
    interactions: int
    noise: float
    flagged: int


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram; `flagged` of the `count` are flagged."""

    label: str
    count: int
    flagged: int = 0


@dataclass(frozen=True)
class Item:
    """An item that is often judged to be clicked by mistake.

    Attributes:
        id: raw id, as text.
        title: None where there is none.
        interactions: in the log.
        noise: mean noise probability of its interactions.
        flagged: how many of them are flagged.
    """

    id: str
    title: str | None
    interactions: int
    noise: float
    flagged: int


@dataclass(frozen=True)
class Mark:
    """One interaction of an example history.

    Attributes:
        position: 1 = the user's first.
        id, title: of the item.
        noise: probability that it is noise.
        flagged: whether it is among the flagged.
        evidence: how many other interactions of the history could vouch for it; 0 = it cannot be judged.
        planted: whether it is planted noise; None = the truth is not known.
        company: what goes best with it; None where nothing does.
    """

    position: int
    id: str
    title: str | None
    noise: float
    flagged: bool
    evidence: int
    planted: bool | None = None
    company: Company | None = None


@dataclass(frozen=True)
class History:
    """A real history.

    Attributes:
        user: raw id, as text.
        why: how it was chosen, e.g. "Typical: as noisy as the median history".
        marks: its last interactions, oldest first.
        length: of the whole history.
    """

    user: str
    why: str
    marks: tuple[Mark, ...]
    length: int


@dataclass(frozen=True)
class Summary:
    """The scores of one log, as `siftrec.report.summary.summarise` makes them."""

    users: int
    items: int
    interactions: int
    unjudged: int
    histogram: tuple[Bin, ...]
    by_popularity: tuple[Group, ...]
    by_position: tuple[Group, ...]
    by_length: tuple[Group, ...]
    mistaken: tuple[Item, ...]
    histories: tuple[History, ...]


@dataclass(frozen=True)
class Point:
    """One point of a reliability curve: what was said, what was so, on how many interactions."""

    said: float
    found: Estimate
    interactions: int


@dataclass(frozen=True)
class Detection:
    """How well noise of one mechanism, whose truth is known, was found.

    Attributes:
        mechanism: e.g. "replace".
        rho: share that was planted.
        auroc: with its interval, clustered by user.
        auroc_popularity: the same from the popularity of the item alone.
        auroc_position, auroc_lifetime: the same from how near to the end of its history, and how long after the first
            one with its item, an interaction is; None = not measured.
        auprc, brier: None = not measured.
        flagged: what is flagged at each false discovery level that is aimed at.
        reliability: the calibration curve; may be empty.
        by_length: (history length, AUROC).
    """

    mechanism: str
    rho: float
    auroc: Estimate
    auroc_popularity: Estimate | None = None
    auroc_position: float | None = None
    auroc_lifetime: float | None = None
    auprc: float | None = None
    brier: float | None = None
    flagged: tuple[Flagged, ...] = ()
    reliability: tuple[Point, ...] = ()
    by_length: tuple[tuple[str, Estimate], ...] = ()


@dataclass(frozen=True)
class Proxy:
    """A model trained with and without the weights, judged on the same later holdout.

    Attributes:
        name: e.g. "EASE".
        metric: e.g. "NDCG@20".
        users: pairs.
        without: mean of the metric without the weights, on the baseline that `variant` names.
        difference: with weights minus without, paired over users, in the metric's unit.
        variant: what was compared with what, e.g. "weights against the log as it is".
    """

    name: str
    metric: str
    users: int
    without: float
    difference: Estimate
    variant: str = "weights"


@dataclass(frozen=True)
class Verdict:
    """What to do.

    Attributes:
        answer: `weight`, `leave` or `short`.
        text: two sentences, with the figures behind them.
        proxies: the comparisons it rests on.
        margin: a relative loss that still counts as equal, e.g. .02; None = none was set.
    """

    answer: Answer
    text: str
    proxies: tuple[Proxy, ...]
    margin: float | None = None


@dataclass(frozen=True)
class Suspect:
    """A user worth a look: perhaps a bot, perhaps a burst."""

    user: str
    interactions: int
    why: str


@dataclass(frozen=True)
class Log:
    """What the log is like.

    Attributes:
        source: where it came from.
        users, items, interactions: how many.
        repeats: interactions with an item that the user has met before.
        span: the time it covers, in words; None = it has no clock.
        lengths: histogram of interactions per user.
        popularity: (share of the items, most popular first; share of the interactions that go to them).
        suspects: users worth a look, the most suspicious first.
        notes: what was accepted and counted while reading, in words.
    """

    source: str
    users: int
    items: int
    interactions: int
    repeats: int
    span: str | None
    lengths: tuple[Bin, ...]
    popularity: tuple[tuple[float, float], ...] = ()
    suspects: tuple[Suspect, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """How the page came to be: the command or call that makes it again, the version, the seed."""

    command: str
    version: str
    seed: int


@dataclass(frozen=True)
class Modality:
    """One modality of a log's items.

    Attributes:
        name: in the experiment.
        present, imputed, absent: items that have it, whose vector is imputed, that lack it.
        upper: upper bound of the share of its content that is foreign to the history it stood in.
        flagged: interactions whose content is flagged as foreign.
        users: users by preference ω for it.
        planted: how well planted foreign content is found; None = none was planted.
    """

    name: str
    present: int
    imputed: int
    absent: int
    upper: Estimate
    flagged: int
    users: tuple[Bin, ...]
    planted: Detection | None = None


@dataclass(frozen=True)
class Shares:
    """Some interactions or users, and the mean weight of each modality among them."""

    label: str
    count: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Slot:
    """One modality of an interaction.

    Attributes:
        weight: γ; None = the item lacks the modality.
        noise: probability that the content is foreign; None = nothing could vouch.
        flagged: whether it is among the flagged.
        foreign: whether it is planted foreign content; None = the truth is not known.
    """

    weight: float | None
    noise: float | None
    flagged: bool
    foreign: bool | None = None


@dataclass(frozen=True)
class Weighed:
    """One interaction of an example history: a slot per modality, and its share of the attention; None = it has none."""

    position: int
    id: str
    title: str | None
    share: float | None
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Reader:
    """A real history, and what counted in it.

    Attributes:
        user: raw id, as text.
        why: how it was chosen.
        preference: ω of the user, by modality.
        read: its last interactions, oldest first.
        length: of the whole history.
    """

    user: str
    why: str
    preference: tuple[float, ...]
    read: tuple[Weighed, ...]
    length: int


@dataclass(frozen=True)
class Modalities:
    """Which modalities counted, as `siftrec.report.modalities.modalities` makes it.

    Attributes:
        each: the modalities; all tuples of weights are in this order.
        overall: of all interactions.
        by_popularity: of interactions, by popularity of the item.
        clusters: users by their strongest modality.
        untold: users of whom nothing can be said.
        histories: chosen by rule.
    """

    each: tuple[Modality, ...]
    overall: Shares
    by_popularity: tuple[Shares, ...]
    clusters: tuple[Shares, ...]
    untold: int
    histories: tuple[Reader, ...]


@dataclass(frozen=True)
class NoiseView:
    """What `noise_page` shows; `detections` is empty where no truth is known, `modalities` None where none are weighed."""

    name: str
    level: Level
    summary: Summary
    origin: Origin
    detections: tuple[Detection, ...] = ()
    log: Log | None = None
    modalities: Modalities | None = None


@dataclass(frozen=True)
class AuditView:
    """What `audit_page` shows."""

    name: str
    level: Level
    verdict: Verdict
    summary: Summary
    origin: Origin
    detections: tuple[Detection, ...]
    log: Log
