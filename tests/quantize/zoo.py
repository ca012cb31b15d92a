"""Networks with random weights that hold what real ones hold, and a few that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from benchmarks.nets import AttentionNet, SegmentationNet, conv
from edgekd.students.qdr.network import RestorationNet
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def image(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    return (torch.rand(batch, 3, height, width) * 2 - 1,)


@dataclass(frozen=True)
class Case:
    """A network, how its inputs look at a size, and whether power-of-two scales must give every code exactly.

    Where LayerNorm, softmax or GELU compute in float32 between the codes, two libraries may differ in the last bit.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[int, int, int], tuple[Tensor, ...]] = image
    exact: bool = True
    small: tuple[int, int] = (32, 32)
    large: tuple[int, int] = (48, 64)


class MobileBlock(nn.Module):
    """Inverted residual with squeeze-and-excitation and hard-swish."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand, self.depth = conv(width, 2 * width, 1), conv(2 * width, 2 * width, 5, 1, 2 * width)
        self.squeeze, self.excite = nn.Conv2d(2 * width, 8, 1), nn.Conv2d(8, 2 * width, 1)
        self.project, self.act = conv(2 * width, width, 1), nn.Hardswish(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.depth(self.act(self.expand(x))))
        share = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        return x + self.project(y * share)


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, 3, 2), nn.Hardswish())
        self.blocks, self.drop = nn.Sequential(MobileBlock(8), MobileBlock(8)), nn.Dropout(0.2)
        self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.stem(x)).mean((2, 3))
        return self.fc2(self.drop(F.hardswish(self.fc1(y))))


class TransposedNet(nn.Module):
    """ConvTranspose, Concat, Split, Chunk, and one in-place ReLU used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.up, self.merge = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 12, 3, 1, 1)
        self.act, self.head = nn.ReLU(inplace=True), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.act(self.a(x))
        y = torch.cat([skip, self.up(self.act(self.b(skip)))], 1)
        first, second = self.merge(y).chunk(2, 1)
        left, right = torch.split(first + second, [4, 2], 1)
        return self.head(torch.cat([right, left], 1))


class BilinearNet(nn.Module):
    """Bilinear upsampling to the size of a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.c, self.head = nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.a(x))
        b = F.relu(self.b(a))
        y = F.interpolate(F.relu(self.c(b)), size=b.shape[2:], mode="bilinear", align_corners=False) + b
        return self.head(F.interpolate(y, size=a.shape[2:], mode="bilinear", align_corners=False) + a)


def picture_and_map(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    return (*image(batch, height, width), torch.rand(batch, 1, height // 2, width // 2) * 2 - 1)


class ManyNet(nn.Module):
    """Two inputs, a dict of three outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(1, 8, 3, 1, 1)
        self.mask, self.edge, self.label = nn.Conv2d(8, 1, 1), nn.Conv2d(8, 2, 3, 1, 1), nn.Linear(8, 5)

    def forward(self, picture: Tensor, depth: Tensor) -> dict[str, Tensor]:
        y = F.relu(self.a(picture) + self.b(depth))
        return {"mask": torch.sigmoid(self.mask(y)), "edge": self.edge(y), "label": self.label(y.mean((2, 3)))}


class DetectionNet(nn.Module):
    """Heads at two scales: permuted, reshaped, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)])
        self.scores = nn.ModuleList([nn.Conv2d(8, 6, 3, 1, 1), nn.Conv2d(16, 6, 3, 1, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(16, 8, 3, 1, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, boxes = [], []
        for stage, score, box in zip(self.stages, self.scores, self.boxes, strict=True):
            x = F.relu(stage(x))
            scores.append(score(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 3))
            boxes.append(box(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
        return torch.cat(scores, 1), torch.cat(boxes, 1)


class SiluNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Sequential(conv(3, 8, 3, 2), nn.SiLU()), nn.Sequential(conv(8, 8), nn.SiLU(True))
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        return self.head(F.max_pool2d(y + self.b(y), 2))


class TrainingOnlyNet(nn.Module):
    """Drop path written inline, and an auxiliary head: both exist in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.head, self.aux = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = F.relu(self.a(x))
        y = self.b(x)
        if self.training:
            y = y * (torch.rand(y.shape[0], 1, 1, 1) < 0.8) / 0.8
        y = F.relu(x + y)
        return (self.head(y), self.aux(x)) if self.training else self.head(y)


class GroupedNet(nn.Module):
    """A grouped ConvTranspose: its output channels do not lie along one axis of its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.up = nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 8, 2, 2, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.relu(self.a(x)))


NETS: dict[str, Case] = {
    "restoration": Case(lambda: RestorationNet("xs", "spatial")),
    "segmentation": Case(lambda: SegmentationNet((8, 16, 32))),
    "mobilenet": Case(MobileNet),
    "transposed": Case(TransposedNet),
    "bilinear": Case(BilinearNet),
    "several inputs and outputs": Case(ManyNet, picture_and_map),
    "detection": Case(DetectionNet),
    "attention": Case(lambda: AttentionNet(16, layers=1, channels=3), exact=False),
    "silu": Case(SiluNet),
    "grouped": Case(GroupedNet),
    "training only": Case(TrainingOnlyNet),
}


class PositionNet(nn.Module):
    """A position table that fits one size."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.table = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 64, 8))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.a(x).flatten(2).transpose(1, 2)
        return self.head(tokens + self.table)  # refused: PositionNet


class DataDependentNet(nn.Module):
    """Asks a tensor which way to go."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if y.mean() > 0:  # refused: DataDependentNet
            y = F.relu(y)
        return y


class CumulativeNet(nn.Module):
    """An operator with no integer arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cumsum(F.relu(self.a(x)), 3)  # refused: CumulativeNet
        return self.head(y)


class SizedNet(nn.Module):
    """Another operator at larger sizes: all later ones of its kind would take the wrong quantizer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if x.shape[3] > 40:
            y = y + y  # refused: SizedNet
        return self.b(y + 1.0)
