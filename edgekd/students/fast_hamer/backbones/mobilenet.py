"""MobileNetV3-Large (Howard et al. 2019, arXiv 1905.02244) without its classifier, with torchvision's tensor names."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

CHANNELS = 960
_BLOCKS = (
    (3, 1, 16, 16, False, nn.ReLU), (3, 2, 64, 24, False, nn.ReLU), (3, 1, 72, 24, False, nn.ReLU),
    (5, 2, 72, 40, True, nn.ReLU), (5, 1, 120, 40, True, nn.ReLU), (5, 1, 120, 40, True, nn.ReLU),
    (3, 2, 240, 80, False, nn.Hardswish), (3, 1, 200, 80, False, nn.Hardswish), (3, 1, 184, 80, False, nn.Hardswish),
    (3, 1, 184, 80, False, nn.Hardswish), (3, 1, 480, 112, True, nn.Hardswish), (3, 1, 672, 112, True, nn.Hardswish),
    (5, 2, 672, 160, True, nn.Hardswish), (5, 1, 960, 160, True, nn.Hardswish), (5, 1, 960, 160, True, nn.Hardswish),
)  # fmt: skip
"""Table 1: kernel's side, stride, channels between, channels behind, squeeze and excite, activation."""


def divisible(channels: int) -> int:
    """The nearest multiple of eight that keeps nine tenths of them."""
    near = max(8, (channels + 4) // 8 * 8)
    return near if near >= 0.9 * channels else near + 8


def conv(
    inputs: int, outputs: int, act: type[nn.Module] | None, side: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm with torchvision's settings, activation."""
    made = nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False)
    return nn.Sequential(made, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01), *([act()] if act else []))


class Excite(nn.Module):
    """Each channel times what all channels' means say, 0 to 1, through a quarter as many."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        fewer = divisible(channels // 4)
        self.fc1, self.fc2 = nn.Conv2d(channels, fewer, 1), nn.Conv2d(fewer, channels, 1)
        self.activation, self.scale_activation = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        scale: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(adaptive_avg_pool2d(x, 1)))))
        return scale * x


class Bottleneck(nn.Module):
    """Wider, depthwise, excite, narrower; added to what came in where size and channels stay."""

    def __init__(
        self, inputs: int, side: int, stride: int, inner: int, outputs: int, excite: bool, act: type[nn.Module]
    ) -> None:
        super().__init__()
        wider = [conv(inputs, inner, act)] if inner != inputs else []
        depthwise = conv(inner, inner, act, side, stride, groups=inner)
        weighed = [Excite(inner)] if excite else []
        self.block = nn.Sequential(*wider, depthwise, *weighed, conv(inner, outputs, None))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.adds else y


def mobilenet_v3_large() -> nn.Sequential:
    """(N, 3, H, W) to (N, 960, H / 32, W / 32): what torchvision calls `features`."""
    parts, channels = [conv(3, 16, nn.Hardswish, 3, 2)], 16
    blocks: list[nn.Module] = []
    for side, stride, inner, outputs, excite, act in _BLOCKS:
        blocks.append(Bottleneck(channels, side, stride, inner, outputs, excite, act))
        channels = outputs
    return nn.Sequential(*parts, *blocks, conv(channels, CHANNELS, nn.Hardswish))
