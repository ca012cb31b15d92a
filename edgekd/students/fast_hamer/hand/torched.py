"""Rotations and skinning in torch, to train through: `rotations.from_6d` and `skinning.skin`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from edgekd.students.fast_hamer.hand.model import LANDMARKS, HandModel


def from_6d(six: Tensor) -> Tensor:
    """(..., 6) to (..., 3, 3)."""
    first, second = normalize(six[..., :3], dim=-1), six[..., 3:]
    second = normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second, dim=-1)], -1)


class Skin(nn.Module):
    """A hand model posed; its arrays are in no state, so that none gets into a checkpoint."""

    template: Tensor
    shapedirs: Tensor
    posedirs: Tensor
    regressor: Tensor
    weights: Tensor

    def __init__(self, model: HandModel) -> None:
        super().__init__()
        self.tips = list(model.tips)
        for name in ("template", "shapedirs", "posedirs", "regressor", "weights"):
            self.register_buffer(name, torch.from_numpy(getattr(model, name)), persistent=False)

    def forward(self, rotations: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 16, 3, 3) and (N, 10) to vertices (N, V, 3) and landmarks (N, 21, 3), in metres."""
        shaped = self.template + torch.tensordot(shape, self.shapedirs, ([1], [2]))
        joints = self.regressor @ shaped
        bent = (rotations[:, 1:] - torch.eye(3, device=shape.device)).flatten(1)
        posed = shaped + torch.tensordot(bent, self.posedirs, ([1], [2]))
        turns, places = _chain(rotations, joints)
        offsets = places - (turns @ joints[..., None])[..., 0]
        moves = self.weights @ torch.cat([turns.flatten(2), offsets], 2)
        vertices = (moves[..., :9].reshape(*posed.shape, 3) * posed[:, :, None]).sum(-1) + moves[..., 9:]
        return vertices, torch.cat([places, vertices[:, self.tips]], 1)[:, list(LANDMARKS)]


def _chain(rotations: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    turn, place, before = rotations[:, :1], joints[:, :1], joints[:, :1]
    turns, places = [], []
    for k in range(1, 4):  # the first joints of all fingers, then the second, the third
        here = joints[:, k::3]
        place = place + (turn * (here - before)[:, :, None]).sum(-1)
        turn, before = turn @ rotations[:, k::3], here
        turns.append(turn)
        places.append(place)
    fingers = torch.stack(turns, 2).flatten(1, 2), torch.stack(places, 2).flatten(1, 2)
    return torch.cat([rotations[:, :1], fingers[0]], 1), torch.cat([joints[:, :1], fingers[1]], 1)
