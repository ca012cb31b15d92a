"""Networks with what captures stumble over."""

import torch
from edgekd.schema.target import Arithmetic, Scale
from torch import nn


def scaled(arithmetic: Arithmetic, scale: Scale = "power-of-two") -> Arithmetic:
    """The arithmetic with these scales everywhere."""
    parts = ("weights", "activations")
    return arithmetic.model_copy(
        update={part: getattr(arithmetic, part).model_copy(update={"scale": scale}) for part in parts}
    )


class Branches(nn.Module):
    """In-place ReLU used twice, a skip, nearest upsampling, pooling, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.out = nn.ReLU(inplace=True), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        skip = self.act(self.a(x))
        y = nn.functional.interpolate(self.act(self.b(skip)), scale_factor=2.0, mode="nearest")
        y = torch.relu(skip + self.c(y)) * torch.sigmoid(self.c(skip))
        return self.out(y)


class Mixed(nn.Module):
    """BatchNorm with and without a conv bias, depthwise, Concat, ConvTranspose, dropout, pooling, Linear, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.na = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.b, self.nb = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.merge, self.drop = nn.Conv2d(7, 8, 1), nn.Dropout(0.2)
        self.pool, self.fc1, self.fc2 = nn.MaxPool2d(2), nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        y = torch.relu(self.na(self.a(x)))
        y = torch.relu(self.nb(self.b(y)))
        y = torch.cat([torch.relu(self.up(y)), x], 1)
        y = self.pool(self.drop(torch.relu(self.merge(y))))
        y = torch.relu(self.fc1(y.mean((2, 3))))
        return torch.softmax(self.fc2(y), -1)
