"""The classifier: its size counted by hand, its shapes."""

import pytest
import torch
from edgekd.students.classifier.network import ClassifierNet


def by_hand(w: int, classes: int) -> int:
    """Convolutions k*k*in*out / groups, two numbers a channel of batch norm, one linear layer."""
    stem = 9 * w + 2 * w

    def separable(i, o):
        return 9 * i + 2 * i + i * o + 2 * o

    pairs = [(w, 2 * w), (2 * w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w)]
    return stem + sum(separable(*pair) for pair in pairs) + 4 * w * classes + classes


@pytest.mark.parametrize("width", [16, 24, 32])
def test_parameters(width):
    assert sum(p.numel() for p in ClassifierNet(width, 10).parameters()) == by_hand(width, 10)


def test_it_takes_any_size():
    net = ClassifierNet(16, 7).eval()
    assert net(torch.zeros(3, 1, 28, 28)).shape == (3, 7)
    assert net(torch.zeros(1, 1, 40, 33)).shape == (1, 7)
