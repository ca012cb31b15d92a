"""Training side of the restoration student."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.graph.images import load_pictures
from edgekd.schema.load import parse
from edgekd.students.qdr.network import build
from edgekd.students.qdr.task import DataConfig, ModelConfig, add_noise


class RestorationStudent:
    """Patches of clean photographs with fresh noise; L1 on the picture."""

    taps = ("gate.3",)  # the bottleneck, after its gate

    def __init__(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> None:
        self.model = parse(ModelConfig, model, "model")
        self.data = parse(DataConfig, data, "data")
        self.seed = seed
        self._pictures: list[np.ndarray[Any, np.dtype[np.uint8]]] = []

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return build(self.model)

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """`noisy` and `clean`, (size, 3, patch, patch) in [-1, 1]; flipped, rotated, seeded per sample."""
        self._pictures = self._pictures or list(load_pictures(self.data.train).values())
        pairs = [self._pair(np.random.default_rng([self.seed, 0, step, i])) for i in range(size)]
        noisy, clean = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
        return {"noisy": _to_input(noisy), "clean": _to_input(clean)}

    def _pair(self, rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        picture = self._pictures[int(rng.integers(len(self._pictures)))]
        side = self.data.patch
        y, x = (int(rng.integers(0, extent - side + 1)) for extent in picture.shape[:2])
        patch = np.rot90(picture[y : y + side, x : x + side], int(rng.integers(4)))
        patch = patch[:, ::-1] if rng.random() < 0.5 else patch
        return add_noise(patch, self.data.sigma, rng), np.ascontiguousarray(patch)

    def inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The noisy patches."""
        return (batch["noisy"],)

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Mean absolute error on [-1, 1]."""
        return (outputs - batch["clean"]).abs().mean()


def _to_input(pixels: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) in [-1, 1]; a channels-last tensor, since H, W, 3 came that way."""
    return pixels.float().div(127.5).sub(1.0).permute(0, 3, 1, 2)
