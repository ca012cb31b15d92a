"""The networks that benchmarks train, each with a real task; `EDGEKD_DATA` names the folder of data that do not ship.

restoration    U-Net with gates and added skips, denoises photographs (ships)
segmentation   U-Net of separable convolutions, batch norm, gated skips; nuclei against background (dsb2018_128.npz)
attention      inverted residuals, then learned queries that attend to their tokens; clothes (fashion_sprite900.npz)
classifier     separable convolutions, batch norm, residual adds, global pooling; digits (mnist.npz)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edgekd.errors import MissingError
from edgekd.graph.images import encode_picture, psnr
from edgekd.students.qdr.task import DenoiseTask
from edgekd.students.qdr.training import RestorationStudent
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Array = NDArray[Any]
Batch = dict[str, Tensor]


def conv(into: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch norm."""
    layer = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out))


def separable(into: int, out: int, stride: int = 1) -> nn.Sequential:
    """Depthwise, then 1x1, a ReLU behind each."""
    return nn.Sequential(conv(into, into, 3, stride, into), nn.ReLU(), conv(into, out, 1), nn.ReLU())


class SegmentationNet(nn.Module):
    """(N, 3, H, W) to logits (N, 1, H, W); sides divisible by `2 ** (len(widths) - 1)`."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 192, 320)) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = nn.Sequential(conv(3, widths[0]), nn.ReLU(inplace=True))
        self.down = nn.ModuleList(nn.Sequential(separable(a, b, 2), separable(b, b)) for a, b in pairs)
        self.up = nn.ModuleList(separable(b, a) for a, b in pairs)
        self.merge = nn.ModuleList(separable(a, a) for a, _ in pairs)
        self.gate = nn.ModuleList(nn.Conv2d(a, a, 1) for a, _ in pairs)
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.stem(x), []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for i in reversed(range(len(skips))):
            x = F.interpolate(self.up[i](x), scale_factor=2.0, mode="nearest")
            x = self.merge[i](x + skips[i] * torch.sigmoid(self.gate[i](skips[i])))
        return self.head(x)


class Inverted(nn.Module):
    """MobileNet's inverted residual: expand, depthwise, project, add where the shape is kept."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        wide = 3 * into
        self.body = nn.Sequential(
            conv(into, wide, 1), nn.ReLU(), conv(wide, wide, 3, stride, wide), nn.ReLU(), conv(wide, out, 1)
        )
        self.keeps = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.keeps else self.body(x)


class Attention(nn.Module):
    """Scaled dot products of several heads, written out so that every product can be quantized."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """(N, Q, C) and (N, T, C) to (N, Q, C)."""
        q, k, v = (
            linear(x).reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)
            for linear, x in ((self.q, queries), (self.k, tokens), (self.v, tokens))
        )
        weights = torch.softmax(q @ k.transpose(2, 3) * q.shape[-1] ** -0.5, -1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """Queries read from the tokens, then pass an MLP; normalised before each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(width), nn.LayerNorm(width), Attention(width, heads)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        queries = queries + self.attention(self.norm1(queries), tokens)
        return queries + self.fc2(F.gelu(self.fc1(self.norm2(queries))))


class AttentionNet(nn.Module):
    """(N, 1, H, W) to logits (N, classes): the mean of the decoded queries is classified."""

    def __init__(self, width: int = 48, layers: int = 2, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        half = width // 2
        self.stem = nn.Sequential(conv(channels, half, 3, 2), nn.ReLU())
        self.body = nn.Sequential(Inverted(half, half), Inverted(half, width, 2), Inverted(width, width))
        self.queries = nn.Parameter(torch.randn(1, 4, width) / 4)
        self.layers = nn.ModuleList(DecoderLayer(width, 4) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.body(self.stem(x)).flatten(2).transpose(1, 2)
        queries = self.queries.expand(x.shape[0], -1, -1)
        for layer in self.layers:
            queries = layer(queries, tokens)
        return self.head(self.norm(queries).mean(1))


class Classifier(nn.Module):
    """(N, 1, H, W) to logits (N, 10)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem, self.down = nn.Sequential(conv(1, width, 3, 2), nn.ReLU()), separable(width, 2 * width, 2)
        self.a, self.b = separable(width, width), separable(2 * width, 2 * width)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.down(x + self.a(x))
        return self.head((x + self.b(x)).mean((2, 3)))


@dataclass(frozen=True)
class Net:
    """A network with its task: batches `x`, `y` from the step alone, loss, evaluation, deployed shape."""

    about: str
    build: Callable[[], nn.Module]
    batch: Callable[[int, int], Batch]
    """Step and number of samples to a batch."""
    loss: Callable[[Tensor, Batch], Tensor]
    evalset: Callable[[], list[tuple[Array, Array]]]
    """Inputs of the deployed shape, and truths."""
    score: Callable[[Array, Array], float]
    """An output and its truth."""
    metric: str
    shape: tuple[int, int, int, int]
    steps: int
    size: int
    lr: float


def load(name: str, part: str) -> Array:
    """An array of a file in `EDGEKD_DATA`. Raises MissingError."""
    path = Path(os.environ.get("EDGEKD_DATA", ".")) / name
    if not path.is_file():
        raise MissingError(f"`{path}` does not exist", "set EDGEKD_DATA to the folder that holds it")
    with np.load(path) as file:
        return file[part]


def scaled(pictures: Array) -> Array:
    """uint8 (N, H, W, C) or (N, H, W) to float32 (N, C, H, W) in [-1, 1]."""
    pictures = pictures[..., None] if pictures.ndim == 3 else pictures
    return np.ascontiguousarray((pictures / np.float32(127.5) - np.float32(1)).transpose(0, 3, 1, 2))


@cache
def _denoiser() -> RestorationStudent:
    return RestorationStudent({}, {}, 0)


def noisy_patches(step: int, size: int) -> Batch:
    batch = _denoiser().batch(step, size)
    return {"x": batch["noisy"], "y": batch["clean"]}


@cache
def noisy_crops() -> list[tuple[Array, Array]]:
    task = DenoiseTask({}, 0)
    spec = task.io((256, 256)).inputs[0]
    return [(encode_picture(s.raw, spec), s.truth) for s in task.evalset()]


def picture_score(output: Array, truth: Array) -> float:
    picture = np.rint(np.clip((output[0].transpose(1, 2, 0) + 1) * 127.5, 0, 255)).astype(np.uint8)
    return psnr(picture, truth)


@cache
def nuclei() -> tuple[Array, Array]:
    masks = load("dsb2018_128.npz", "label") > 0
    return scaled(load("dsb2018_128.npz", "x")), masks[:, None].astype(np.float32)


def nuclei_crops(step: int, size: int, side: int = 96) -> Batch:
    """Flipped, transposed crops; every seventh picture is kept for evaluation."""
    rng, (pictures, masks) = np.random.default_rng([1, step]), nuclei()
    parts = []
    for i in rng.choice(np.flatnonzero(np.arange(len(pictures)) % 7), size):
        y, x = rng.integers(0, 128 - side + 1, 2)
        both = np.concatenate([pictures[i], masks[i]])[:, y : y + side, x : x + side]
        both = both[:, :: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        parts.append(both.transpose(0, 2, 1) if rng.random() < 0.5 else both)
    stacked = torch.from_numpy(np.stack(parts))
    return {"x": stacked[:, :3].contiguous(memory_format=torch.channels_last), "y": stacked[:, 3:]}


def mask_loss(output: Tensor, batch: Batch) -> Tensor:
    """Cross entropy plus one minus soft Dice."""
    share, y = torch.sigmoid(output), batch["y"]
    dice = 2 * (share * y).sum() / (share.sum() + y.sum() + 1)
    return F.binary_cross_entropy_with_logits(output, y) + 1 - dice


def dice(output: Array, truth: Array) -> float:
    """Of the mask where the logit is positive, in percent."""
    mask, wanted = output > 0, truth > 0
    return float(100 * (2 * (mask & wanted).sum() + 1) / (mask.sum() + wanted.sum() + 1))


@cache
def labelled(name: str) -> tuple[Array, Array, Array, Array]:
    """Training and evaluation pictures padded to 32 x 32, with labels; of sprites every third is for evaluation."""
    if name == "mnist.npz":
        x, y, x_test, y_test = (load(name, part) for part in ("x_train", "y_train", "x_test", "y_test"))
        x, y, x_test, y_test = x[:20000], y[:20000], x_test[:1000], y_test[:1000]
    else:
        x, y = load(name, "x"), load(name, "y")
        held = np.arange(len(x)) % 3 == 0
        x, y, x_test, y_test = x[~held], y[~held], x[held], y[held]
    pad = ((0, 0), (2, 2), (2, 2))
    return scaled(np.pad(x, pad)), y.astype(np.int64), scaled(np.pad(x_test, pad)), y_test.astype(np.int64)


def shifted(name: str, mirror: bool) -> Callable[[int, int], Batch]:
    """Batches of pictures moved by up to two pixels, mirrored where that keeps their class."""

    def batch(step: int, size: int) -> Batch:
        rng, (x, y, _, _) = np.random.default_rng([2, step]), labelled(name)
        chosen = rng.integers(0, len(x), size)
        moved = [np.roll(x[i], rng.integers(-2, 3, 2), (1, 2)) for i in chosen]
        turned = [p[:, :, ::-1] if mirror and rng.random() < 0.5 else p for p in moved]
        return {"x": torch.from_numpy(np.stack(turned)), "y": torch.from_numpy(y[chosen])}

    return batch


def labelled_test(name: str) -> Callable[[], list[tuple[Array, Array]]]:
    return lambda: [(x[None], y) for x, y in zip(*labelled(name)[2:], strict=True)]


def class_loss(output: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(output, batch["y"])


def right(output: Array, truth: Array) -> float:
    return float(100 * (output.argmax() == truth))


NETS: dict[str, Net] = {
    "restoration": Net(
        "U-Net with gates, denoising, sigma 25", lambda: _denoiser().build(), noisy_patches,
        lambda out, batch: (out - batch["y"]).abs().mean(), noisy_crops, picture_score, "PSNR, dB",
        (1, 3, 256, 256), steps=600, size=8, lr=4e-3,
    ),
    "segmentation": Net(
        "separable U-Net with batch norm and gates, nuclei", SegmentationNet, nuclei_crops, mask_loss,
        lambda: [(x[None], y[None]) for x, y in zip(*(part[::7] for part in nuclei()), strict=True)], dice, "Dice, %",
        (1, 3, 128, 128), steps=150, size=8, lr=4e-3,
    ),
    "attention": Net(
        "inverted residuals and an attention decoder, clothes", AttentionNet,
        shifted("fashion_sprite900.npz", mirror=True), class_loss, labelled_test("fashion_sprite900.npz"), right,
        "accuracy, %", (1, 1, 32, 32), steps=500, size=32, lr=2e-3,
    ),
    "classifier": Net(
        "separable, batch norm, residual adds, digits", Classifier, shifted("mnist.npz", mirror=False), class_loss,
        labelled_test("mnist.npz"), right, "accuracy, %", (1, 1, 32, 32), steps=400, size=64, lr=4e-3,
    ),
}  # fmt: skip
