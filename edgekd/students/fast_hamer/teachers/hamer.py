"""HaMeR as a teacher: in evaluation mode, one pass a crop; ours, for the authors' stays in training mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.crop import Crop, cut
from edgekd.students.fast_hamer.hand.camera import project
from edgekd.students.fast_hamer.hand.model import JOINTS, HandModel
from edgekd.students.fast_hamer.hand.rotations import from_6d
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.task import MEAN, STD
from edgekd.students.fast_hamer.teachers.base import Answer
from edgekd.students.fast_hamer.teachers.hamer_net import SIDE, HamerNet


class HamerTeacher:
    """Answers by the hand model that its rotations and shapes are about, MANO's."""

    def __init__(self, net: HamerNet, hand: HandModel) -> None:
        self.net, self.hand = net.eval(), hand

    @torch.inference_mode()
    def __call__(self, picture: Picture, crops: Sequence[Crop]) -> list[Answer]:
        """An answer, map and all, for each crop of a picture (H, W, 3)."""
        return [self._ask(picture, crop) for crop in crops]

    def _ask(self, picture: Picture, crop: Crop) -> Answer:
        pixels = (cut(picture, crop, SIDE) / 255 - MEAN) / STD
        said = self.net(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)))
        pose, shape, camera, seen = (tensor[0].numpy() for tensor in said)
        rotations = from_6d(pose.reshape(JOINTS, 6))
        landmarks = skin(self.hand, rotations[None], shape[None])[1][0]
        return Answer(landmarks, project(landmarks, camera), 1.0, rotations, shape, seen)
