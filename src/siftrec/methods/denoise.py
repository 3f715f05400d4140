"""What a sequential method does about probable false-positive interactions, judged by a cross-fitted detector.

    n_t = min(1, ρ e^(−PMI_t))      probability of noise: a popularity-drawn item has probability p(item), whatever the rest
    1 − min(1, s n_t)               weight of a target among the user's training interactions around it; s = severity
    λ log σ(α PMI_t + β)            log-trust of an interaction of a history, an attention bias; learned λ ≥ 0, α > 0, β

Nothing here sees the target it helps to score: the trust of a history comes from that history alone.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.loader import Batch
from siftrec.data.sequences import Sequences
from siftrec.detectors.likelihood import CrossFitted, Likelihood, calibrated
from siftrec.settings import Rate, settings


@settings
class Denoise:
    """How false-positive interactions are set aside.

    Attributes:
        targets: whether each target of the next-item loss is weighted by 1 minus its probability of noise.
        severity: s, by which the probability of noise of a target is multiplied before it is believed.
        pooling: whether the user encoder trusts interactions less that the rest of the history does not vouch for.
        detector: how the detector is fitted, on training interactions alone.
    """

    targets: bool = True
    severity: Rate = 1.8
    pooling: bool = False
    detector: Likelihood = Likelihood()


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
        self.detector = CrossFitted(how.detector, size, content)
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
            share: of the detector's steps; with less than 1 only what it cost is of use, and nothing is bounded.
        """
        self.get_buffer("content").copy_(content_NG)
        self.detector.fit(train, content_NG, seed, share=share)
        if share < 1:
            return
        found = calibrated(self.detector, train, content_NG, seed=seed)
        # Where the scores tell nothing apart, the bound is near 1, and weights by it would take every target away.
        self.get_buffer("rho").fill_(found.rho_upper if (found.weight < 1).any() else 0.0)

    def scores(self, items_BL: torch.Tensor, users_B: torch.Tensor | None = None) -> torch.Tensor:
        """PMI_BL of every interaction and the rest of its history (see `CrossFitted.scores`)."""
        return self.detector.scores(items_BL, self.get_buffer("content"), users_B)

    def log_trust(self, items_BL: torch.Tensor, users_B: torch.Tensor | None = None) -> torch.Tensor | None:
        """(B, L) ≤ 0, with gradient to the three learned numbers only; None where pooling does not listen."""
        if not self.how.pooling:
            return None
        logits_BL = self.steepness.exp() * self.scores(items_BL, users_B) + self.level
        return F.softplus(self.strength) * F.logsigmoid(logits_BL)

    def target_weights(self, batch: Batch) -> torch.Tensor:
        """(B,) weight of each target among the user's training interactions around it.

        It is 1 where targets are not weighted, and where nothing else of the user could vouch.
        """
        if not self.how.targets:
            return torch.ones(len(batch))
        around_BW, place_B1 = batch.around_BW, batch.place_B.unsqueeze(1)
        score_B1 = self.detector.scores(around_BW, self.get_buffer("content"), batch.user_B, place_B1)
        score_B = score_B1.squeeze(1)
        noise_B = self.get_buffer("rho") * (-score_B).exp()
        return torch.where(score_B == 0, 1.0, 1 - (self.how.severity * noise_B).clamp(0, 1))
