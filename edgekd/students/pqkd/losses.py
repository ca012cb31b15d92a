"""The loss of PQKD."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from edgekd.students.pqkd.config import TeacherConfig


def blended(logits: Tensor, classes: Tensor, taught: Tensor, config: TeacherConfig) -> Tensor:
    """`a CE(z, y) + (1 - a) T^2 KL(softmax(t / T) || softmax(z / T))` of logits (N, C) and the teacher's.

    That labels and the teacher's shares at a temperature are blended is the paper's; the form is that of Hinton et al.
    2015 (arXiv 1503.02531), a and T are ours.
    """
    heat = config.temperature
    apart = kl_div(log_softmax(logits / heat, 1), log_softmax(taught / heat, 1), reduction="batchmean", log_target=True)
    return config.hard * cross_entropy(logits, classes) + (1 - config.hard) * heat**2 * apart
