"""Our own small backbone: inverted residuals (Sandler et al. 2018, arXiv 1801.04381) of stride 16, ReLU everywhere.

Stride 16, so that a crop of 128 pixels gives 8 x 8 places to ask, as many as the authors' students see of 256. ReLU,
since every engine puts it into the convolution before it, where HardSwish costs TensorRT a way through float.
0.34 M parameters, 40 M products at 128 pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

CHANNELS = 192
_STEM = 16
_BLOCKS = (
    (3, 1, 16, 16),
    (3, 2, 48, 24), (3, 1, 72, 24),
    (5, 2, 72, 40), (5, 1, 120, 40),
    (5, 2, 200, 112), (5, 1, 336, 112), (5, 1, 336, 112), (5, 1, 336, 112),
)  # fmt: skip
"""Side of the depthwise kernel, stride, channels between, channels behind; a block of no more between expands not."""


def widened(channels: int, width: float) -> int:
    """Channels times a factor, as the nearest multiple of eight, at least eight."""
    return max(8, round(channels * width / 8) * 8)


def conv(inputs: int, outputs: int, side: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and batch norm, size kept but for the stride."""
    made = nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False)
    return [made, nn.BatchNorm2d(outputs)]


class Inverted(nn.Module):
    """Wider, depthwise, narrower; added to what came in where size and channels stay."""

    def __init__(self, inputs: int, side: int, stride: int, inner: int, outputs: int) -> None:
        super().__init__()
        wider = [*conv(inputs, inner), nn.ReLU()] if inner != inputs else []
        depthwise = [*conv(inner, inner, side, stride, groups=inner), nn.ReLU()]
        self.block = nn.Sequential(*wider, *depthwise, *conv(inner, outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.adds else y


def nano(width: float = 1.0) -> nn.Sequential:
    """(N, 3, H, W) to (N, 192 width, H / 16, W / 16), never negative; sides are multiples of 16."""
    channels = widened(_STEM, width)
    parts: list[nn.Module] = [nn.Sequential(*conv(3, channels, 3, 2), nn.ReLU())]
    for side, stride, inner, outputs in _BLOCKS:
        parts.append(Inverted(channels, side, stride, widened(inner, width), widened(outputs, width)))
        channels = widened(outputs, width)
    return nn.Sequential(*parts, nn.Sequential(*conv(channels, widened(CHANNELS, width)), nn.ReLU()))
