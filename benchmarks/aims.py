"""What was asked before anything was measured, beside what was found: the first table of docs/results.md.

Aims are declared in `AIMS`. What was found, and whether it reaches what was asked, is computed by `aims_found.py` from the
figures that the tables below it read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import aims_found as found
import aims_models as models
from accuracy import Setting
from aims_found import Found, Stored
from page import table
from rankers import BATCH, CATALOG_BATCH, USERS
from speed import ROWS
from speed_tables import asked as speed_asked

RANKERS = "rankers (CCL4Rec against DIN and self-attention)"
CLEAN, NOISY = Setting("microlens50k", 0.0), Setting("microlens50k", 0.3)
SHOWN_WRONG, BOTH_WRONG = Setting("microlens50k", 0.0, 0.2), Setting("microlens50k", 0.3, 0.2)
TEXT = """*Found* and *reached* are computed from the stored figures. A difference that is asked to be above or below 0
has to be so with its 95 % interval; *at least equivalent* means that the whole interval lies above −2 %, *equivalent
within 2 %* that two one-sided tests, corrected by Holm, say so. What real content adds, what other libraries' models
gain, and the best of all that were run are asked of the means alone, as any other aim is. Some aims have two parts, and
both have to hold. *Added*: asked after another aim had been missed; shown, and not counted. *Not measured*: nothing is
stored from which it could be told."""


@dataclass(frozen=True)
class Aim:
    """One line.

    Attributes:
        what: is measured.
        asked: of it, in words.
        seek: computes what was found; None where nothing is stored, or where it could not be told from what is.
        where: anchor of the section that has the figures.
        live: whether it is counted of a model that is made there and then, so that nothing need be stored.
        added: whether it was asked only after another had been missed: it is shown, and not counted.
    """

    what: str
    asked: str
    seek: Callable[[Stored], Found | None]
    where: str
    live: bool = False
    added: bool = False


def not_measured(_: Stored) -> None:
    """Of an aim that no script measures."""


AIMS: dict[str, tuple[Aim, ...]] = {
    "planted truth (hard, ρ = .4, unless said)": (
        Aim(
            "importance before training, AUROC: easy / mid / hard",
            "≥ .95 / .88 / .78",
            found.untrained(easy=0.95, mid=0.88, hard=0.78),
            "planted-truth",
        ),
        Aim("the same by the target alone: how far below", "≥ .15 in each", found.single_target(0.15), "planted-truth"),
        Aim(
            "shield, against random contrast",
            "≤ −.05",
            found.planted("shield", "vanilla", found.at_most(-0.05)),
            "planted-truth",
        ),
        Aim(
            "popularity of recommendations, against next-item",
            "< 0",
            found.planted("popularity@10", "next-item", found.below_zero),
            "planted-truth",
        ),
        Aim(
            "out-of-interest rate, against next-item",
            "< 0",
            found.planted("out of interest@10", "next-item", found.below_zero),
            "planted-truth",
        ),
        Aim("concordance", "≥ .82", found.concordance(0.82), "planted-truth"),
        Aim(
            "concordance, against random contrast",
            "≥ +.01",
            found.planted("concordance", "vanilla", found.at_least(0.01)),
            "planted-truth",
        ),
        Aim(
            "P@10, against random importance",
            "> 0",
            found.planted("p@10", "full-random", found.above_zero),
            "planted-truth",
        ),
        Aim("hardness κ swept: P@10 at the least and the most", "shown", found.hardness, "planted-truth"),
        Aim(
            "no harm: GAUC at ρ = 0, against next-item",
            "≥ −.005",
            found.planted("gauc", "next-item", found.at_least(-0.005), "clean"),
            "planted-truth",
        ),
        Aim(
            "the same at the library's weights of contrast",
            "≥ −.005",
            found.planted("gauc", "next-item", found.at_least(-0.005), "clean", "full-library"),
            "planted-truth",
            added=True,
        ),
        Aim("no collapse: mean cosine / effective rank", "< .3 / > 8", found.collapse(0.3, 8), "planted-truth"),
        Aim("exact properties of gates, strengths, padding, order", "exactly (held by tests)", not_measured, ""),
    ),
    "finding noise (microlens50k, replaced, ρ = .3)": (
        Aim(
            "AUROC by `blend`, all histories / six and more",
            "≥ .75 / ≥ .80, or half of the gap to the ceiling",
            found.detection((0.75, 0.80), 0.5),
            "finding-noise",
        ),
        Aim(
            "`denoise`, NDCG@20: way from next-item to the full oracle",
            "≥ 50 %",
            found.half_way(NOISY, 0.5),
            "accuracy",
        ),
        Aim(
            "`denoise` without noise",
            "equivalent within 2 %",
            found.equivalent(CLEAN, "ccl4rec-denoise", "ccl4rec-next"),
            "comparisons",
        ),
        Aim(
            "`siftrec audit`: others' models given the weights",
            "never harmed by more than 1 % where it says leave alone, better where it says weight",
            found.others_models(0.01),
            "is-the-verdict-right",
        ),
        Aim("`siftrec audit --quick`, microlens50k", "≤ 3 minutes", found.audit_time(True, 3), "is-the-verdict-right"),
        Aim(
            "`siftrec audit`, microlens50k, two cores",
            "≤ 15 minutes",
            found.audit_time(False, 15),
            "is-the-verdict-right",
        ),
    ),
    "accuracy": (
        Aim("SASRec above Markov, microlens50k", "p < .01", found.above(CLEAN, "sasrec", "markov"), "comparisons"),
        Aim("CCL4Rec above Markov, microlens50k", "p < .01", found.above(CLEAN, "ccl4rec", "markov"), "comparisons"),
        Aim(
            "CCL4Rec beside SASRec, microlens50k",
            "at least equivalent",
            found.as_good(CLEAN, "ccl4rec", "sasrec"),
            "comparisons",
        ),
        Aim(
            "CCL4Rec beside SASRec, ml1m",
            "at least equivalent",
            found.as_good(Setting("ml1m", 0.0), "ccl4rec", "sasrec"),
            "comparisons",
        ),
        Aim(
            "the same where ml1m is asked for the next item, by encoder `recent` without contrast",
            "at least equivalent",
            found.as_good(Setting("ml1m-but-two", 0.0), "ccl4rec-next-recent", "sasrec"),
            "comparisons",
            added=True,
        ),
        Aim(
            "CCL4Rec of ids alone: Recall@10 / Recall@20 / NDCG@20",
            "≥ .068 / .097 / .044 (a prototype)",
            found.prototype(CLEAN, recall_at_10=0.068, recall_at_20=0.097, ndcg_at_20=0.044),
            "accuracy",
        ),
        Aim("opponents tuned with one budget", "all trials", found.tuned, "tuning"),
        Aim("noise curves", "all cells", found.curves, "noise-curves"),
    ),
    "which modality counted": (
        Aim(
            "planted causes: top-1 / AUROC / preference",
            "≥ .72 / .88 / .80",
            models.causes(0.72, 0.88, 0.80),
            "which-modality-counted",
        ),
        Aim("attention as a gate: top-1 above chance", "none (≤ .02)", models.control(0.02), "which-modality-counted"),
        Aim("weight of a useless modality", "< .10", models.useless(0.10), "which-modality-counted"),
        Aim(
            "modality whose vectors are all alike: top-1 / gained by the guard",
            "≥ .72 / ≥ .10",
            models.look_alike(0.72, 0.10),
            "which-modality-counted",
        ),
        Aim("MIL-NCE, logistic bags, no gate: top-1", "shown", models.bags, "which-modality-counted"),
        Aim(
            "real content: preference and top-1 above `attention` and `none`",
            "> 0 in each",
            models.real_content,
            "which-modality-counted",
        ),
        Aim(
            "foreign content, ρ = .2, AUROC: hashtags / text",
            "≥ .66",
            models.foreign("microlens50k", ("hashtags", "text"), 2, 0.66),
            "foreign-content-in-real-logs",
        ),
        Aim(
            "the same in histories of 12 and more",
            "≥ .74",
            models.foreign("microlens50k", ("hashtags", "text"), 12, 0.74),
            "foreign-content-in-real-logs",
        ),
        Aim(
            "the same, text of ml1m",
            "≥ .75",
            models.foreign("ml1m", ("text",), 2, 0.75),
            "foreign-content-in-real-logs",
        ),
        Aim(
            "Demure above `gate=none` under foreign content, microlens50k",
            "p < .01",
            found.above(SHOWN_WRONG, "demure", "late"),
            "comparisons",
        ),
        Aim(
            "the same without foreign content",
            "at least equivalent",
            found.as_good(CLEAN, "demure", "late"),
            "comparisons",
        ),
        Aim(
            "Demure + CCL4Rec under both noises, NDCG@20",
            "the best of all that were run",
            found.best_of(BOTH_WRONG, "demure-ccl4rec-denoise"),
            "accuracy",
        ),
    ),
    RANKERS: (
        Aim(
            "parameters beside ids and content, of self-attention's / DIN's",
            "≤ 1/10",
            models.parameters(0.1),
            "rankers",
        ),
        Aim("GAUC beside DIN, ml100k", "equivalent within 2 %", models.beside_din("ml100k", True), "rankers"),
        Aim(
            "GAUC beside DIN, ml_latest_small",
            "equivalent within 2 %",
            models.beside_din("ml_latest_small", True),
            "rankers",
        ),
        Aim(
            "GAUC beside DIN, ml100k, from below",
            "at least equivalent",
            models.beside_din("ml100k", False),
            "rankers",
            added=True,
        ),
        Aim(
            "GAUC beside DIN, ml_latest_small, from below",
            "at least equivalent",
            models.beside_din("ml_latest_small", False),
            "rankers",
            added=True,
        ),
        Aim(
            "343 candidates, one user alone, beside self-attention",
            "≥ 100 ×",
            models.faster("candidates", 100),
            "rankers",
        ),
        Aim(f"343 candidates, {USERS} users together", "≥ 100 ×", models.faster(BATCH, 100), "rankers", added=True),
        Aim(
            "the catalog, one user alone, beside self-attention", "≥ 1,000 ×", models.faster("catalog", 1000), "rankers"
        ),
        Aim(
            f"the catalog, {USERS} users together",
            "≥ 1,000 ×",
            models.faster(CATALOG_BATCH, 1000),
            "rankers",
            added=True,
        ),
        Aim("an epoch, faster than self-attention's", "≥ 10 ×", models.training(10, until=False), "rankers"),
        Aim("training to equal GAUC, faster than self-attention", "≥ 10 ×", models.training(10, until=True), "rankers"),
        Aim("GAUC on MicroVideo-1.7M, KuaiVideo, KuaiRand", "the published protocol", not_measured, ""),
    ),
    "cost": (
        Aim(
            "parameters without ids, one 384-d modality, D = 64",
            "≤ .12 M",
            models.without_ids(120_000),
            "speed",
            live=True,
        ),
    ),
}


def all_aims(stored: Stored) -> dict[str, tuple[Aim, ...]]:
    """The declared aims, and those that rows of the speed table carry, measured or not."""
    rows = {name: vars(row) | {"peers": {}} for name, row in ROWS.items()} | stored.speed
    speed = tuple(
        Aim(f"{row['what']}, {row['unit']}", speed_asked(row), found.speed(name), "speed") for name, row in rows.items()
    )
    return AIMS | {"cost": AIMS["cost"] + speed}


def sections(stored: Stored) -> list[str]:
    """The table, all aims of a group together."""
    rows: list[tuple[str, ...]] = []
    reached = []
    for group, aims in all_aims(stored).items():
        rows.append((f"**{group}**", *[""] * 5))
        for aim in aims:
            told = aim.seek(stored)
            rows.append(line(aim, told))
            reached += [told.reached] if told and told.reached is not None and not aim.added else []
    told_all = f"Of {len(reached)} aims that were measured **{sum(reached)} are reached**."
    head = ("aim", "asked", "found", "reached", "seeds", "where")
    return ["## Aims", f"{told_all} {TEXT}", table(head, rows)]


def line(aim: Aim, told: Found | None) -> tuple[str, ...]:
    """As a line of the table."""
    if told is None:
        return (aim.what, aim.asked, "not measured", "–", "–", "–")
    answer = {True: "yes", False: "**no**", None: "shown"}[told.reached]
    what = f"{aim.what} (added)" if aim.added else aim.what
    return (what, aim.asked, told.words, answer, told.seeds, f"[figures](#{aim.where})")


def missed(stored: Stored, group: str) -> str:
    """Which aims of a group are missed, in one sentence."""
    sought = [(aim, aim.seek(stored)) for aim in AIMS[group]]
    told = [f"{aim.what}, {aim.asked} ({each.words})" for aim, each in sought if each and each.reached is False]
    return f"**Aims missed**: {'; '.join(told)}." if told else ""
