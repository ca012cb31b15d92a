"""MobileViT-S (Mehta and Rastegari 2021, arXiv 2110.02178), stride 32."""

from __future__ import annotations

from torch import nn

from edgekd.students.fast_hamer.backbones.classes import LastMap, library

CHANNELS = 640


def mobilevit_s() -> nn.Module:
    """(N, 3, H, W) to (N, 640, H / 32, W / 32); no dropout, as timm's. Raises MissingError."""
    hf = library("mobilevit-s")
    return LastMap(hf.MobileViTModel(hf.MobileViTConfig(image_size=256, hidden_dropout_prob=0.0)))
