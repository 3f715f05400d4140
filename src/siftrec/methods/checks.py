"""What is asked to be a trained model, and is none."""

from __future__ import annotations

from siftrec.errors import UsageError
from siftrec.methods.trained import Trained


def check_trained(thing: object) -> None:
    """Whether it is a trained model.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(thing, Trained):
        kind = type(thing).__name__
        raise UsageError(
            f"trained: {kind} is no trained model; give what siftrec.fit returned, or siftrec.load(folder)"
        )
