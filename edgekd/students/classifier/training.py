"""Training side of the classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from edgekd.schema.io import CHANNELS, IoRecord
from edgekd.schema.load import parse
from edgekd.students.classifier.network import ClassifierNet
from edgekd.students.classifier.task import ClassifyTask, ModelConfig
from edgekd.students.simple import SimpleStudent


class ClassifierStudent(SimpleStudent):
    """Shifted and mirrored pictures; cross-entropy. QAT is distilled at the pooled features."""

    taps = ("pool",)

    def __init__(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> None:
        super().__init__(model, data, seed)
        self.width = parse(ModelConfig, model, "model").width
        self.task = ClassifyTask(data, seed)

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """The task's."""
        return self.task.io(shape)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return ClassifierNet(self.width, len(self.task.loaded[0]), CHANNELS[self.task.color])

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A picture (H, W) or (H, W, 3) and its class."""
        _, (pictures, classes), _ = self.task.loaded
        i, reach = int(rng.integers(len(classes))), self.task.config.shift
        y, x = (int(v) for v in rng.integers(0, 2 * reach + 1, 2))
        margins = [(reach, reach)] * 2 + [(0, 0)] * (pictures.ndim - 3)
        picture = np.pad(pictures[i], margins)[y : y + pictures.shape[1], x : x + pictures.shape[2]]
        mirrored = self.task.config.flip and rng.random() < 0.5
        return {"image": picture[:, ::-1] if mirrored else picture, "class": classes[i]}

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of the logits (N, C)."""
        return nn.functional.cross_entropy(outputs, batch["class"])
