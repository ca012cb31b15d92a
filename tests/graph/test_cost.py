"""Counts of a graph small enough to count by hand."""

import numpy as np
from edgekd.graph.cost import count

from tests.graph.graphs import conv_graph


def test_counts_by_hand():
    cost = count(conv_graph(np.random.default_rng(0), channels=4, size=8))
    assert cost.parameters == 4 * 4 * 9 + 4
    assert cost.macs == 4 * 64 * 4 * 9
    assert cost.weight_bytes == 4 * 4 * 9 + 4 * 4  # int8 weights, int32 biases
    # image in float32 and its codes, or codes in and codes out: 4 channels of 8 by 8
    assert cost.peak_activation_bytes == 256 * 4 + 256
