"""The section of docs/results.md on what was changed because opponents were ahead: before, after, and how it was chosen."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import width
from accuracy import Setting
from aims import CLEAN, NOISY
from aims_found import Stored, difference
from page import table
from variants import VARIANTS, WIDE

from siftrec.evaluate.compare import p_text


class Change(NamedTuple):
    """A change of a method.

    Attributes:
        what: it is.
        before, after: names of variants.
        settings: where both were run.
        chosen: on what it was chosen.
        decision: number and name of the note on it.
    """

    what: str
    before: str
    after: str
    settings: tuple[Setting, ...]
    chosen: str
    decision: str


ELSEWHERE = "validation, a seed that no cell has"
CHANGES = (
    Change(
        "every prefix a row, in place of windows",
        "ccl4rec-next-windows",
        "ccl4rec-next",
        (CLEAN, NOISY),
        "validation, seed 1",
        "0017-prefixes-or-windows",
    ),
    Change(
        "targets weighed by a detector",
        "ccl4rec-next",
        "ccl4rec-denoise",
        (NOISY, CLEAN),
        "validation of seed 1, whose test figures were seen as well",
        "0013-denoise-in-the-model",
    ),
    *(
        Change(
            f"narrow layers: {VARIANTS[name].what}",
            f"{name}-wide",
            name,
            (CLEAN, NOISY),
            "validation, two seeds that no cell has",
            "0023-narrow-layers",
        )
        for name in WIDE
    ),
    Change(
        "a learning rate that falls",
        "ccl4rec-next-constant",
        "ccl4rec-next",
        (Setting("ml1m", 0.0),),
        "validation",
        "0020-a-falling-learning-rate",
    ),
    Change(
        "the most recent interaction read apart",
        "ccl4rec-next",
        "ccl4rec-next-recent",
        (Setting("ml1m-but-two", 0.0),),
        ELSEWHERE,
        "0021-the-most-recent-interaction",
    ),
)
TEXT = (
    "What was changed in CCL4Rec where opponents or its own figures asked for it, NDCG@20 on test; means are of the seeds "
    "that both have. *p* as under *Comparisons*; – where users' values were not kept. What was tried in vain is below, and "
    "in [the decisions](decisions)."
)
WIDTH_TEXT = (
    "Next-item loss, the log without its test interactions, every validation question, seeds that no cell has; – : not run. "
    "[Why 16](decisions/0023-narrow-layers.md). `python benchmarks/width.py run`"
)


def sections(of: Stored) -> list[str]:
    """The table; nothing where no change was measured."""
    rows = [row for change in CHANGES for setting in change.settings for row in _rows(of, change, setting)]
    head = ("change", "where", "before", "after", "difference", "p", "seeds", "chosen on")
    return ["## What was improved", TEXT, table(head, rows), *_widths(width.RESULTS)] if rows else []


def _widths(folder: Path) -> list[str]:
    """What the width of CCL4Rec's layers was chosen by; nothing where no trial is stored."""
    trials = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    found: dict[tuple[float, int], dict[int, float]] = {}
    for each in trials:
        trial = each["trial"]
        found.setdefault((trial["rho"], trial["seed"]), {})[trial["hidden"]] = each["validation"][width.METRIC]
    head = ("microlens50k, validation NDCG@20", *(f"H = {hidden}" for hidden in width.WIDTHS))
    rows = [
        (f"ρ = {rho:g}, seed {seed}", *(f"{of[hidden]:.4f}" if hidden in of else "–" for hidden in width.WIDTHS))
        for (rho, seed), of in sorted(found.items())
    ]
    return ["### Width of CCL4Rec's layers", WIDTH_TEXT, table(head, rows)] if rows else []


def _rows(of: Stored, change: Change, setting: Setting) -> Iterator[tuple[str, ...]]:
    before, after = (of.means(setting, name) for name in (change.before, change.after))
    if not (seeds := sorted(before.keys() & after.keys())):
        return
    means = [statistics.mean(side[seed] for seed in seeds) for side in (before, after)]
    told, p = f"{means[1] / means[0] - 1:+.1%}", "–"
    for sign, pair in ((1, (change.after, change.before)), (-1, (change.before, change.after))):
        if found := of.compared(setting, *pair):
            low, high = sorted((sign * found.low, sign * found.high))
            told = difference(means[1] / means[0] - 1, sign * found.difference, low, high)
            p = p_text(found.p_holm).removeprefix("= ")
    what = f"[{change.what}](decisions/{change.decision}.md)"
    yield what, setting.words, f"{means[0]:.4f}", f"{means[1]:.4f}", told, p, str(len(seeds)), change.chosen
