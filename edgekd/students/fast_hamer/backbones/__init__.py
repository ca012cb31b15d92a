"""What sees the picture. Each backbone is a function that builds it with fresh weights, and its channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from edgekd.students.fast_hamer.backbones import nano
from edgekd.students.fast_hamer.config import Backbone, ModelConfig

BACKBONES: Mapping[Backbone, tuple[Callable[[], nn.Module], int]] = {"nano": (nano.nano, nano.CHANNELS)}
"""By name: (N, 3, H, W) to a map (N, channels, h, w)."""


def build(config: ModelConfig) -> tuple[nn.Module, int]:
    """The backbone of a recipe and its channels. Raises MissingError where it needs a package that is not here."""
    if config.backbone == "nano":
        return nano.nano(config.width), nano.widened(nano.CHANNELS, config.width)
    make, channels = BACKBONES[config.backbone]
    return make(), channels
