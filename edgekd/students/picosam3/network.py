"""PicoSAM3's network (arXiv 2603.11917; layers as its released weights have them): picture crop in, mask logits out.

The prompt is the crop itself (`roi.py`), so there is one input. Five strides of separable convolutions, a dilated neck,
nearest upsampling with added skips, a channel gate, a small refining head.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from edgekd.schema.base import Strict


class ModelConfig(Strict):
    """The recipe's `model` table; the defaults are the paper's network."""

    encoder: tuple[int, int, int, int] = Field((48, 96, 160, 256), description="Channels at strides 1, 2, 4, 8.")
    neck: int = Field(320, ge=1, description="Channels at stride 16.")
    decoder: tuple[int, int, int, int] = Field((192, 128, 80, 40), description="Channels at strides 8, 4, 2, 1.")
    gate: Literal["dense", "none"] = Field(
        "dense",
        description="`dense`: each channel is weighed by all channels' means, which the paper calls efficient channel "
        "attention; `none`.",
    )
    dilated_neck: bool = Field(True, description="A second block of the neck, its 3x3 kernel spread by two.")
    refine: bool = Field(True, description="A 3x3 depthwise convolution before the last one.")


def depthwise(channels: int, dilation: int = 1) -> nn.Conv2d:
    """3x3, one kernel a channel, size kept, no bias."""
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False)


def separable(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution, batch norm and ReLU behind each."""
    return nn.Sequential(
        depthwise(inputs, dilation),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ChannelGate(nn.Module):
    """`x * sigmoid(W mean(x))`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return x * torch.sigmoid(self.mix(nn.functional.adaptive_avg_pool2d(x, 1)))


def head(channels: int, refine: bool) -> nn.Sequential:
    """Features to logits."""
    last = nn.Conv2d(channels, 1, 1)
    return nn.Sequential(*([depthwise(channels), nn.BatchNorm2d(channels), nn.ReLU()] if refine else []), last)


class PicoSam3Net(nn.Module):
    """Crop in, logits out: (N, 3, H, W) to (N, 1, H, W), H and W divisible by 16; above zero is inside."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder, decoder, neck = config.encoder, config.decoder, config.neck
        self.encoder = nn.ModuleList(separable(a, b) for a, b in pairwise((3, *encoder)))
        self.down = nn.ModuleList(nn.Conv2d(c, c, 3, 2, 1, bias=False) for c in encoder)
        second = [separable(neck, neck, dilation=2)] if config.dilated_neck else []
        self.neck = nn.Sequential(separable(encoder[-1], neck), *second)
        self.decoder = nn.ModuleList(separable(a, b) for a, b in pairwise((neck, *decoder)))
        self.skip = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(reversed(encoder), decoder, strict=True))
        self.gate = ChannelGate(decoder[-1]) if config.gate == "dense" else nn.Identity()
        self.head = head(decoder[-1], config.refine)

    def forward(self, crop: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 1, H, W)."""
        x, kept = crop, []
        for encode, down in zip(self.encoder, self.down, strict=True):
            kept.append(encode(x))
            x = down(kept[-1])
        x = self.neck(x)
        for decode, skip, detail in zip(self.decoder, self.skip, reversed(kept), strict=True):
            x = decode(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")) + skip(detail)
        logits: Tensor = self.head(self.gate(x))
        return logits
