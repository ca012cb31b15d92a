"""HaMeR's decoder of hands (Pavlakos et al. 2024, arXiv 2312.05251), with the names of its tensors, as it is trained.

One token asks the backbone's map in every layer. `deployed.py` holds the same function in fewer parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from edgekd.students.fast_hamer.config import HeadConfig

POSE, SHAPE, CAMERA = 96, 10, 3
"""Sixteen rotations of six numbers, MANO's shape coefficients, and scale and place in the crop."""
MEAN_CAMERA = (0.9, 0.0, 0.0)


class Answer(NamedTuple):
    """What is said of a hand."""

    pose: Tensor
    """(N, 96): for each joint the first column of its rotation, then the second, neither of length one."""
    shape: Tensor
    """(N, 10)."""
    camera: Tensor
    """(N, 3): scale, and place right and down."""


def joined(outputs: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Pose, shape and camera (N, 3) of either form's outputs, and what the training form gives beside."""
    pose, shape, camera, *rest = outputs
    if camera.shape[1] == 1:
        camera = torch.cat([camera, rest.pop(0)], 1)
    return pose, shape, camera, *rest


class SelfAttention(nn.Module):
    """Of one token: it attends to itself alone, so its value is the answer and queries and keys do nothing."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.to_qkv = nn.Linear(config.width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, config.width))

    def value(self) -> Tensor:
        """(heads * head width, width): the part of the weights that counts."""
        return self.to_qkv.weight.chunk(3)[2]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, width) to the same."""
        y: Tensor = self.to_out(linear(x, self.value()))
        return y


class CrossAttention(nn.Module):
    """The token asks the places of a map.

    One question is cheaper to take to the map's channels than the map to the question, `(K^T q) . x` in place of
    `q . (K x)`, and an answer cheaper to project once it is averaged. At the authors' sizes (960 channels, 64 places,
    512 inner) that is 2 M products a layer in place of 63 M. Ours.
    """

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()
        self.heads, inner = config.heads, config.heads * config.head_width
        self.scale = float(config.head_width) ** -0.5
        self.to_kv = nn.Linear(channels, 2 * inner, bias=False)
        self.to_q = nn.Linear(config.width, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, config.width))

    def weights(self) -> Tensor:
        """(2, heads, head width, C): of keys and of values."""
        return self.to_kv.weight.reshape(2, self.heads, -1, self.to_kv.in_features)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(N, 1, width) and (N, T, C) to (N, 1, width)."""
        keys, values = self.weights()
        asked = torch.einsum("nhd,hdc->nhc", self.to_q(x).reshape(len(x), self.heads, -1), keys)
        seen = torch.softmax(asked @ context.transpose(1, 2) * self.scale, dim=2) @ context
        y: Tensor = self.to_out(torch.einsum("nhc,hdc->nhd", seen, values).reshape(len(x), 1, -1))
        return y


class FeedForward(nn.Module):
    """Two linear layers; a third place is the dropout that upstream has."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        first, second = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)
        self.net = nn.Sequential(first, nn.GELU(), nn.Identity(), second)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, width) to the same."""
        y: Tensor = self.net(x)
        return y


class PreNorm(nn.Module):
    """A layer norm before a part."""

    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), fn

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """(N, 1, width) to the same."""
        y: Tensor = self.fn(self.norm(x), *context)
        return y


class Layers(nn.Module):
    """Self-attention, cross-attention, two linear layers, and again."""

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()

        def layer() -> nn.ModuleList:
            parts = SelfAttention(config), CrossAttention(config, channels), FeedForward(config)
            return nn.ModuleList(PreNorm(config.width, part) for part in parts)

        self.layers = nn.ModuleList(layer() for _ in range(config.depth))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(N, 1, width) and (N, T, C) to (N, 1, width)."""
        for attend, ask, think in (layer.children() for layer in self.layers):
            x = x + attend(x)
            x = x + ask(x, context)
            x = x + think(x)
        return x


class Decoder(nn.Module):
    """A token that begins as zero, and the layers."""

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()
        self.to_token_embedding = nn.Linear(1, config.width)
        self.pos_embedding = nn.Parameter(torch.randn(1, 1, config.width))
        self.transformer = Layers(config, channels)

    def token(self) -> Tensor:
        """(1, 1, width): the embedding of zero, and its position's."""
        return self.to_token_embedding.bias + self.pos_embedding

    def forward(self, context: Tensor) -> Tensor:
        """(N, T, C) to (N, width)."""
        out: Tensor = self.transformer(self.token().expand(len(context), -1, -1), context)
        return out[:, 0]


class ManoHead(nn.Module):
    """A backbone's map to a hand: what the token says is added to a mean hand, which a checkpoint may bring.

    The mean is ours where none does: no rotation, no shape, a scale of 0.9 in the middle of the crop.
    """

    init_hand_pose: Tensor
    init_betas: Tensor
    init_cam: Tensor

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        self.transformer = Decoder(config, channels)
        self.decpose, self.decshape, self.deccam = (nn.Linear(config.width, n) for n in (POSE, SHAPE, CAMERA))
        self.register_buffer("init_hand_pose", torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(POSE // 6)[None])
        self.register_buffer("init_betas", torch.zeros(1, SHAPE))
        self.register_buffer("init_cam", torch.tensor([MEAN_CAMERA]))
        for out in (self.decpose, self.decshape, self.deccam):  # ours: training begins near the mean hand
            nn.init.xavier_uniform_(out.weight, gain=0.01)
            nn.init.zeros_(out.bias)

    def forward(self, features: Tensor) -> Answer:
        """(N, C, h, w) to a hand each."""
        token = self.transformer(features.flatten(2).transpose(1, 2))
        pose, shape, camera = self.decpose(token), self.decshape(token), self.deccam(token)
        return Answer(self.init_hand_pose + pose, self.init_betas + shape, self.init_cam + camera)
