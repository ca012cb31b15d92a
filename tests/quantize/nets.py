"""Networks with what captures stumble over."""

import torch
from torch import nn


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
