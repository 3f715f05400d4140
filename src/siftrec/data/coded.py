"""Whether what was handed over is histories in the codes of a catalog."""

from __future__ import annotations

from siftrec.data.sequences import Sequences
from siftrec.errors import UsageError


def check_coded(log: object, size: int, argument: str = "log", vocab: str = "catalog.vocab") -> None:
    """Refuse what is no histories, and codes that a catalog lacks.

    Args:
        log: what was given.
        size: N of the catalog.
        argument: what it was given as.
        vocab: where the catalog's codes are found, for the advice.

    Raises:
        UsageError: it is anything but `Sequences`, or has a code of N or more.
    """
    if not isinstance(log, Sequences):
        advice = f"split.train, or events.sequences(events.users, {vocab})"
        raise UsageError(f"{argument}: {type(log).__name__} is not histories in the codes of a catalog; give {advice}")
    if (largest := int(log.items.max(initial=0))) >= size:
        raise UsageError(f"{argument}: has item code {largest}, the catalog {size - 1} items; it is of another catalog")
