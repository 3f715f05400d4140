"""`--detector`: what judges a log, said on the command line."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from siftrec.detectors.blend import Detector


class DetectorName(StrEnum):
    """Every detector there is; `siftrec.detectors` itself would be slow to import."""

    likelihood = "Likelihood"
    cooccurrence = "Cooccurrence"
    agreement = "Agreement"
    blend = "Blend"


DetectorOption = Annotated[
    DetectorName,
    typer.Option(
        "--detector",
        help="What judges: Blend finds more noise that is drawn at random, Agreement needs content.",
    ),
]


def settings_of(name: DetectorName) -> Detector | None:
    """The detector called so, its settings the default ones; None for the one that judges where none is named."""
    from siftrec.settings import build

    if name is DetectorName.likelihood:
        return None
    detector: Detector = build({"use": f"siftrec:{name.value}"}, "detector")
    return detector
