"""Backbones that `transformers` has a class for, built from settings that stand here: nothing is downloaded."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from edgekd.errors import MissingError


def library(name: str) -> Any:
    """The package `transformers`, for a net of this name. Raises MissingError without it."""
    try:
        return import_module("transformers")
    except ImportError:
        raise MissingError(f"`{name}` needs the package `transformers`", "pip install 'edgekd[hamer]'") from None


class LastMap(nn.Module):
    """A model's last map."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, C, h, w)."""
        seen: Tensor = self.net(pixel_values=x).last_hidden_state
        return seen
