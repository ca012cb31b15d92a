"""The losses of PicoSAM3 (arXiv 2603.11917, as its code has them), each an instance's own.

Logits are sharpened, `sigmoid(tau z)` with tau 5; logits and masks are (N, 1, H, W), losses (N,).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

TAU = 5.0
SMOOTH = 1e-6
AREA, LEAST_AREA = 0.4, 0.4
AXES = (1, 2, 3)


def dice(p: Tensor, q: Tensor) -> Tensor:
    """`1 - (2 sum pq + e) / (sum p + sum q + e)`; p and q in [0, 1]."""
    return 1 - (2 * (p * q).sum(AXES) + SMOOTH) / (p.sum(AXES) + q.sum(AXES) + SMOOTH)


def label_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of the sharpened logits plus Dice, against the true mask."""
    sharp = TAU * logits
    return binary_cross_entropy_with_logits(sharp, mask, reduction="none").mean(AXES) + dice(sharp.sigmoid(), mask)


def teacher_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """Squared error of the sharpened shares plus Dice, against the teacher's logits."""
    p, q = (TAU * logits).sigmoid(), (TAU * taught).sigmoid()
    return (p - q).square().mean(AXES) + dice(p, q)


def area_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """What the predicted area falls short of 40 % of the true one."""
    return torch.relu(LEAST_AREA - (TAU * logits).sigmoid().sum(AXES) / (mask.sum(AXES) + SMOOTH))


def combined(logits: Tensor, mask: Tensor, taught: Tensor, trust: Tensor, labelled: Tensor) -> Tensor:
    """`a L_teacher + (1 - a) L_label + 0.4 L_area`, the mean over instances.

    `trust` (N,) is a, in [0, 1]. Where `labelled` (N,) is zero the mask is not known: there the teacher is trusted
    wholly, and its own mask gives the area (ours).
    """
    trust = torch.where(labelled > 0, trust, 1.0)
    known = torch.where(labelled.view(-1, 1, 1, 1) > 0, mask, (taught > 0).to(mask))
    parts = trust * teacher_loss(logits, taught) + (1 - trust) * label_loss(logits, known)
    return (parts + AREA * area_loss(logits, known)).mean()
