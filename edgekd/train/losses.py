"""Distillation losses."""

from __future__ import annotations

import torch
from torch import Tensor


def dfd(student: Tensor, teacher: Tensor, eps: float = 1e-6) -> Tensor:
    """Decoder-free distillation: match the bottleneck only, normalised so that one weight fits all widths.

    `mean((s - t)^2) / (var(t) + eps)`, the teacher detached. That the quantization error is corrected at the
    bottleneck alone is the paper's (arXiv 2603.09624, abstract); distance and normalisation are ours.
    """
    teacher = teacher.detach()
    return (student - teacher).square().mean() / (torch.var(teacher) + eps)
