"""Training side of Fast-HaMeR."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.errors import MissingError, RequestError
from edgekd.resources import sha256
from edgekd.schema.io import IoRecord
from edgekd.schema.load import parse
from edgekd.students.fast_hamer.config import ModelConfig, TeacherConfig
from edgekd.students.fast_hamer.crop import coloured, crop_of, cut, drawn, labels_in
from edgekd.students.fast_hamer.data.base import Hand
from edgekd.students.fast_hamer.hand.camera import project
from edgekd.students.fast_hamer.hand.torched import Skin, from_6d
from edgekd.students.fast_hamer.head import joined
from edgekd.students.fast_hamer.lesson import MAP, SEEN, Taught, lesson
from edgekd.students.fast_hamer.losses import POWERS, Trusted, apart, distance, middle, projected
from edgekd.students.fast_hamer.mean import mean_hand
from edgekd.students.fast_hamer.network import DeployedNet, HandNet, fold
from edgekd.students.fast_hamer.task import HandTask
from edgekd.students.fast_hamer.upstream import begin
from edgekd.students.simple import SimpleStudent
from edgekd.train.cache import Answers, Lesson

Batch = dict[str, Tensor]


class HandStudent(SimpleStudent):
    """Crops of hands, moved, turned and coloured; HaMeR's loss. QAT is distilled at the backbone's map."""

    taps = ("backbone",)

    def __init__(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> None:
        super().__init__(model, data, seed)
        self.config = parse(ModelConfig, model, "model")
        if self.config.start and not Path(self.config.start).is_file():
            raise MissingError(f"the checkpoint `{self.config.start}` does not exist", "name another in `model.start`")
        self.task = HandTask(data, seed)
        self.taught = TeacherConfig()
        self.master: Master | None = None
        self.answers: Taught | None = None

    def referred(self) -> dict[str, Any]:
        """What training begins with."""
        return {"start": sha256(Path(self.config.start))} if self.config.start else {}

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """The task's."""
        return self.task.io(shape)

    def build(self) -> nn.Module:
        """The training form with fresh weights, which counts from the mean hand of the training labels; or with those
        that `model.start` names. Raises RequestError where they do not fit."""
        mapped = self.taught.features > 0 and self.is_taught
        channels = self.master.channels if self.master else MAP[0]
        adapter = channels if mapped and self.taught.adapter == "student" else None
        net = HandNet(self.config, adapter, features=mapped)
        head = net.mano_head
        means = mean_hand(self.task.hand, self.task.known)
        for buffer, mean in zip((head.init_hand_pose, head.init_betas, head.init_cam), means, strict=True):
            buffer.copy_(torch.from_numpy(mean))
        if self.config.start:
            begin(net, Path(self.config.start))
        return net

    def deployed(self) -> nn.Module:
        """The deployed form with fresh weights."""
        return DeployedNet(self.config)

    def fold(self, net: nn.Module, folder: Path) -> nn.Module:
        """The deployed form of a trained net."""
        return fold(cast("HandNet", net))

    def lesson(self, teacher: dict[str, Any]) -> Lesson | None:
        """Every training hand, labelled or not; None where the teacher is another arm, or none."""
        config = parse(TeacherConfig, teacher, "teacher")
        outside = config.source and not config.source.startswith("arm:")
        return lesson(config, self.task.hands, self.task.config) if outside else None

    def learn(self, teacher: dict[str, Any], cache: Path) -> None:
        """From now on with the answers of a cache that was filled for `lesson`."""
        self.taught = parse(TeacherConfig, teacher, "teacher")
        self.answers = Taught(self.taught, self.task.config, Answers(cache))

    def follow(self, teacher: dict[str, Any], net: nn.Module) -> None:
        """Learn from this net's answers and its backbone's map too."""
        self.taught = parse(TeacherConfig, teacher, "teacher")
        self.master = Master(net.eval())

    @property
    def is_taught(self) -> bool:
        """Whether there is a teacher."""
        return self.master is not None or self.answers is not None

    @cached_property
    def skin(self) -> Skin:
        """The hand model, to train through."""
        return Skin(self.task.hand)

    @cached_property
    def training(self) -> list[Hand]:
        """What is drawn from: hands without labels only where a teacher speaks of them."""
        speaks = self.is_taught and (self.taught.outputs > 0 or self.taught.features > 0)
        found = [hand for hand in self.task.hands.training if speaks or hand.id in self.task.labelled]
        if not found:
            raise RequestError("nothing is left to train on", "raise `data.labelled`, or name a teacher")
        return found

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A crop (side, side, 3) and what is known of its hand; of a hand whose labels are not used nothing is."""
        hand, config = self.training[int(rng.integers(len(self.training)))], self.task.config
        number, view = self.answers.choose(hand, rng) if self.answers else (0, drawn(config, rng))
        crop = crop_of(hand, view)
        picture = coloured(cut(self.task.hands.picture(hand.picture), crop, config.side), view)
        known = labels_in(crop, hand, len(self.task.hand.template))
        if hand.id not in self.task.labelled:
            known |= {name: np.zeros_like(known[name]) for name in known if name.startswith("has_")}
        told = self.answers(hand, number, crop) if self.answers else {}
        return {"crop": picture, **known, **{f"taught_{name}": value for name, value in told.items()}}

    def loss(self, outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        """Distance from the labels; with a teacher also from its answers and its map."""
        outputs = joined(outputs)
        said, config = self.read(*outputs[:3]), self.config.loss
        wanted = {name: (batch[name], batch[f"has_{name}"]) for name in POWERS}
        if config.heat and len(outputs) > 3:
            *outputs, said["heat"] = outputs  # type: ignore[assignment]
        total = self.taught.labels * distance(said, wanted, config)
        if not self.is_taught:
            return total
        told, seen = self.told(batch)
        if self.taught.outputs:
            total = total + self.taught.outputs * distance(said, told, config)
        if len(outputs) > 3:
            total = total + self.taught.features * self._apart(outputs[3], seen)
        return total

    def told(self, batch: Batch) -> tuple[Trusted, Tensor]:
        """What the teacher says of a batch, and its map (N, C, h, w), which is empty where it has none."""
        if self.master is not None:
            *answers, seen = self.master(self.inputs(batch)[0])
            return trusted(self.read(*answers), torch.ones(len(seen), device=seen.device)), seen
        said = {name: batch[f"taught_{name}"] for name in POWERS if f"taught_{name}" in batch}
        if "rotations" in said and self.config.loss.vertices:
            vertices, landmarks = self.skin.to(said["shape"].device)(said["rotations"], said["shape"])
            said["vertices"] = vertices - landmarks[:, :1]
        return trusted(said, batch["taught_score"]), batch.get("taught_map", torch.empty(0))

    def _apart(self, mine: Tensor, taught: Tensor) -> Tensor:
        if self.answers and self.taught.align:
            mine = middle(mine, SEEN)
        if self.taught.adapter == "teacher":
            taught = projected(taught, mine.shape[1])
        return apart(mine, taught, self.taught.scaled)

    def read(self, *outputs: Tensor) -> Batch:
        """Either form's answers as hands, see `losses.Said`."""
        pose, shape, camera, *_ = joined(outputs)
        rotations = from_6d(pose.unflatten(1, (16, 6)))  # type: ignore[no-untyped-call]
        vertices, landmarks = self.skin.to(pose.device)(rotations, shape)
        root = landmarks[:, :1]
        return {
            "joints": landmarks - root, "vertices": vertices - root, "rotations": rotations, "shape": shape,
            "pixels": project(landmarks, camera),
        }  # fmt: skip


def trusted(said: Batch, score: Tensor) -> Trusted:
    """A teacher's answers, each hand (N,) trusted so far."""
    return {name: (value, score) for name, value in said.items()}


class Master:
    """Another net, frozen: its answers and its backbone's map."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.seen = net, torch.empty(0)
        net.get_submodule("backbone").register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, args: Any, out: Tensor) -> None:
        self.seen = out

    @property
    def channels(self) -> int:
        """Of its map."""
        return int(cast("DeployedNet", self.net).channels)

    def __call__(self, crop: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, S, S) to pose, shape, camera and the map (N, C, h, w), without gradient."""
        with torch.no_grad():
            answers = self.net.to(crop.device)(crop)
        return (*joined(answers), self.seen)
