"""`blend`: likelihood, co-occurrence and, where there is content, agreement, weighed by what each says on this log."""

from __future__ import annotations

from siftrec.detectors.agreement import Agreement, ContentAgreement
from siftrec.detectors.cooccurrence import Cooccurrence, PairCounts
from siftrec.detectors.likelihood import CrossFitted, Likelihood
from siftrec.detectors.ratio import Blended
from siftrec.settings import settings


@settings
class Blend:
    """What is blended.

    Attributes:
        likelihood: how it is fitted.
        cooccurrence: how pairs are counted.
        agreement: how alike is asked for; left out where the catalog has no content.
    """

    likelihood: Likelihood = Likelihood()
    cooccurrence: Cooccurrence = Cooccurrence()
    agreement: Agreement = Agreement()

    def build(self, size: int, content: int) -> Blended:
        """A detector to be fitted, for N items with content vectors of width G, 0 = none."""
        likelihood, together = CrossFitted(self.likelihood, size, content), PairCounts(self.cooccurrence, size)
        alike = {"agreement": ContentAgreement(self.agreement, size)} if content else {}
        return Blended({"likelihood": likelihood, "cooccurrence": together, **alike})


Detector = Likelihood | Cooccurrence | Agreement | Blend
"""The settings of every detector there is."""
