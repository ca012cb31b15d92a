"""The students: a backbone and HaMeR's decoder (Fast-HaMeR, arXiv 2603.16444), as they are trained and as they ship."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from edgekd.errors import RequestError
from edgekd.students.fast_hamer.backbones import build
from edgekd.students.fast_hamer.config import ModelConfig
from edgekd.students.fast_hamer.deployed import DeployedHead, deployed
from edgekd.students.fast_hamer.head import Answer, ManoHead

LANDMARKS = 21


class HandNet(nn.Module):
    """A crop of a right hand, (N, 3, S, S), S a multiple of the backbone's stride, to `Answer`, in training form.

    With `features` the backbone's map (N, C, h, w) is a fourth answer, for distillation; with `adapter` that map goes
    through a 1x1 convolution to so many channels, the teacher's, first. Where the loss asks for it the last answer is a
    map of each landmark (N, 21, h, w).
    """

    def __init__(self, config: ModelConfig, adapter: int | None = None, features: bool = False) -> None:
        super().__init__()
        self.config, self.features = config, features or adapter is not None
        self.backbone, channels = build(config)
        self.places = _places(config, channels)
        self.mano_head = ManoHead(config.head, channels)
        self.adapter = nn.Identity() if adapter is None else nn.Conv2d(channels, adapter, 1)
        self.heat = nn.Conv2d(channels, LANDMARKS, 1) if config.loss.heat else None

    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, S, S) to pose, shape and camera, and the map where it is asked for."""
        seen = self.backbone(crop)
        answer: Answer = self.mano_head(placed(seen, self.places))
        heat = [] if self.heat is None else [self.heat(seen)]
        return (*answer, *([self.adapter(seen)] if self.features else []), *heat)


class DeployedNet(nn.Module):
    """The same function of a crop as it is deployed: (N, 3, S, S) to pose (N, 96), shape (N, 10) and the
    camera's scale (N, 1) and place (N, 2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.backbone, self.channels = build(config)
        self.places = _places(config, self.channels)
        self.head = DeployedHead(config.head, self.channels)

    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
        """A crop each to pose, shape, scale and place."""
        seen = self.backbone(crop)
        return tuple(self.head(placed(seen, self.places)))


def _places(config: ModelConfig, channels: int) -> nn.Parameter | None:
    """What tells the decoder where on the map a place is, (1, C, n, n); ours: a small net's padding hardly does."""
    n = config.places
    return nn.Parameter(torch.randn(1, channels, n, n)) if n else None


def placed(seen: Tensor, places: Tensor | None) -> Tensor:
    """A map (N, C, h, w) with what tells its places. Raises RequestError where those are of another size."""
    if places is None:
        return seen
    (height, width), n = seen.shape[2:], places.shape[2]
    if (height, width) != (n, n):
        hint = f"set it to {height}, and `deploy.shape` to `data.side`" if height == width else "set it to 0"
        raise RequestError(f"`model.places` is {n}, but the backbone's map is {height} x {width}", hint)
    return seen + places


def fold(net: HandNet) -> DeployedNet:
    """The deployed form of a trained net, adapter left out; the net stays as it is."""
    made = DeployedNet(net.config)
    made.backbone, made.head = copy.deepcopy(net.backbone), deployed(net.mano_head)
    made.places = copy.deepcopy(net.places)
    return made.eval()
