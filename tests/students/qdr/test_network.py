"""The restoration net: sizes, shapes, how it starts."""

import pytest
import torch
from edgekd.students.qdr.network import RestorationNet

# Counted by hand from widths and blocks: convolutions k*k*in*out + out.
WIDTHS, BLOCKS = (8, 16, 32, 64), (1, 1, 1, 2)


def by_hand(gate: str) -> int:
    def conv(i, o, k=3):
        return k * k * i * o + o

    total = conv(3, WIDTHS[0]) + conv(WIDTHS[0], 3)
    for i, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
        total += 2 * blocks * conv(width, width)
        if gate != "none":
            hidden = max(8, width // 4)
            total += conv(width, hidden) + conv(hidden, 1 if gate == "spatial" else width, 1)
        if i < len(WIDTHS) - 1:
            total += conv(width, WIDTHS[i + 1]) + conv(WIDTHS[i + 1], width) + 2 * conv(width, width)
    return total


@pytest.mark.parametrize("gate", ["none", "spatial", "full"])
def test_parameters(gate):
    assert sum(p.numel() for p in RestorationNet("xs", gate).parameters()) == by_hand(gate)


def test_a_fresh_net_hands_its_input_on():
    x = torch.randn(2, 3, 32, 48)
    torch.testing.assert_close(RestorationNet("xs", "spatial")(x), x)
