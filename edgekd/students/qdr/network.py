"""A small encoder-decoder for restoration: 3x3 convolutions, ReLU, nearest upsampling, added skips, gates.

The layout is ours. The paper (arXiv 2603.09624) names an encoder-decoder with a lightweight learnable gate and
distils at the bottleneck; its widths and blocks are not public.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from edgekd.students.qdr.task import ModelConfig

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "xs": ((8, 16, 32, 64), (1, 1, 1, 2)),
    "s": ((16, 32, 64, 128), (1, 1, 1, 2)),
    "m": ((24, 48, 96, 192), (1, 1, 2, 4)),
    "l": ((32, 64, 128, 256), (1, 1, 2, 4)),
}


class Block(nn.Module):
    """`relu(x + conv(relu(conv(x))))`, shape kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


class Gate(nn.Module):
    """`x * sigmoid(m)`: where to pass features on. Starts open (sigmoid of 2)."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        hidden = max(8, width // 4)
        self.squeeze = nn.Conv2d(width, hidden, 3, padding=1)
        self.mask = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(self.mask.weight)
        nn.init.constant_(self.mask.bias, 2.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same; the mask has one channel or C."""
        return x * torch.sigmoid(self.mask(torch.relu(self.squeeze(x))))


class Up(nn.Module):
    """Nearest upsampling by two, then a convolution."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, 2H, 2W)."""
        return torch.relu(self.conv(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")))


class RestorationNet(nn.Module):
    """Picture in, restored picture out: (N, 3, H, W) in [-1, 1], H and W divisible by 8."""

    def __init__(self, size: Literal["xs", "s", "m", "l"], gate: Literal["none", "spatial", "full"]) -> None:
        super().__init__()
        widths, blocks = SIZES[size]
        levels = range(len(widths) - 1)

        def gate_for(width: int) -> nn.Module:
            return nn.Identity() if gate == "none" else Gate(width, 1 if gate == "spatial" else width)

        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.enc = nn.ModuleList(nn.Sequential(*(Block(widths[i]) for _ in range(blocks[i]))) for i in levels)
        self.gate = nn.ModuleList(gate_for(w) for w in widths)
        self.down = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, 2, 1) for i in levels)
        self.mid = nn.Sequential(*(Block(widths[-1]) for _ in range(blocks[-1])))
        self.up = nn.ModuleList(Up(widths[i + 1], widths[i]) for i in levels)
        self.dec = nn.ModuleList(Block(widths[i]) for i in levels)
        self.head = nn.Conv2d(widths[0], 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)  # the fresh net hands its input on
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to the same."""
        skips = []
        x = torch.relu(self.stem(image))
        for enc, gate, down in zip(self.enc, self.gate, self.down, strict=False):
            x = gate(enc(x))
            skips.append(x)
            x = torch.relu(down(x))
        x = self.gate[-1](self.mid(x))
        for i in reversed(range(len(skips))):
            x = self.dec[i](self.up[i](x) + skips[i])
        restored: Tensor = image + self.head(x)
        return restored


def build(config: ModelConfig) -> RestorationNet:
    """The net a recipe's `model` table describes."""
    return RestorationNet(config.size, config.gate)
