"""What of a history counted: the share of attention each interaction got, what it is trusted, and each modality's weight."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from siftrec.detectors.fitted import LENGTH
from siftrec.display import html_table
from siftrec.errors import UsageError
from siftrec.methods.model import SequenceModel
from siftrec.methods.trained import BLOCK, Trained


@dataclass(frozen=True)
class Weighed:
    """One interaction of a history.

    Attributes:
        item: raw id.
        share: of the user's attention, so of the pool alone (encoder `recent` reads the last interaction beside it, too);
            None where the encoder reads a history as a whole.
        noise: probability of a false positive by the model's own detector; None where it has none, or nothing could vouch.
        modalities: name → weight γ, which sum to 1; None where the item lacks the modality; {} without a gate.
    """

    item: Any
    share: float | None
    noise: float | None
    modalities: dict[str, float | None]


@dataclass(frozen=True)
class Explanation:
    """What counted in one history.

    Attributes:
        interactions: those that the model reads, oldest first.
        unread: how many older ones it does not read.
        unknown: ids that the catalog does not hold.
    """

    interactions: list[Weighed]
    unread: int
    unknown: list[Any]

    def __repr__(self) -> str:
        told = f"{len(self.interactions)} interactions read, {self.unread} older ones not, {len(self.unknown)} unknown"
        return f"Explanation({told})"

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for each in self.interactions for name in each.modalities))
        rows = [
            (each.item, *map(_figure, (each.share, each.noise, *(each.modalities[name] for name in names))))
            for each in self.interactions
        ]
        return html_table(f"{self!r}, oldest first", ("item", "share", "noise", *names), rows)

    def __iter__(self) -> Any:
        return iter(self.interactions)


def explain(trained: Trained, history: Iterable[Any]) -> Explanation:
    """What counted in a history of raw ids, oldest first; the user need not have been trained on.

    Args:
        trained: a model that weighs interactions: CCL4Rec, LateFusion, Demure, or any with a detector of its own.
        history: raw item ids; unknown ones are skipped and reported.

    Raises:
        UsageError: the method has no opinion of single interactions; a history that is text.
    """
    return explain_many(trained, [history if isinstance(history, str) else list(history)])[0]


def explain_many(trained: Trained, histories: Sequence[Sequence[Any]]) -> list[Explanation]:
    """`explain` for many histories: the same numbers, for they are computed in blocks of one fixed shape."""
    model = trained.scorer
    if not isinstance(model, SequenceModel) or not _opinionated(model):
        name = type(trained.method).__name__
        raise UsageError(f"{name} has no opinion of single interactions; train siftrec:CCL4Rec or siftrec:Demure")
    coded = [trained.codes(history) for history in histories]
    found: list[list[Weighed]] = []
    for start in range(0, len(coded), BLOCK):
        found += _block(trained, model, coded[start : start + BLOCK])
    return [
        Explanation(
            read,
            int((codes > 0).sum()) - len(read),
            [raw for raw, code in zip(history, codes, strict=True) if code == 0],
        )
        for read, history, codes in zip(found, histories, coded, strict=True)
    ]


def explains(trained: Trained) -> bool:
    """Whether a model has an opinion of single interactions, so that `explain` answers."""
    return isinstance(trained.scorer, SequenceModel) and _opinionated(trained.scorer)


def _opinionated(model: SequenceModel) -> bool:
    return model.gating is not None or model.denoising is not None or hasattr(model.encoder, "shares")


@torch.inference_mode()
def _block(trained: Trained, model: SequenceModel, coded: list[np.ndarray]) -> list[list[Weighed]]:
    items_BL = trained.padded(coded)
    history = model.history(model.kept, items_BL)
    share_BL = noise_BL = torch.full(items_BL.shape, torch.nan)
    shares = getattr(model.encoder, "shares", None)
    if shares is not None:
        share_BL = shares(history.vectors_BLD, items_BL > 0, model.log_trust(items_BL))
    if model.denoising is not None:
        noise_BL = _noise(model, items_BL)
    names = () if model.gating is None else model.gating.names
    weight_BLM = share_BL.new_empty(*items_BL.shape, 0)
    if history.gated is not None:
        weights = history.gated.weight_BML.masked_fill(~history.gated.seen.present_BML, torch.nan)
        weight_BLM = weights.transpose(1, 2)
    rows = []
    for row in range(len(coded)):
        at = (items_BL[row] > 0).nonzero().squeeze(1)
        ids = trained.items.decode(items_BL[row, at].numpy()).to_list()
        told = zip(
            ids, share_BL[row, at].tolist(), noise_BL[row, at].tolist(), weight_BLM[row, at].tolist(), strict=True
        )
        rows.append(
            [Weighed(i, _known(a), _known(n), dict(zip(names, map(_known, w), strict=True))) for i, a, n, w in told]
        )
    return rows


def _noise(model: SequenceModel, items_BL: torch.Tensor) -> torch.Tensor:
    """n_t = min(1, ρ e^(−r_t)) of the most recent interactions, as many as a detector reads; nan where nothing is known."""
    assert model.denoising is not None
    rho, noise_BL = model.denoising.get_buffer("rho"), torch.full(items_BL.shape, torch.nan)
    ratio_BL = model.denoising.scores(items_BL[:, -LENGTH:])
    judged_BL = (rho * (-ratio_BL).exp()).clamp_max(1)
    noise_BL[:, -LENGTH:] = judged_BL.masked_fill((ratio_BL == 0) | (rho == 0), torch.nan)
    return noise_BL


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
