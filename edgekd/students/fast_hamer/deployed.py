"""The decoder as it is deployed: the same function of the map in fewer parameters. Ours.

One token has one self-attention weight, 1, so its queries and keys go, and value and output projection are one matrix
where that is no larger. Before the first question the token is a constant: so are that question, which becomes one
row of weights a head, and what it is added to, which becomes a bias; the mean hand becomes a bias too. At the authors'
sizes (depth 6, width 1024, 960 channels) 37,531,757 parameters become 29,175,405.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from edgekd.students.fast_hamer.config import HeadConfig
from edgekd.students.fast_hamer.head import (
    CAMERA,
    POSE,
    SHAPE,
    CrossAttention,
    FeedForward,
    ManoHead,
    PreNorm,
    SelfAttention,
)

State = dict[str, Tensor]


class Ask(nn.Module):
    """Questions to a map, one a head, answered: softmax over places, mean of the map, its projection."""

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()
        self.heads, inner = config.heads, config.heads * config.head_width
        self.value = nn.Conv2d(config.heads * channels, inner, 1, groups=config.heads, bias=False)
        self.out = nn.Linear(inner, config.width)

    def forward(self, scores: Tensor, places: Tensor) -> Tensor:
        """(N, heads, T) and (N, C, T) to (N, width)."""
        seen = torch.softmax(scores, 2) @ places.transpose(1, 2)
        y: Tensor = self.out(self.value(seen.reshape(-1, self.value.in_channels, 1, 1)).flatten(1))
        return y


class First(nn.Module):
    """The first layer: its questions are the same for every picture."""

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()
        self.scores = nn.Conv2d(channels, config.heads, 1, bias=False)
        self.ask, self.think = Ask(config, channels), _think(config)

    def forward(self, features: Tensor, places: Tensor) -> Tensor:
        """(N, C, h, w) and the same as (N, C, T) to (N, width)."""
        x = self.ask(self.scores(features).flatten(2), places)
        out: Tensor = x + self.think(x)
        return out


class Layer(nn.Module):
    """A later layer."""

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()
        width, inner = config.width, config.heads * config.head_width
        self.attend = nn.Sequential(nn.LayerNorm(width), *_values(config))
        self.query = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner, bias=False))
        self.key = nn.Conv2d(inner, config.heads * channels, 1, groups=config.heads, bias=False)
        self.ask, self.think = Ask(config, channels), _think(config)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """(N, width) and (N, C, T) to (N, width)."""
        x = x + self.attend(x)
        asked = self.key(self.query(x)[:, :, None, None])
        x = x + self.ask(asked.reshape(-1, self.ask.heads, places.shape[1]) @ places, places)
        out: Tensor = x + self.think(x)
        return out


class DeployedHead(nn.Module):
    """A backbone's map to a hand, (N, C, h, w) to pose (N, 96), shape (N, 10), scale (N, 1) and place (N, 2).

    Scale and place are a camera apart: in eight bits one step for both would be as large as any place.
    """

    def __init__(self, config: HeadConfig, channels: int) -> None:
        super().__init__()
        self.first = First(config, channels)
        self.layers = nn.ModuleList(Layer(config, channels) for _ in range(config.depth - 1))
        sizes = (POSE, SHAPE, 1, CAMERA - 1)
        self.pose, self.shape, self.scale, self.place = (nn.Linear(config.width, n) for n in sizes)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """(N, C, h, w) to a hand each."""
        places = features.flatten(2)
        x = self.first(features, places)
        for layer in self.layers:
            x = layer(x, places)
        return self.pose(x), self.shape(x), self.scale(x), self.place(x)


def _think(config: HeadConfig) -> nn.Sequential:
    first, second = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)
    return nn.Sequential(nn.LayerNorm(config.width), first, nn.GELU(), second)


def _merges(config: HeadConfig) -> bool:
    """Whether value and output projection of self-attention are no larger as one matrix."""
    return config.width <= 2 * config.heads * config.head_width


def _values(config: HeadConfig) -> list[nn.Module]:
    width, inner = config.width, config.heads * config.head_width
    if _merges(config):
        return [nn.Linear(width, width)]
    return [nn.Linear(width, inner, bias=False), nn.Linear(inner, width)]


@torch.no_grad()
def deployed(head: ManoHead) -> DeployedHead:
    """The deployed form of a trained head; products of weights are taken in double precision."""
    made, exact = DeployedHead(head.config, head.channels), copy.deepcopy(head).double()
    state: State = {}
    for i, layer in enumerate(exact.transformer.transformer.layers):
        attend, ask, think = cast("list[PreNorm]", list(layer.children()))
        if i == 0:
            state |= _under("first", _first(exact, attend, ask) | _thinking(think))
        else:
            state |= _under(f"layers.{i - 1}", _later(head.config, attend, ask) | _thinking(think))
    for name, out, mean, rows in (
        ("pose", exact.decpose, exact.init_hand_pose, slice(None)),
        ("shape", exact.decshape, exact.init_betas, slice(None)),
        ("scale", exact.deccam, exact.init_cam, slice(0, 1)),
        ("place", exact.deccam, exact.init_cam, slice(1, None)),
    ):
        state |= {f"{name}.weight": out.weight[rows], f"{name}.bias": (out.bias + mean[0])[rows]}
    made.load_state_dict(state)
    return made.to(head.init_cam.device).eval()


def _under(name: str, state: Mapping[str, Tensor]) -> State:
    return {f"{name}.{key}": tensor for key, tensor in state.items()}


def _first(head: ManoHead, attend: PreNorm, ask: PreNorm) -> State:
    token = head.transformer.token()
    token = token + attend(token)
    cross = cast("CrossAttention", ask.fn)
    question = _scaled(cross, cross.to_q(ask.norm(token))).reshape(cross.heads, 1, -1)
    answered = _answers(cross)
    answered["ask.out.bias"] = answered["ask.out.bias"] + token.flatten()
    return {"scores.weight": (question @ cross.weights()[0])[:, 0, :, None, None]} | answered


def _later(config: HeadConfig, attend: PreNorm, ask: PreNorm) -> State:
    own, cross = cast("SelfAttention", attend.fn), cast("CrossAttention", ask.fn)
    value, out = own.value(), cast("nn.Linear", own.to_out[0])
    if _merges(config):
        attended = {"1.weight": out.weight @ value, "1.bias": out.bias}
    else:
        attended = {"1.weight": value, "2.weight": out.weight, "2.bias": out.bias}
    question = {"1.weight": _scaled(cross, cross.to_q.weight)}
    return (
        _under("attend", _under("0", attend.norm.state_dict()) | attended)
        | _under("query", _under("0", ask.norm.state_dict()) | question)
        | {"key.weight": cross.weights()[0].transpose(1, 2).flatten(0, 1)[:, :, None, None]}
        | _answers(cross)
    )


def _scaled(cross: CrossAttention, questions: Tensor) -> Tensor:
    """Times the softmax's scale."""
    scaled: Tensor = questions * cross.scale
    return scaled


def _answers(cross: CrossAttention) -> State:
    values = {"ask.value.weight": cross.weights()[1].flatten(0, 1)[:, :, None, None]}
    return values | _under("ask.out", cross.to_out[0].state_dict())


def _thinking(think: PreNorm) -> State:
    net = cast("FeedForward", think.fn).net
    parts = {"0": think.norm, "1": net[0], "3": net[3]}
    return {f"think.{name}.{key}": t for name, part in parts.items() for key, t in part.state_dict().items()}
