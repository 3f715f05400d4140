"""The audit of a log: how noisy, how sure, and whether weighting it would help. The package is also the function.

print(siftrec.audit(siftrec.read("log.csv")))
"""

from siftrec.audit.audit import audit
from siftrec.audit.result import Audit
from siftrec.audit.source import Named
from siftrec.callable import stand_in
from siftrec.data.layout import Vectors
from siftrec.data.readers.columns import Columns

__all__ = ["Audit", "Columns", "Named", "Vectors", "audit"]

stand_in(globals(), "siftrec.audit.audit", "audit")
