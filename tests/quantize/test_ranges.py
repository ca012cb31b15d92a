"""Ranges that a kernel fixes: the same in calibration, in training, after it, and in the graph that ships."""

import numpy as np
import torch
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import IoRecord, TensorInput, TensorOutput
from edgekd.schema.targets import find_target
from torch import nn

ARITHMETIC = find_target("raspberry-pi-5").arithmetic
IO = IoRecord(inputs=(TensorInput(name="x", shape=(1, 4, 6, 6), ends=(-1, 1)),), outputs=(TensorOutput(name="y"),))
GRIDS = {"sigmoid": (1 / 256, -128), "softmax": (1 / 256, -128), "tanh": (1 / 128, 0)}


class Gates(nn.Module):
    """Three functions whose kernels have one output grid each; a small range that calibration would rather take."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        y = self.conv(x) * 0.1
        return torch.sigmoid(y) * torch.tanh(y) + torch.softmax(y, 1)


def test_they_hold_in_training_and_in_the_graph():
    torch.manual_seed(0)
    net, x = Gates(), torch.rand(1, 4, 6, 6)
    quantized = insert(capture(net, (x,)), ARITHMETIC, [(-1.0, 1.0)])
    calibrate(quantized, [(x,)])
    optimizer = torch.optim.Adam([p for p in quantized.module.parameters() if p.requires_grad], lr=0.1)
    quantized.module(x).square().mean().backward()
    optimizer.step()
    for name, (scale, zero) in GRIDS.items():
        quantizer = quantized.activations[name]
        assert (float(quantizer.scale()), int(quantizer.zero_point)) == (scale, zero)
    graph = Graph(export_quantized(net, quantized.state(), ARITHMETIC, [(-1.0, 1.0)], IO).model)
    pairs = {node.output[0].removesuffix(".q"): node for node in graph.codes()}
    for name, (scale, zero) in GRIDS.items():
        node = pairs[name]
        assert (graph.scalar(node.input[1]), graph.zero_point(node)) == (np.float32(scale), zero)


class Joined(nn.Module):
    def forward(self, x):
        return torch.cat([torch.tanh(x), 5 * x], 1)


def test_a_range_that_others_share_is_observed():
    """The Concat has one scale for both, and 5 does not fit below 1."""
    x = torch.rand(1, 4, 6, 6) * 2 - 1
    quantized = insert(capture(Joined(), (x,)), ARITHMETIC, [(-1.0, 1.0)])
    calibrate(quantized, [(x,)])
    scale = float(quantized.activations["tanh"].scale().detach())
    assert scale * 255 > 9
