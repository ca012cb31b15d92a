"""A separable classifier of small pictures. The layout is ours, after MobileNet (arXiv 1704.04861) with sums."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class Separable(nn.Module):
    """`relu(bn(point(relu(bn(depth(x))))))`, halved in size where the width changes, else added to its input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.adds = inputs == outputs
        self.depth = conv(inputs, inputs, 3, 1 if self.adds else 2, groups=inputs)
        self.point = conv(inputs, outputs, 1)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) to (N, O, H, W) or (N, O, H / 2, W / 2)."""
        y = self.point(self.act(self.depth(x)))
        z: Tensor = self.act(x + y if self.adds else y)
        return z


class Pool(nn.Module):
    """Mean over the picture."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C)."""
        return x.mean((2, 3))


class ClassifierNet(nn.Module):
    """Picture in, logits out: (N, channels, H, W) in [-1, 1] to (N, classes)."""

    def __init__(self, width: int, classes: int, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(channels, width, 3), nn.ReLU())
        widths = (width, 2 * width, 2 * width, 4 * width, 4 * width)
        self.blocks = nn.Sequential(*(Separable(a, b) for a, b in pairwise(widths)))
        self.pool = Pool()
        self.head = nn.Linear(4 * width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, classes)."""
        logits: Tensor = self.head(self.pool(self.blocks(self.stem(image))))
        return logits
