"""The noise curves: what is corrupted more and more, and for which methods. `accuracy.py run --curves NAME` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

RHOS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
FOREIGN = (0.0, 0.2, 0.4)
METRIC = "ndcg@20"
METHODS = (
    *("sasrec", "cl4srec", "coserec", "causerec", "tce", "ccl4rec-next", "ccl4rec", "ccl4rec-denoise"),
    *("demure", "demure-ccl4rec"),
)
APART = ("late", "demure", "demure-ccl4rec")
"""Methods that read modalities apart. All others read items whole, so foreign content changes nothing for them."""
WEIGHTED = ("ccl4rec-denoise-ungated", "demure-ccl4rec-denoise")
"""The same with targets weighed, for where interactions are noise, too."""
OFTEN = ("sasrec", "ccl4rec", "ccl4rec-denoise", "demure-ccl4rec")
"""The methods whose cells of a curve have every seed; others have three."""
WHERE = (
    "Corrupted: train and validation interactions, so training targets, validation targets and every history, those of the "
    "test questions included. Test targets and the items that filtered ranking leaves out are those of the log as it is."
)


class Curve(NamedTuple):
    """One plot for each data set.

    Attributes:
        title: in few words.
        what: what is corrupted, as a sentence.
        mechanism: of `siftrec.noise.inject`.
        rhos: shares of planted noise.
        foreign: shares of planted foreign content; of the two, the one with several values is followed.
        methods: names in `variants.VARIANTS`.
        against: those of them that all are compared with at each share.
    """

    title: str
    what: str
    mechanism: str
    rhos: tuple[float, ...]
    foreign: tuple[float, ...]
    methods: tuple[str, ...]
    against: tuple[str, ...] = ("ccl4rec-next", "sasrec")

    @property
    def across(self) -> str:
        """What is followed."""
        return "share of noise ρ" if len(self.rhos) > 1 else "share of foreign content"

    def settings(self, data: str) -> Iterator[tuple[float, tuple[str, float, float, str]]]:
        """Share that is followed, and the `accuracy.Setting` there; ρ = 0 is the same for every mechanism."""
        for rho in self.rhos:
            for foreign in self.foreign:
                share = rho if len(self.rhos) > 1 else foreign
                yield share, (data, rho, foreign, self.mechanism if rho else "replace")


CURVES = {
    "replace": Curve(
        "items replaced by popularity-drawn ones",
        "Each interaction gives way, with probability ρ, to a popularity-drawn item.",
        "replace",
        RHOS,
        (0.0,),
        METHODS,
    ),
    "insert": Curve(
        "popularity-drawn interactions added",
        "Popularity-drawn interactions are added until they are a share of ρ; every true one stays.",
        "insert",
        RHOS,
        (0.0,),
        METHODS,
    ),
    "swap": Curve(
        "items replaced by another user's",
        "Each interaction gives way, with probability ρ, to another user's item at the same position.",
        "swap",
        RHOS,
        (0.0,),
        METHODS,
    ),
    "foreign": Curve(
        "foreign content",
        "Each modality of each interaction shows, with this probability, what belongs to a popularity-drawn item; which "
        "items they are stays true.",
        "replace",
        (0.0,),
        FOREIGN,
        APART,
        ("late",),
    ),
    "both": Curve(
        "foreign content in a log with 30 % noise",
        "Each interaction gives way to a popularity-drawn item with probability .3; then each modality of each interaction "
        "shows, with the probability below, what belongs to another popularity-drawn item.",
        "replace",
        (0.3,),
        FOREIGN,
        APART + WEIGHTED,
        ("late", "ccl4rec-denoise-ungated"),
    ),
}
