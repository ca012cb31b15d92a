"""Training side of PQKD."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from edgekd.errors import Problem, ProblemsError
from edgekd.schema.io import CHANNELS
from edgekd.schema.load import parse
from edgekd.students.base import STORED
from edgekd.students.classifier.training import ClassifierStudent
from edgekd.students.pqkd.config import ModelConfig, TeacherConfig
from edgekd.students.pqkd.device import Device
from edgekd.students.pqkd.losses import blended
from edgekd.students.pqkd.network import CompactNet, deployed_net, folded, training_net
from edgekd.students.pqkd.statistics import of_the_batch, settle
from edgekd.students.pqkd.steering import Steering
from edgekd.students.pqkd.stored import save_stored
from edgekd.train.cache import Lesson

PROXY, SETTLE = 1, 2
"""Streams of training pictures beside those that are trained on."""


class PqkdStudent(ClassifierStudent):
    """A classifier of bases that photonic features mix, and its controls. QAT is distilled at the pooled features."""

    taps = ("pool",)

    def __init__(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> None:
        super().__init__({}, data, seed)
        self.config = checked(parse(ModelConfig, model, "model"))
        self.teacher: nn.Module | None = None
        self.taught = TeacherConfig()
        self.steering = Steering(self.config, self.device, seed, self.proxy) if self.conditioned else None

    @property
    def conditioned(self) -> bool:
        """Whether features mix the bases."""
        return self.config.kind == "pqkd"

    @cached_property
    def device(self) -> Device:
        """What gives the features."""
        return Device(self.config.photonic)

    @property
    def sizes(self) -> tuple[int, int]:
        """Channels of a picture, and classes."""
        return CHANNELS[self.task.color], len(self.task.loaded[0])

    def referred(self) -> dict[str, Any]:
        """The device's descriptor."""
        return {"photonic": self.device.described.plain()} if self.conditioned else {}

    def build(self) -> nn.Module:
        """The form that is trained, with fresh weights."""
        net = training_net(self.config, *self.sizes)
        if self.steering:
            net.photonic = self.steering.state()
        return net

    def deployed(self) -> nn.Module:
        """The form that is deployed, with fresh weights."""
        return deployed_net(self.config, *self.sizes)

    def steer(self, net: nn.Module, step: int, steps: int) -> None:
        """SPSA on the angles and new features, where it is time for them."""
        if self.steering:
            self.steering.advance(cast("CompactNet", net), step, steps)

    def fold(self, net: nn.Module, folder: Path) -> nn.Module:
        """The deployed form by the features of evaluation, with statistics for them; the stored form goes into
        `folder`."""
        trained = cast("CompactNet", net)
        if self.steering:
            self.steering.finish(trained)
        settle(trained, [self.inputs(self.batch(i, 64, SETTLE))[0] for i in range(self.config.settle)])
        save_stored(trained, self.config, self.sizes, folder / STORED)
        return folded(trained, deployed_net(self.config, *self.sizes))

    def proxy(self, net: nn.Module, number: int) -> float:
        """Loss on training pictures that are drawn anew for every number, by the batch's own statistics."""
        batch = self.batch(number, self.config.spsa.proxy, PROXY)
        place = next(net.parameters()).device
        with torch.no_grad(), of_the_batch(net):
            moved = {name: tensor.to(place) for name, tensor in batch.items()}
            return float(self.loss(net(*self.inputs(moved)), moved))

    def lesson(self, teacher: dict[str, Any]) -> Lesson | None:
        """None: it learns from other arms alone."""
        parse(TeacherConfig, teacher, "teacher")
        return None

    def follow(self, teacher: dict[str, Any], net: nn.Module) -> None:
        """Learn from this net's logits too."""
        self.taught, self.teacher = parse(TeacherConfig, teacher, "teacher"), net.eval()

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of the logits (N, C); with a teacher blended with the distance from its shares."""
        if self.teacher is None:
            return super().loss(outputs, batch)
        with torch.no_grad():
            said = self.teacher.to(outputs.device)(*self.inputs(batch))
        return blended(outputs, batch["class"], said, self.taught)


def checked(config: ModelConfig) -> ModelConfig:
    """The settings, which name convolutions that are there. Raises ProblemsError."""
    count = len(config.widths)
    if config.compressed != "all" and (wrong := [i for i in config.compressed if not 0 <= i < count]):
        message = f"there is no convolution {wrong[0]}"
        raise ProblemsError([Problem("model: compressed", message, f"0 to {count - 1}, or `all`")])
    return config
