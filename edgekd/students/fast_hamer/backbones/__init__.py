"""What sees the picture: builders of backbones with fresh weights. Those of `transformers` import it when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from edgekd.students.fast_hamer.backbones import convnext, mobilenet, mobilevit, nano, resnet
from edgekd.students.fast_hamer.config import Backbone, ModelConfig

BACKBONES: Mapping[Backbone, tuple[Callable[[], nn.Module], int]] = {
    "nano": (nano.nano, nano.CHANNELS),
    "mobilenet-v3-large": (mobilenet.mobilenet_v3_large, mobilenet.CHANNELS),
    "mobilevit-s": (mobilevit.mobilevit_s, mobilevit.CHANNELS),
    "resnet-50": (partial(resnet.resnet, "resnet-50"), resnet.CHANNELS),
    "resnet-101": (partial(resnet.resnet, "resnet-101"), resnet.CHANNELS),
    "convnext-tiny": (partial(convnext.convnext, "convnext-tiny"), convnext.WIDTHS["convnext-tiny"][-1]),
    "convnext-large": (partial(convnext.convnext, "convnext-large"), convnext.WIDTHS["convnext-large"][-1]),
}
"""By name: what takes (N, 3, H, W) to a map, and the map's channels."""


def build(config: ModelConfig) -> tuple[nn.Module, int]:
    """The backbone of a recipe and its channels. Raises MissingError where it needs a package that is not here."""
    if config.backbone == "nano":
        return nano.nano(config.width), nano.widened(nano.CHANNELS, config.width)
    make, channels = BACKBONES[config.backbone]
    return make(), channels
