"""TinyViT (Wu et al. 2022, arXiv 2207.10666) as LiteMedSAM has it: no stride in the stem, embeddings at a quarter.

All maps are (N, C, H, W), laid out channels last. Names are the checkpoint's where it has them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

WIDTHS = (64, 128, 160, 320)
DEPTHS = (2, 2, 6, 2)
HEADS = (0, 4, 5, 10)
WINDOWS = (0, 7, 14, 7)
STRIDES = (2, 2, 1)
"""Behind each stage but the last."""
EMBEDDING = 256
"""Channels of the picture's embedding."""


class ConvNorm(nn.Module):
    """A convolution without bias and its batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        out: Tensor = self.bn(self.c(x))
        return out


def depthwise(channels: int, stride: int = 1) -> ConvNorm:
    """3x3, one kernel a channel."""
    return ConvNorm(channels, channels, 3, stride, groups=channels)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Inverted(nn.Module):
    """Widening by four, depthwise, narrowing; added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvNorm(channels, 4 * channels), depthwise(4 * channels)
        self.conv3, self.act = ConvNorm(4 * channels, channels), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        wide = self.act(self.conv2(self.act(self.conv1(x))))
        out: Tensor = self.act(x + self.conv3(wide))
        return out


class Merge(nn.Module):
    """To the next stage's width and stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvNorm(inputs, outputs), depthwise(outputs, stride)
        self.conv3, self.act = ConvNorm(outputs, outputs), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        out: Tensor = self.conv3(self.act(self.conv2(self.act(self.conv1(x)))))
        return out


class WindowAttention(nn.Module):
    """Self-attention inside square windows, biased by how far two pixels lie apart each way."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm, self.qkv = nn.LayerNorm(channels), nn.Linear(channels, 3 * channels)
        self.proj, self.attention_biases = nn.Linear(channels, channels), nn.Parameter(torch.zeros(heads, window**2))
        rows, columns = torch.arange(window**2).div(window, rounding_mode="floor"), torch.arange(window**2) % window
        apart = (rows[:, None] - rows).abs() * window + (columns[:, None] - columns).abs()
        self.apart: Tensor
        self.register_buffer("apart", apart, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to the same; zeros fill the last windows and are attended to, as in training."""
        n, h, w, c = x.shape
        side = self.window
        x = pad(x, (0, 0, 0, -w % side, 0, -h % side))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.reshape(n, rows, side, columns, side, c).transpose(2, 3).reshape(-1, side**2, c)
        x = self.attend(x).reshape(n, rows, columns, side, side, c).transpose(2, 3)
        return x.reshape(n, rows * side, columns * side, c)[:, :h, :w]

    def attend(self, x: Tensor) -> Tensor:
        """(windows, pixels, C) to the same."""
        b, pixels, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, pixels, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        out = scaled_dot_product_attention(q, k, v, self.attention_biases[:, self.apart][None])
        answer: Tensor = self.proj(out.transpose(1, 2).reshape(b, pixels, c))
        return answer


class Widened(nn.Module):
    """Each pixel through a layer four times as wide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.act = nn.LayerNorm(channels), nn.GELU()
        self.fc1, self.fc2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to the same."""
        out: Tensor = self.fc2(self.act(self.fc1(self.norm(x))))
        return out


class Block(nn.Module):
    """Attention in windows, a depthwise convolution across them, each pixel widened."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn, self.local_conv = WindowAttention(channels, heads, window), depthwise(channels)
        self.mlp = Widened(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        x = x + self.attn(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.local_conv(x)
        out: Tensor = x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class Stage(nn.Module):
    """Blocks of one width, then `downsample` where there is a next stage; without windows they are convolutions."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module) -> None:
        super().__init__()
        self.blocks, self.downsample = nn.Sequential(*blocks), downsample

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        out: Tensor = self.downsample(self.blocks(x))
        return out


class TinyViT(nn.Module):
    """A picture's embedding."""

    def __init__(self) -> None:
        super().__init__()
        first, last = WIDTHS[0], WIDTHS[-1]
        self.stem = nn.Sequential(ConvNorm(3, first // 2), nn.GELU(), ConvNorm(first // 2, first))
        merges = [Merge(a, b, stride) for (a, b), stride in zip(pairwise(WIDTHS), STRIDES, strict=True)]
        self.layers = nn.Sequential(
            *(
                Stage([_block(*shape) for _ in range(depth)], merge)
                for depth, merge, *shape in zip(DEPTHS, [*merges, nn.Identity()], WIDTHS, HEADS, WINDOWS, strict=True)
            )
        )
        self.neck = nn.Sequential(
            nn.Conv2d(last, EMBEDDING, 1, bias=False),
            ChannelNorm(EMBEDDING),
            nn.Conv2d(EMBEDDING, EMBEDDING, 3, padding=1, bias=False),
            ChannelNorm(EMBEDDING),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 256, H / 4, W / 4)."""
        x = x.contiguous(memory_format=torch.channels_last)
        out: Tensor = self.neck(self.layers(self.stem(x)))
        return out


def _block(channels: int, heads: int, window: int) -> nn.Module:
    return Block(channels, heads, window) if window else Inverted(channels)
