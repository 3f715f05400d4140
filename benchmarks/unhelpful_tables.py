"""The section "What did not help" of docs/results.md: what is stored of our own parts where it shows no gain.

Every part that is on and off somewhere is looked at; a row is shown where its 95 % interval does not lie above zero, so
nothing stands here, or is left out, by choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import modality_tables
import planted_tables
from accuracy_tables import NAMES
from page import folded, stored, table
from paired import stored_pairs

TEXT = """Every part of the methods that was measured on and off. A row stands here where the 95 % interval of what the
part adds does not lie above zero: it does nothing that could be shown, or it costs. Of these, *worse* are those whose
interval lies below. Where there is one seed, the interval is over users alone, or there is none, and the row stands
here if the difference is not positive. NDCG@20 on real logs, filtered; GAUC for rankers; P@10 and GAUC in planted
worlds. Intervals are not corrected for how many they are; the verdicts under *Comparisons* are."""
PARTS = {
    "contrast": (
        ("ccl4rec", "ccl4rec-next"),
        ("ccl4rec-falling", "ccl4rec-next-falling"),
        ("ccl4rec-ids", "ccl4rec-ids-next"),
    ),
    "contrast of two random views": (("ccl4rec-vanilla", "ccl4rec-next"),),
    "contrast, graded and over": (("ccl4rec", "ccl4rec-vanilla"),),
    "importance in views": (("ccl4rec", "ccl4rec-random"),),
    "weighted targets": (("ccl4rec-denoise", "ccl4rec-next"),),
    "noise-aware pooling": (("ccl4rec-denoise-pooling", "ccl4rec-denoise"),),
    "contrast, with weighted targets": (("ccl4rec-denoise-contrast", "ccl4rec-denoise"),),
    "recent interaction apart": (
        ("ccl4rec-recent", "ccl4rec-falling"),
        ("ccl4rec-next-recent", "ccl4rec-next-falling"),
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
    ("a projection head", "parts", "projection-mlp", "full"),
    ("hardness κ = 1 for 0", "hardness", "kappa1", "kappa0"),
)
"""What it is, command, with it, without it."""
GATES = (
    ("graded contrast over slots, not random views", "contrast", "vanilla"),
    ("MIL-NCE, not logistic bags", "softmax", "logistic"),
    ("calibration of the gate", "softmax", "uncalibrated"),
)
"""What it is, gate with it, gate without it."""


class Row(NamedTuple):
    """One line.

    Attributes:
        part: what was on and off.
        where: the log or world, and which methods.
        measure: of what.
        difference: with it − without it.
        ends: of the 95 % interval; None where it has none.
        seeds: how many.
        anchor: of the section that has the figures.
    """

    part: str
    where: str
    measure: str
    difference: float
    ends: tuple[float, float] | None
    seeds: int
    anchor: str

    @property
    def helps(self) -> bool:
        """Whether a gain is shown."""
        return (self.ends[0] if self.ends else self.difference) > 0

    @property
    def worse(self) -> bool:
        """Whether a loss is shown."""
        return self.ends is not None and self.ends[1] < 0

    def told(self) -> tuple[str, ...]:
        """As a line of the table."""
        ends = f"{self.ends[0]:+.4f} … {self.ends[1]:+.4f}" if self.ends else "–"
        effect = "**worse**" if self.worse else "no gain shown"
        link = f"[{self.anchor}](#{self.anchor})"
        return self.part, self.where, self.measure, f"{self.difference:+.4f}", ends, effect, str(self.seeds), link


def sections(results: Path) -> list[str]:
    """The rows that show no gain, and how many do."""
    rows = [*compared(results), *planted(results), *gates(results), *rankers(results)]
    if not rows:
        return []
    shown = [row for row in rows if not row.helps]
    worse = sum(row.worse for row in shown)
    head = ("part", "where", "measure", "difference", "95 % interval", "effect", "seeds", "figures")
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
    for setting, found in stored_pairs(results / "accuracy" / "comparisons.json").items():
        by_pair = {(each.a, each.b): each for each in found if each.metric == "ndcg@20"}
        for part, pairs in PARTS.items():
            for a, b in (pair for pair in pairs if pair in by_pair):
                each = by_pair[a, b]
                where = f"{setting.words}: {NAMES[a]} − {NAMES[b]}"
                yield Row(part, where, "NDCG@20", each.difference, (each.low, each.high), each.seeds, "comparisons")


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
    if len(gains) == 1:
        return Row(part, where, measure, gains[0], None, 1, anchor)
    middle, low, high = planted_tables.interval(gains)
    return Row(part, where, measure, middle, (low, high), len(gains), anchor)


def rankers(results: Path) -> Iterator[Row]:
    """Contrast in a ranker."""
    found = stored(results / "rankers.json") or {}
    for family in found.get("comparisons", ()):
        for pair in family["pairs"]:
            if (pair["a"], pair["b"]) == ("ccl4rec", "ccl4rec-clicks"):
                where = f"{family['data']}, L = {family['length']}: CCL4Rec − without contrast"
                ends = pair["low"], pair["high"]
                yield Row("contrast in a ranker", where, "GAUC", pair["difference"], ends, pair["seeds"], "rankers")
