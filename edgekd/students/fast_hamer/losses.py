"""What hands are taught by: distances of landmarks, rotations, shapes and meshes; against labels or a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from edgekd.students.fast_hamer.config import LossConfig

POWERS = {"joints": 1, "pixels": 1, "rotations": 2, "shape": 2, "vertices": 1}
"""What is compared, and to which power: HaMeR's choice, of which meshes are ours."""
Said = Mapping[str, Tensor]
"""Hands, by what is known of them: `joints` (N, 21, 3) and `vertices` (N, V, 3) in metres from the wrist on, `pixels`
(N, 21, 2) in sides of the crop, `rotations` (N, 16, 3, 3), `shape` (N, 10); maps of landmarks, `heat` (N, 21, h, w)."""
Trusted = Mapping[str, tuple[Tensor, Tensor]]
"""The same with how far each hand, or each landmark of it, is trusted: (N,) or (N, 21)."""


def distance(said: Said, wanted: Trusted, config: LossConfig) -> Tensor:
    """The weighted sum of distances from what is wanted, of what is known there.

    `reduce = "mean"`: of each kind the mean over what is trusted, so that neither batch nor mesh counts. `"sum"`: over
    hands and numbers alike, HaMeR's, of which the gradient grows with the batch.
    """
    parts = [torch.zeros(())]
    for name, power in POWERS.items():
        weight = getattr(config, name)
        if not weight or name not in wanted:
            continue
        target, trust = wanted[name]
        off = (said[name] - target).abs().pow(power).flatten(trust.dim())
        if config.reduce == "sum":
            parts.append(weight * (trust * off.sum(-1)).sum())
        else:
            parts.append(weight * (trust * off.mean(-1)).sum() / trust.sum().clamp(min=1e-6))
    if config.heat and "heat" in said and "pixels" in wanted:
        parts.append(config.heat * misplaced(said["heat"], *wanted["pixels"]))
    return torch.stack([part.to(said["joints"].device) for part in parts]).sum()


def misplaced(heat: Tensor, pixels: Tensor, trust: Tensor) -> Tensor:
    """Cross-entropy of where maps (N, 21, h, w) see landmarks and where they are, (N, 21, 2) in sides of the crop.

    A landmark lies on the four places around it, by its nearness to each. Maps that are told where landmarks are learn
    in a few hundred steps what takes a token that asks them thousands; ours.
    """
    target = torch.ones((), device=heat.device)
    for axis, (count, shape) in enumerate(zip(heat.shape[:1:-1], ((1, -1), (-1, 1)), strict=True)):
        middles = ((torch.arange(count, device=heat.device) + 0.5) / count - 0.5).reshape(shape)
        target = target * (1 - (pixels[..., axis, None, None] - middles).abs() * count).clamp(min=0)
    target = target.flatten(2)
    inside = trust.reshape(len(trust), -1) * (target.sum(2) > 0)
    target = target / target.sum(2, keepdim=True).clamp(min=1e-6)
    off = -(target * heat.flatten(2).log_softmax(2)).sum(2)
    return (inside * off).sum() / inside.sum().clamp(min=1e-6)


def apart(seen: Tensor, taught: Tensor, scaled: bool) -> Tensor:
    """The mean squared distance of maps (N, C, h, w); one of other sides is resized, bilinear, to the student's.

    With `scaled` over the teacher's variance, so that one weight fits all teachers; ours.
    """
    taught = taught.detach()
    if taught.shape[2:] != seen.shape[2:]:
        taught = interpolate(taught, seen.shape[2:], mode="bilinear", align_corners=False)
    off = nn.functional.mse_loss(seen, taught)
    return off / (taught.var() + 1e-6) if scaled else off


def middle(seen: Tensor, share: float) -> Tensor:
    """The middle columns of a map that are `share` of its width, as a teacher sees them that is given those alone.

    Where they do not end at columns, the map is sampled anew, bilinear.
    """
    width = seen.shape[3] * share
    if width == round(width) and (seen.shape[3] - round(width)) % 2 == 0:
        start = (seen.shape[3] - round(width)) // 2
        return seen[..., start : start + round(width)]
    columns = max(1, round(width))
    across = (torch.arange(columns, device=seen.device) + 0.5) / columns * 2 - 1
    down = (torch.arange(seen.shape[2], device=seen.device) + 0.5) / seen.shape[2] * 2 - 1
    grid = torch.stack(torch.meshgrid(share * across, down, indexing="xy"), 2)
    return nn.functional.grid_sample(
        seen, grid.expand(len(seen), -1, -1, -1), align_corners=False, padding_mode="border"
    )


def projected(seen: Tensor, channels: int) -> Tensor:
    """A map through a fixed random 1 x 1 convolution, drawn as torch initialises one: the authors' frozen layer."""
    return nn.functional.conv2d(seen, _projection(channels, seen.shape[1]).to(seen.device))


@lru_cache(2)
def _projection(channels: int, taught: int) -> Tensor:
    drawn, bound = torch.Generator().manual_seed(0), float(taught**-0.5)
    return (2 * torch.rand(channels, taught, 1, 1, generator=drawn) - 1) * bound
