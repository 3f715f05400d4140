"""The section "What did not help" of docs/results.md: what is stored of our own parts where it shows no gain.

Every part that is on and off somewhere is in `PARTS`, `PLANTED` or `GATES`, or in `NOT_A_PART`; a row is shown where no gain
is, so nothing stands here, or is left out, by choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import modality_tables
import planted_tables
from accuracy_tables import NAMES
from comparisons import looked, read
from comparisons_tables import small, stored_places
from page import folded, stored, table

from siftrec.evaluate.compare import ALPHA

TEXT = """Every part of the methods that was measured on and off. A row stands here where no gain at 5 % is shown: it does
nothing that could be shown, or it costs. Of these, *worse* are those that lose at 5 %. On real logs and for rankers p
decides, of users and seeds both, not the interval, which is too narrow where few seeds differ; where a pair was looked
at twice p is doubled. In planted worlds p is of a t test over seeds. Of one seed p is over users alone; in planted
worlds there is none then, and nothing is shown either way. NDCG@20 on real logs, filtered; GAUC for rankers; P@10 and
GAUC in planted worlds. p is not corrected for how many rows there are; the verdicts under *Comparisons* are."""
PARTS = {
    "contrast": (
        ("ccl4rec", "ccl4rec-next"),
        ("ccl4rec-recent", "ccl4rec-next-recent"),
        ("ccl4rec-ids", "ccl4rec-ids-next"),
    ),
    "contrast of two random views": (("ccl4rec-vanilla", "ccl4rec-next"),),
    "contrast, graded and over": (("ccl4rec", "ccl4rec-vanilla"),),
    "importance in views": (("ccl4rec", "ccl4rec-random"),),
    "weighted targets": (("ccl4rec-denoise", "ccl4rec-next"),),
    "noise-aware pooling": (("ccl4rec-denoise-pooling", "ccl4rec-denoise"),),
    "contrast, with weighted targets": (("ccl4rec-denoise-contrast", "ccl4rec-denoise"),),
    "recent interaction apart": (
        ("ccl4rec-recent", "ccl4rec"),
        ("ccl4rec-next-recent", "ccl4rec-next"),
    ),
    "gate over modalities": (
        ("demure", "late"),
        ("demure-content", "late-content"),
        ("demure-ccl4rec-denoise", "ccl4rec-denoise-ungated"),
    ),
    "gate by attention": (("demure-attention", "late"), ("demure-attention-content", "late-content")),
    "windows in place of prefixes": (("ccl4rec-next-windows", "ccl4rec-next"),),
}
"""Part → with it, without it."""
PLANTED = (
    ("graded contrast and contrast over contrast, ρ = .4", "train", "full", "vanilla"),
    ("contrast, ρ = 0", "clean", "full", "next-item"),
    ("contrast at the library's weights, ρ = .4", "train", "full-library", "vanilla"),
    ("importance in views, ρ = .4", "train", "full", "full-random"),
    ("vanilla contrast beside the others", "parts", "full", "no-vanilla"),
    ("graded contrast beside the others", "parts", "full", "no-graded"),
    ("contrast over contrast beside the others", "parts", "full", "no-over"),
    ("contrast over contrast at λ = 1.6 for .1", "over", "lambda1.6", "lambda0.1"),
    ("mask of near histories", "parts", "full", "no-mask-of-near-histories"),
    ("strength by quality, not by distance", "parts", "full", "strength-distance"),
    ("strength by quality, not equal", "parts", "full", "strength-equal"),
    ("strength by quality, not by quality and distance", "parts", "full", "strength-both"),
    ("strength at its own temperature, not at 1", "parts", "full", "strength-temperature-1"),
    ("temperature not .1", "parts", "full", "temperature-0.1"),
    ("temperature not .5", "parts", "full", "temperature-0.5"),
    ("margin", "parts", "full", "margin-0"),
    ("learned part of importance", "parts", "full", "learned-0"),
    ("views too alike or too damaged dropped", "parts", "full", "no-view-dropped"),
    ("four views", "parts", "views-4", "full"),
    ("views that harden over four epochs", "parts", "ramp-4", "full"),
    ("weighted targets, ρ = .4", "parts", "weighted-targets", "full"),
    ("importance by mean agreement", "parts", "importance-mean_agreement", "full"),
    ("importance by the target", "parts", "importance-target", "full"),
    ("importance by attention", "parts", "importance-attention", "full"),
    ("importance by likelihood", "parts", "importance-likelihood", "full"),
    ("importance by co-occurrence", "parts", "importance-cooccurrence", "full"),
    ("importance by the blend", "parts", "importance-blend", "full"),
    ("a projection head", "parts", "projection-mlp", "full"),
    ("hardness κ = 1 for 0", "hardness", "kappa1", "kappa0"),
)
"""What it is, command, with it, without it."""
GATES = (
    ("graded contrast over slots, not random views", "contrast", "vanilla"),
    ("MIL-NCE, not logistic bags", "softmax", "logistic"),
    ("calibration of the gate", "softmax", "uncalibrated"),
    ("gate over modalities", "softmax", "none"),
    ("gate by attention", "attention", "none"),
    ("gate over modalities before CCL4Rec", "early", "early-none"),
    ("weights that compete, not sigmoids", "softmax", "sigmoid"),
    ("contrast over slots", "contrast", "softmax"),
    ("damage by swapped slots, not by masks", "contrast", "contrast-mask"),
    ("damage by swapped slots, not by noise", "contrast", "contrast-noise"),
)
"""What it is, gate with it, gate without it."""
NOT_A_PART = ("random",)
"""Gates that are controls, and nothing that a method has."""


class Row(NamedTuple):
    """One line.

    Attributes:
        part: what was on and off.
        where: the log or world, and which methods.
        measure: of what.
        difference: with it − without it.
        p: of the difference, over all looks at it; None where it has none.
        ends: of the 95 % interval; None where it has none.
        seeds: how many.
        anchor: of the section that has the figures.
    """

    part: str
    where: str
    measure: str
    difference: float
    p: float | None
    ends: tuple[float, float] | None
    seeds: int
    anchor: str

    @property
    def helps(self) -> bool:
        """Whether a gain is shown."""
        return self.shown and self.difference > 0

    @property
    def worse(self) -> bool:
        """Whether a loss is shown."""
        return self.shown and self.difference < 0

    @property
    def shown(self) -> bool:
        """Whether a difference is."""
        return self.p is not None and self.p < ALPHA

    def told(self) -> tuple[str, ...]:
        """As a line of the table."""
        ends = f"{self.ends[0]:+.4f} … {self.ends[1]:+.4f}" if self.ends else "–"
        p = "–" if self.p is None else small(self.p)
        effect = "**worse**" if self.worse else "no difference shown"
        link = f"[{self.anchor}](#{self.anchor})"
        return self.part, self.where, self.measure, f"{self.difference:+.4f}", ends, p, effect, str(self.seeds), link


def sections(results: Path) -> list[str]:
    """The rows that show no gain, and how many do."""
    rows = [*compared(results), *planted(results), *gates(results), *rankers(results)]
    if not rows:
        return []
    shown = [row for row in rows if not row.helps]
    worse = sum(row.worse for row in shown)
    head = ("part", "where", "measure", "difference", "95 % interval", "p", "effect", "seeds", "figures")
    several, one = ([row.told() for row in shown if (row.seeds > 1) == many] for many in (True, False))
    told = f"Of {len(rows)} differences {len(shown)} are such, {worse} of them worse."
    return [
        "## What did not help",
        f"{TEXT} {told}",
        table(head, several),
        *([folded("The same of one seed", table(head, one))] if one else []),
    ]


def compared(results: Path) -> Iterator[Row]:
    """On real logs."""
    for setting, found in stored_places(results / "accuracy" / "comparisons.json").items():
        by_pair = {(each["a"], each["b"]): each for each in found["comparisons"] if each["metric"] == "ndcg@20"}
        for part, pairs in PARTS.items():
            for a, b in (pair for pair in pairs if pair in by_pair):
                record = by_pair[a, b]
                each, p = read(record), looked(record)
                where, ends = f"{setting.words}: {NAMES[a]} − {NAMES[b]}", (each.low, each.high)
                yield Row(part, where, "NDCG@20", each.difference, p, ends, each.seeds, "comparisons")


def planted(results: Path) -> Iterator[Row]:
    """In generated logs."""
    for part, command, name, against in PLANTED:
        runs = planted_tables.stored(results / "planted", command)
        for measure in ("p@10", "gauc"):
            if gains := planted_tables.gains(runs, measure, name, against):
                yield _row(part, f"planted: {name} − {against}", measure, gains, "planted-truth")


def gates(results: Path) -> Iterator[Row]:
    """Over modalities, in generated preferences; seeds that both have are the first of either."""
    worlds = modality_tables.stored(results / "modality")
    for part, name, against in GATES:
        for world, what in modality_tables.WORLDS.items():
            sides = [worlds.get(world, {}).get(gate, []) for gate in (name, against)]
            gains = [with_it["p@10"] - without["p@10"] for with_it, without in zip(*sides, strict=False)]
            if gains and not world.endswith("null"):
                yield _row(part, f"{what}: {name} − {against}", "p@10", gains, "which-modality-counted")


def _row(part: str, where: str, measure: str, gains: Sequence[float], anchor: str) -> Row:
    from scipy import stats

    if len(gains) == 1:
        return Row(part, where, measure, gains[0], None, None, 1, anchor)
    middle, low, high = planted_tables.interval(gains)
    p = float(stats.ttest_1samp(gains, 0.0).pvalue)
    return Row(part, where, measure, middle, p, (low, high), len(gains), anchor)


def rankers(results: Path) -> Iterator[Row]:
    """Contrast in a ranker."""
    found = stored(results / "rankers.json") or {}
    for family in found.get("comparisons", ()):
        for pair in family["pairs"]:
            if (pair["a"], pair["b"]) == ("ccl4rec", "ccl4rec-clicks"):
                where = f"{family['data']}, L = {family['length']}: CCL4Rec − without contrast"
                ends = pair["low"], pair["high"]
                yield Row(
                    "contrast in a ranker", where, "GAUC", pair["difference"], pair["p"], ends, pair["seeds"], "rankers"
                )
