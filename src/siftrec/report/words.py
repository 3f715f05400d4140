"""Numbers and log text as a reader sees them."""

from __future__ import annotations

import math
import unicodedata

from markupsafe import Markup, escape

from siftrec.report.data import Estimate, Mark, Slot

_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_UNSHOWN = {"Cc", "Cs"}
MISSING = "not measured"

MECHANISMS = {
    "replace": "a popular item put in the place of the real one",
    "insert": "popular items added between the real ones",
    "swap": "another user's item from the same position",
    "autoplay": "what others had right after the item before: played by itself, and related",
}

DETECTORS = {
    "Cooccurrence": "how many other users had it together with the rest of its history, against chance",
    "Agreement": "how alike its content is to that of the rest of its history",
    "Blend": "a model of other users, by how many of them had it together with the rest of its history, and by how alike "
    "its content is where it has any",
}


def plain(text: str, longest: int = 160) -> str:
    """Text of a log made fit to be shown: one line, no control or direction-changing characters, not too long."""
    shown = "".join(" " if char.isspace() else _visible(char) for char in text[: 4 * longest])
    shown = " ".join(shown.split())
    return f"{shown[:longest]}…" if len(shown) > longest or len(text) > 4 * longest else shown or "(empty)"


def _visible(char: str) -> str:
    return "\ufffd" if ord(char) in _BIDI or unicodedata.category(char) in _UNSHOWN else char


def own(text: str, longest: int = 160) -> Markup:
    """Text of a log as an element whose direction cannot leak."""
    return Markup("<bdi>") + escape(plain(text, longest)) + Markup("</bdi>")


def known(value: float | None) -> bool:
    """Whether there is a figure to show."""
    return value is not None and math.isfinite(value)


def percent(value: float | None, signed: bool = False) -> str:
    """0.312 → `31 %`, 0.042 → `4.2 %`, 0.0003 → `0.030 %`; never rounded to none or to all."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(100 * value)
    digits = 0 if size >= 9.95 or size == 0 else 1 if size >= 0.95 else 1 - math.floor(math.log10(size))
    text = f"{math.floor(size * 100) / 100:.2f}" if 99.5 <= size < 100 else f"{size:.{digits}f}"
    sign = ("+" if value > 0 else "") if signed else ""
    return f"{'−' if value < 0 else sign}{text}\u00a0%"


def exactly(share: float) -> str:
    """A share that somebody chose: 0.05 → `5 %`."""
    return f"{100 * share:g}\u00a0%"


def decimal(value: float | None, signed: bool = False) -> str:
    """0.75312 → `0.753`; small differences keep two significant digits."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = abs(value)
    digits = 3 if size >= 0.0995 or size == 0 else min(7, 1 - math.floor(math.log10(size)))
    sign = ("+" if value > 0 else "") if signed else ""
    return f"{'−' if value < 0 else sign}{size:.{max(3, digits)}f}"


def count(value: int) -> str:
    """1234567 → `1,234,567`."""
    return f"{value:,}"


def few(expected: float) -> str:
    """A count that is expected, not counted: 3.14 → `3.1`, 1234.5 → `1,234`."""
    return f"{expected:.1f}" if expected < 10 else f"{expected:,.0f}"


def counted(value: int, one: str, many: str | None = None) -> str:
    """`1 user`, `2 users`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def between(estimate: Estimate, relative: bool = True, signed: bool = False) -> str:
    """The 95 % interval in words; empty where there is none."""
    if not (known(estimate.low) and known(estimate.high)):
        return ""
    form = percent if relative else decimal
    return f"{form(estimate.low, signed)} to {form(estimate.high, signed)}"


def level(noise: float) -> int:
    """0 to 4: the colour of a noise probability."""
    return max(0, min(4, int(noise * 5)))


def judged(mark: Mark) -> str:
    """What is said of one interaction."""
    if mark.evidence == 0:
        return "Cannot be judged"
    if mark.flagged:
        return "Flagged as noise"
    if mark.noise >= 0.5:
        return "More likely noise than not"
    return "Doubtful" if mark.noise >= 0.25 else "Fits its history"


def vouched(mark: Mark) -> Markup:
    """Why: how many others could vouch, and what other users have together with it."""
    if mark.evidence == 0:
        return Markup("Nothing else in this history could vouch for it.")
    others, company = counted(mark.evidence, "other"), mark.company
    if company is None:
        return escape(f"{others} could vouch for it; it goes with nothing in this history more often than by chance.")
    both = f": {counted(company.users, 'user')} with both, {few(company.chance)} by chance."
    return (
        escape(f"{others} could vouch for it; of the whole history it goes best with ") + own(company.name, 60) + both
    )


def weighed(slot: Slot) -> str:
    """What is said of one modality of an interaction."""
    if slot.weight is None:
        return "absent"
    said = percent(slot.weight)
    if slot.flagged:
        said += ", flagged as foreign"
    elif slot.noise is not None and slot.noise >= 0.5:
        said += ", more likely foreign than not"
    return said
