"""The audit of a log: how noisy, how sure, and whether weighting it would help."""

from siftrec.audit.audit import audit
from siftrec.audit.result import Audit
from siftrec.audit.source import Named

__all__ = ["Audit", "Named", "audit"]
