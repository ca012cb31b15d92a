"""The network: 3 x 3 convolutions, some made of a few bases. Forms and sizes are ours, "compact CNN" is the paper's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.students.classifier.network import Pool
from edgekd.students.pqkd.config import ModelConfig
from edgekd.students.pqkd.mixing import Direction, mixing, scale

SIZE = 3
"""Side of a kernel."""


@dataclass(frozen=True)
class Layer:
    """One convolution: its number, channels, whether it is pooled, and its rank, 0 where it is an ordinary one."""

    number: int
    inputs: int
    outputs: int
    pooled: bool
    rank: int

    def factorised(self, form: str) -> bool:
        """Whether it is deployed as two convolutions. `auto`: where they multiply less, R / O + R / k^2 < 1; ours."""
        fewer = self.rank / self.outputs + self.rank / SIZE**2 < 1
        return self.rank > 0 and (form == "factorised" or (form == "auto" and fewer))


def layers(config: ModelConfig, channels: int) -> list[Layer]:
    """The convolutions; behind the last of each width, sides are halved."""
    inputs = (channels, *config.widths[:-1])
    pooled = (*(a != b for a, b in pairwise(config.widths)), True)
    chosen = range(len(inputs)) if config.compressed == "all" else config.compressed
    ranks = (config.rank if config.kind != "plain" and i in chosen else 0 for i in range(len(inputs)))
    return [Layer(i, *row) for i, row in enumerate(zip(inputs, config.widths, pooled, ranks, strict=True))]


class DictionaryConv2d(nn.Module):
    """`W[o, i] = sum_r M[o, i, r] B_r`: trained bases B, and M trained too (`learned`) or set from outside."""

    mixing: Tensor

    def __init__(self, layer: Layer, learned: bool) -> None:
        super().__init__()
        self.layer = layer
        self.bases = nn.Parameter(torch.randn(layer.rank, SIZE, SIZE) / layer.rank**0.5)
        begin = torch.randn(layer.outputs, layer.inputs, layer.rank) * scale(layer.inputs, SIZE)
        if learned:
            self.mixing = nn.Parameter(begin)
        else:
            self.register_buffer("mixing", torch.zeros_like(begin))

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) to (N, O, H, W)."""
        weight = torch.einsum("oir,rhw->oihw", self.mixing, self.bases)
        return nn.functional.conv2d(x, weight, padding=SIZE // 2)


class Factorised(nn.Module):
    """The same function as two convolutions: every input channel through every basis, then a mix of all."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        inner = layer.inputs * layer.rank
        self.depth = nn.Conv2d(layer.inputs, inner, SIZE, padding=SIZE // 2, groups=layer.inputs, bias=False)
        self.point = nn.Conv2d(inner, layer.outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) to (N, O, H, W)."""
        y: Tensor = self.point(self.depth(x))
        return y


class Photonic(nn.Module):
    """What a conditioned net remembers of its circuit: angles in radians, and the moving average of features."""

    angles: Tensor
    features: Tensor

    def __init__(self, angles: NDArray[np.float64], features: int) -> None:
        super().__init__()
        self.register_buffer("angles", torch.from_numpy(angles.copy()))
        self.register_buffer("features", torch.zeros(features, dtype=torch.float64))


class CompactNet(nn.Module):
    """Picture in, logits out: (N, channels, H, W) in [-1, 1] to (N, classes)."""

    def __init__(self, rows: Sequence[Layer], make: Callable[[Layer], nn.Module], classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_block(row, make(row)) for row in rows))
        self.pool = Pool()
        self.head = nn.Linear(rows[-1].outputs, classes)
        self.photonic: Photonic | None = None

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, classes)."""
        logits: Tensor = self.head(self.pool(self.blocks(image)))
        return logits


def training_net(config: ModelConfig, channels: int, classes: int) -> CompactNet:
    """The form that is trained."""

    def make(row: Layer) -> nn.Module:
        return DictionaryConv2d(row, config.kind == "dictionary") if row.rank else _conv(row)

    return CompactNet(layers(config, channels), make, classes)


def deployed_net(config: ModelConfig, channels: int, classes: int) -> CompactNet:
    """The form that is deployed."""

    def make(row: Layer) -> nn.Module:
        return Factorised(row) if row.factorised(config.form) else _conv(row)

    return CompactNet(layers(config, channels), make, classes)


def _block(row: Layer, conv: nn.Module) -> nn.Sequential:
    parts = OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(row.outputs), act=nn.ReLU())
    return nn.Sequential(parts | ({"halve": nn.MaxPool2d(2)} if row.pooled else {}))


def _conv(row: Layer) -> nn.Module:
    return nn.Conv2d(row.inputs, row.outputs, SIZE, padding=SIZE // 2, bias=False)


def dictionaries(net: nn.Module) -> dict[str, DictionaryConv2d]:
    """The compressed convolutions by name."""
    return {name: module for name, module in net.named_modules() if isinstance(module, DictionaryConv2d)}


def condition(net: nn.Module, towards: Direction, seed: int) -> None:
    """Set what mixes the bases to what a direction of features comes to."""
    for conv in dictionaries(net).values():
        found = mixing(towards, seed, conv.layer.number, cast("tuple[int, int, int]", tuple(conv.mixing.shape)))
        conv.mixing.copy_(torch.from_numpy(found))


def folded(net: CompactNet, deployed: CompactNet) -> CompactNet:
    """`deployed` with the weights that `net` comes to, the same bits on any machine."""
    state = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
    for name in dictionaries(net):
        mixed, bases = (state.pop(f"{name}.{part}").numpy() for part in ("mixing", "bases"))
        split = isinstance(deployed.get_submodule(name), Factorised)
        weights = _parts(mixed, bases) if split else {"weight": dense(mixed, bases)}
        state |= {f"{name}.{part}": torch.from_numpy(weight) for part, weight in weights.items()}
    wanted = deployed.state_dict()
    deployed.load_state_dict({name: tensor for name, tensor in state.items() if name in wanted})
    return deployed


def dense(mixed: NDArray[np.float32], bases: NDArray[np.float32]) -> NDArray[np.float32]:
    """(O, I, R) and (R, k, k) to (O, I, k, k); basis by basis, so that no library chooses the order of the sum."""
    out = np.zeros((*mixed.shape[:2], *bases.shape[1:]), np.float32)
    for r, basis in enumerate(bases):
        out += mixed[:, :, r, None, None] * basis
    return out


def _parts(mixed: NDArray[np.float32], bases: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    depth = np.tile(bases, (mixed.shape[1], 1, 1))[:, None]
    return {"depth.weight": depth, "point.weight": mixed.reshape(len(mixed), -1, 1, 1).copy()}
