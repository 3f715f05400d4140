"""The audit of a log: how noisy, how sure, and whether weighting it would help. The package is also the function.

print(siftrec.audit(siftrec.read("log.csv")))
print(siftrec.audit(siftrec.read("log.csv"), plan=siftrec.audit.QUICK))
"""

from siftrec.audit.audit import audit
from siftrec.audit.plan import FULL, QUICK, Plan
from siftrec.audit.result import Audit
from siftrec.audit.source import Named
from siftrec.callable import stand_in
from siftrec.data.layout import Vectors
from siftrec.data.readers.columns import Columns

__all__ = ["FULL", "QUICK", "Audit", "Columns", "Named", "Plan", "Vectors", "audit"]

stand_in(globals(), "siftrec.audit.audit", "audit")
