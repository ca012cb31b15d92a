"""ResNet-50 and -101 (He et al. 2015, arXiv 1512.03385), stride 32, halved in the 3x3 convolutions as torchvision's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgekd.students.fast_hamer.backbones.classes import LastMap, library

CHANNELS = 2048
DEPTHS = {"resnet-50": (3, 4, 6, 3), "resnet-101": (3, 4, 23, 3)}


def resnet(name: str, depths: Sequence[int] | None = None) -> nn.Module:
    """(N, 3, H, W) to (N, 2048, H / 32, W / 32); `depths` for a shallower one. Raises MissingError."""
    hf = library(name)
    return LastMap(hf.ResNetModel(hf.ResNetConfig(depths=list(depths or DEPTHS[name]))))
