"""LiteMedSAM (Ma et al. 2024, arXiv 2401.12974), by `edgekd fetch litemedsam`: a box in a crop of medical pictures.

On whole pictures of small objects it is worse than the ellipse in the box, so each box gets a crop of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgekd.errors import RequestError
from edgekd.graph.resize import Picture
from edgekd.graph.roi import Box, Roi, crop, region
from edgekd.students.picosam3.teachers.base import Answer
from edgekd.students.picosam3.teachers.sam_decoder import MaskDecoder
from edgekd.students.picosam3.teachers.tinyvit import ConvNorm, TinyViT
from edgekd.students.picosam3.upstream import read_state

SIDE = 256
"""Of the crop that the network sees, in pixels."""
MARGIN = 0.3
"""Of the crop around the box; found by measuring."""
LOOSE = 5
"""Pixels of the crop by which the box is widened on each side: in training its boxes were looser by up to so much
(`bbox_shift` of the authors' scripts), and tight ones get masks that are too small."""
FILE = "lite_medsam.pth"
"""Name of the weights in the fetched folder."""
_NAMES = {
    "image_encoder.patch_embed.seq.": "encoder.stem.",
    "image_encoder.": "encoder.",
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": "decoder.prompt.waves",
    "prompt_encoder.point_embeddings.2.weight": "decoder.prompt.corners.0",
    "prompt_encoder.point_embeddings.3.weight": "decoder.prompt.corners.1",
    "prompt_encoder.no_mask_embed.weight": "decoder.prompt.no_mask",
    "mask_decoder.output_hypernetworks_mlps.0.": "decoder.filter.",
    "mask_decoder.iou_token.weight": "decoder.iou_token",
    "mask_decoder.mask_tokens.weight": "decoder.mask_tokens",
    "mask_decoder.": "decoder.",
}
"""Beginnings of the checkpoint's names, and ours; the first that fits."""
_UNUSED = (
    "prompt_encoder.mask_downscaling.", "prompt_encoder.not_a_point_embed.", "prompt_encoder.point_embeddings.0.",
    "prompt_encoder.point_embeddings.1.", "mask_decoder.output_hypernetworks_mlps.1.",
    "mask_decoder.output_hypernetworks_mlps.2.", "mask_decoder.output_hypernetworks_mlps.3.",
)  # fmt: skip
"""For points, given masks and more than one answer."""


class LiteMedSam(nn.Module):
    """Crops and boxes to masks."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = TinyViT(), MaskDecoder()

    def forward(self, crops: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, 256, 256) in [0, 1], corners (N, 2, 2) as x, y in [0, 1], to logits (N, 256, 256) and IoU (N,)."""
        answer: tuple[Tensor, Tensor] = self.decoder(self.encoder(crops), corners)
        return answer


def load_litemedsam(path: Path) -> LiteMedSam:
    """The network with a checkpoint's weights, ready to answer. Raises MissingError or RequestError."""
    net = LiteMedSam()
    state = {_ours(name): value for name, value in read_state(path).items() if not name.startswith(_UNUSED)}
    try:
        net.load_state_dict(state)
    except RuntimeError:
        raise RequestError(f"`{path}` is no checkpoint of LiteMedSAM", "edgekd fetch litemedsam") from None
    return fused(net.eval())


def _ours(name: str) -> str:
    old = next((old for old in _NAMES if name.startswith(old)), "")
    return _NAMES.get(old, "") + name[len(old) :]


def fused(net: LiteMedSam) -> LiteMedSam:
    """The same with each batch norm inside its convolution, and those of one pixel as matrix products."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, ConvNorm):
                conv = fuse_conv_bn_eval(child.c, child.bn)
                setattr(module, name, Pointwise(conv) if conv.kernel_size == (1, 1) else conv)
    return net


class Pointwise(nn.Linear):
    """A 1x1 convolution as a product over pixels, which one CPU thread does much faster."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.in_channels, conv.out_channels)
        self.weight = nn.Parameter(conv.weight.flatten(1))
        self.bias = nn.Parameter(conv.bias) if conv.bias is not None else self.bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LiteMedSamTeacher:
    """Answers in a crop around each box, one crop a pass: on a CPU several at once take longer."""

    def __init__(self, net: LiteMedSam) -> None:
        self.net = net

    @torch.inference_mode()
    def __call__(self, picture: Picture, boxes: Sequence[Box]) -> list[Answer]:
        """An answer for each box in a picture (H, W, 3)."""
        return [self._ask(picture, box) for box in boxes]

    def _ask(self, picture: Picture, box: Box) -> Answer:
        roi = region(box, picture.shape[:2], MARGIN)
        crops, corners = encoded(picture, roi)[None], within(box, roi)[None]
        logits, scores = self.net(torch.from_numpy(crops), torch.from_numpy(corners))
        return Answer(logits[0].numpy(), roi, float(scores[0].clamp(0, 1)))


def encoded(picture: Picture, roi: Roi) -> NDArray[np.float32]:
    """A crop as the network takes it, (3, 256, 256): least value 0, largest 1."""
    pixels = crop(picture, roi, (SIDE, SIDE)).astype(np.float32).transpose(2, 0, 1)
    pixels -= pixels.min()
    return pixels / max(1.0, float(pixels.max()))


def within(box: Box, roi: Roi) -> NDArray[np.float32]:
    """A box's widened corners (2, 2) as x, y, shares of a region's sides."""
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y + h]]) - (roi.x, roi.y)
    loose = np.array([[-LOOSE], [LOOSE]]) / SIDE
    return (corners / (roi.width, roi.height) + loose).astype(np.float32)
