"""What a sequential method does about probable false-positive interactions, judged by a detector fitted beforehand.

The detector says the log-ratio r_t: how much likelier an interaction is beside the rest of the history than a
popularity-drawn item would be. `likelihood` has it as PMI, the others by `detectors.ratio`.

    n_t = min(1, ρ e^(−r_t))        probability of noise: a popularity-drawn item has probability p(item), whatever the rest
    1 − min(1, s n_t)               weight of a target among the user's training interactions around it; s = severity
    λ log σ(α r_t + β)              log-trust of an interaction of a history, an attention bias; learned λ ≥ 0, α > 0, β

Nothing here sees the target it helps to score: the trust of a history comes from that history alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.loader import Batch
from siftrec.data.sequences import Sequences
from siftrec.detectors.agreement import Agreement
from siftrec.detectors.blend import Blend, Detector
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.detectors.fitted import DRAWS, LENGTH, Fitted, calibrated
from siftrec.detectors.likelihood import Likelihood
from siftrec.errors import SettingsError
from siftrec.settings import Rate, settings


@settings
class Denoise:
    """How false-positive interactions are set aside.

    Attributes:
        targets: whether each target of the next-item loss is weighted by 1 minus its probability of noise.
        severity: s, by which the probability of noise of a target is multiplied before it is believed.
        pooling: whether the user encoder trusts interactions less that the rest of the history does not vouch for; not with
            `Cooccurrence` or `Blend`.
        detector: which one, and how it is fitted, on training interactions alone.
    """

    targets: bool = True
    severity: Rate = 1.8
    pooling: bool = False
    detector: Detector = Likelihood()

    def check(self, content: bool) -> None:
        """Refuse what cannot work; `content` says whether the catalog has any.

        Raises:
            SettingsError: naming the key.
        """
        if isinstance(self.detector, Agreement) and not content:
            problem = "Agreement needs content vectors; the catalog has none, so use Likelihood or Cooccurrence"
            raise SettingsError("method.denoise.detector", problem)
        if self.pooling and isinstance(self.detector, Cooccurrence | Blend):
            problem = (
                f"must be false with {type(self.detector).__name__}: a trained model does not know whose history it is "
                "asked about, and a user's own counts would vouch for it; use Likelihood or Agreement"
            )
            raise SettingsError("method.denoise.pooling", problem)


class Denoising(nn.Module):
    """The detector, what it learned of the log, and how far the encoder listens to it; saved with the model.

    Args:
        how: settings.
        size: N.
        content: G, width of the content vectors.
    """

    def __init__(self, how: Denoise, size: int, content: int) -> None:
        super().__init__()
        self.how = how
        self.detector: Fitted = how.detector.build(size, content)
        self.register_buffer("content", torch.zeros(size, content))
        self.register_buffer("rho", torch.zeros(()))
        if how.pooling:
            self.strength, self.steepness, self.level = (nn.Parameter(torch.tensor(x)) for x in (-2.0, 0.0, 0.0))

    def fit(self, train: Sequences, content_NG: torch.Tensor, seed: int, share: float = 1.0) -> None:
        """Fit the detector on training interactions, and bound their share of noise.

        Args:
            train: training sequences.
            content_NG: content vectors (`detectors.content.units`).
            seed: of the run.
            share: of the work; with less than 1 only what it cost is of use, and nothing is bounded.
        """
        self.get_buffer("content").copy_(content_NG)
        self.detector.fit(train, content_NG, seed, share=share)
        users = np.arange(math.ceil(share * len(train)))
        some = train if share == 1 else train.take(users)
        found = calibrated(self.detector, some, content_NG, users, seed=seed, draws=math.ceil(share * DRAWS))
        # Where the scores tell nothing apart, the bound is near 1, and weights by it would take every target away.
        if share == 1 and (found.weight < 1).any():
            self.get_buffer("rho").fill_(found.rho_upper)

    def scores(
        self, items_BL: torch.Tensor, users_B: torch.Tensor | None = None, part: str | None = None
    ) -> torch.Tensor:
        """scores_BL of every interaction by the rest of its history (see `Fitted.scores`).

        Items that were added after the detector was fitted are unknown to it: nothing vouches for them, nor they for any.

        Args:
            items_BL: histories.
            users_B: their rows in training; None = anybody's.
            part: of the detector (see `Fitted.parts`); None = the whole, in nats.
        """
        detector = self.detector if part is None else self.detector.parts[part]
        content_NG = self.get_buffer("content")
        return detector.scores(items_BL * (items_BL < len(content_NG)), content_NG, users_B)

    def log_trust(self, items_BL: torch.Tensor, users_B: torch.Tensor | None = None) -> torch.Tensor | None:
        """(B, L) ≤ 0, with gradient to the three learned numbers only; None where pooling does not listen."""
        if not self.how.pooling:
            return None
        logits_BL = self.steepness.exp() * self.scores(items_BL, users_B) + self.level
        return F.softplus(self.strength) * F.logsigmoid(logits_BL)

    def target_weights(self, batch: Batch) -> torch.Tensor:
        """(B, P) weight of each target among the user's training interactions around it.

        It is 1 where targets are not weighted, and where nothing else of the user could vouch. Rows with a target after
        every position are judged in pieces of 20 interactions, from the last one back.
        """
        if not self.how.targets:
            return torch.ones_like(batch.weights_BP)
        if batch.around is not None:
            score_BP = self._judged(batch.around.items_BW, batch.user_B, batch.around.place_B.unsqueeze(1))
        else:
            items_BT = torch.cat([batch.items_BL, batch.targets_BP[:, -1:]], dim=1)
            # From the last column back, so that padding moves no cut; the first interaction is nobody's target.
            widths = [items_BT.shape[1] % LENGTH, *[LENGTH] * (items_BT.shape[1] // LENGTH)]
            pieces = [piece_BS for piece_BS in items_BT.split(widths, dim=1) if piece_BS.shape[1]]
            score_BP = torch.cat([self._judged(piece_BS, batch.user_B) for piece_BS in pieces], dim=1)[:, 1:]
        noise_BP = (self.get_buffer("rho").log() - score_BP).exp()
        return torch.where(score_BP == 0, 1.0, 1 - (self.how.severity * noise_BP).clamp(0, 1))

    def _judged(
        self, items_BL: torch.Tensor, users_B: torch.Tensor, places_BQ: torch.Tensor | None = None
    ) -> torch.Tensor:
        return self.detector.scores(items_BL, self.get_buffer("content"), users_B, places_BQ)
