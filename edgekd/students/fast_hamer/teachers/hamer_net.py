"""HaMeR (Pavlakos et al. 2024, arXiv 2312.05251): a ViT-H of ViTPose's form, and the students' decoder."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from edgekd.students.fast_hamer.backbones.classes import library
from edgekd.students.fast_hamer.config import HeadConfig
from edgekd.students.fast_hamer.head import Answer, ManoHead

SIDE, CUT, PATCH = 256, 32, 16
"""Side of the crop, columns that are cut off on each side of it, and side of a patch."""


class VitConfig(NamedTuple):
    """Sizes of the transformer; the defaults are the published ones."""

    width: int = 1280
    layers: int = 32
    heads: int = 16


class VitPose(nn.Module):
    """A plain vision transformer. Raises MissingError without `transformers`."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        hf = library("hamer")
        self.net = hf.VitPoseBackbone(
            hf.VitPoseBackboneConfig(
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                image_size=(SIDE, SIDE - 2 * CUT),
                layer_norm_eps=1e-6,
            )
        )

    def forward(self, crop: Tensor) -> Tensor:
        """(N, 3, 256, 192) to (N, width, 16, 12)."""
        last: Tensor = self.net(pixel_values=crop).feature_maps[-1]
        return last.transpose(1, 2).reshape(len(crop), last.shape[2], SIDE // PATCH, -1)


class HamerNet(nn.Module):
    """A crop of a right hand, (N, 3, 256, 256), to pose, shape and camera as `Answer`'s, and the map (N, 1280, 16, 12).

    The map shows the crop's columns 32 to 224. 670.4 M parameters at the published sizes.
    """

    def __init__(self, vit: VitConfig | None = None, head: HeadConfig | None = None) -> None:
        super().__init__()
        vit = vit or VitConfig()
        self.backbone = VitPose(vit)
        self.mano_head = ManoHead(head or HeadConfig(), vit.width)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, 256, 256), values by ImageNet's mean and deviation."""
        seen = self.backbone(crop[..., CUT:-CUT])
        answer: Answer = self.mano_head(seen)
        return (*answer, seen)
