"""Shares of what is there."""

from __future__ import annotations

import torch


def shares(logits: torch.Tensor, real: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Softmax over the places of `dim` where `real`; 0 elsewhere, and everywhere where none is."""
    return torch.softmax(logits.masked_fill(~real, torch.finfo(logits.dtype).min), dim=dim) * real
