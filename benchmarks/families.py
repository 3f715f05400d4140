"""What is tested together, so what Holm corrects together: the primary pairs of a setting, all else there, and each curve.

The primary pairs were written down after the first three seeds had been seen: they keep p from changing with every cell
that is run from now on, and take back nothing of what had been looked at before.
"""

from __future__ import annotations

from typing import NamedTuple

from accuracy import DATASETS, MAIN, RHOS, SETTINGS, Setting
from curves import CURVES, METRIC, Curve
from variants import PAIRS

Pair = tuple[str, str]

PRIMARY: tuple[Pair, ...] = (
    ("sasrec", "markov"),
    ("ccl4rec", "markov"),
    ("ccl4rec", "sasrec"),
    ("ccl4rec", "sasrec-content-prefixes"),
    ("ccl4rec", "ccl4rec-next"),
    ("ccl4rec", "ccl4rec-vanilla"),
    ("ccl4rec", "ccl4rec-random"),
    ("ccl4rec-denoise", "ccl4rec-next"),
    ("ccl4rec-denoise", "sasrec-content-prefixes"),
)
"""At `METRIC`, filtered, for each data set with and without noise."""
PRIMARY_FOREIGN: tuple[Pair, ...] = (("demure", "late"), ("demure-content", "late-content"))
"""The same where content is foreign: the gate against none, with ids and without."""


class Family(NamedTuple):
    """Tests that are corrected together.

    Attributes:
        name: of the family: `primary`, `secondary`, or `curve NAME`.
        members: setting, pair and metric of each test that belongs to it.
        declared: whether a member that has not been made counts, too.
        settings: in how many settings at least something must have been made, for there is no curve of one point.
    """

    name: str
    members: tuple[tuple[Setting, Pair, str], ...]
    declared: bool = False
    settings: int = 1


def primary(setting: Setting) -> tuple[Pair, ...]:
    """The primary pairs of a setting; none where others than the plain ones were run."""
    if setting.tuned or setting.mechanism != "replace" or setting.data not in DATASETS or setting.rho not in RHOS:
        return ()
    return PRIMARY_FOREIGN if setting.foreign else PRIMARY


def along(curve: Curve) -> tuple[Pair, ...]:
    """Every method of a curve against what it is held against there, each pair once, as it is in `PAIRS` if it is."""
    found: dict[frozenset[str], Pair] = {}
    for against in curve.against:
        for method in curve.methods:
            if method != against:
                found.setdefault(
                    frozenset((method, against)), (against, method) if (against, method) in PAIRS else (method, against)
                )
    return tuple(found.values())


def families() -> list[Family]:
    """All of them; a test may belong to a setting's and to curves'."""
    found = []
    for setting in SETTINGS:
        first = tuple((setting, pair, METRIC) for pair in primary(setting))
        rest = tuple((setting, pair, metric) for pair in PAIRS for metric in MAIN)
        found.append(Family("primary", first, declared=True))
        found.append(Family("secondary", tuple(each for each in rest if each not in first)))
    for data in DATASETS:
        for name, curve in CURVES.items():
            places = [Setting(*place) for _, place in curve.settings(data)]
            tests = tuple((place, pair, METRIC) for pair in along(curve) for place in places)
            found.append(Family(f"curve {name}", tests, settings=2))
    return found
