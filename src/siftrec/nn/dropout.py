"""Dropout whose randomness is an argument."""

from __future__ import annotations

import torch


def dropout(x: torch.Tensor, p: float, rng: torch.Generator | None) -> torch.Tensor:
    """Zero each element with probability `p` and scale the rest by 1/(1-p); `rng=None` means evaluation: x itself.

    The mask is cut from random bytes, eight elements to a drawn number, so `p` is rounded to a multiple of 1/256 below 1.
    """
    cut = min(round(p * 256), 255)
    if rng is None or cut == 0:
        return x
    words = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 8),), generator=rng, device=rng.device)
    # Arithmetic on floats: comparisons of bytes, and products with what they give, take several times as long.
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape).to(x).sub_(cut - 1).clamp_(0, 1)
    return x * kept.mul_(256 / (256 - cut))
