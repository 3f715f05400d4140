"""What the tensors of a saved detector must satisfy beside their shapes, checked before any is copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import nn


@runtime_checkable
class Checked(Protocol):
    """A module that knows which values its state can have."""

    def check_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Refuse values that `fit` cannot have left.

        Args:
            state: the module's state dict, of the right names and shapes.

        Raises:
            ArtifactError: the first impossible value.
        """
        ...


def check_state(tensors: Mapping[str, torch.Tensor], model: nn.Module) -> None:
    """Have every module of a model check its part of a state dict; nothing is changed.

    Raises:
        ArtifactError: the first impossible value.
    """
    for name, module in model.named_modules():
        if isinstance(module, Checked):
            prefix = f"{name}." if name else ""
            module.check_state({key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)})
