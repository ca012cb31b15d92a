"""Random small networks in power-of-two arithmetic: one answer from fake quantization to ONNX Runtime.

No exponential is among the blocks: its last bit differs between libraries, and a value on a tie shows it.
"""

import numpy as np
import onnx
import onnxruntime
import torch
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_quantized, trained_codes
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import IoRecord, TensorInput, TensorOutput
from edgekd.schema.targets import find_target
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.quantize.nets import scaled

WIDTH = 4
BLOCKS = (
    "conv", "depthwise", "norm", "relu", "gate", "skip", "concat", "pool", "up", "split", "scale", "dead",
)  # fmt: skip
block = st.sampled_from(BLOCKS)


class Random(nn.Module):
    """A chain of blocks of one width; what a block reads besides its input is the value two blocks ago."""

    def __init__(self, blocks: list[str]) -> None:
        super().__init__()
        self.blocks, self.stem = blocks, nn.Conv2d(3, WIDTH, 1)
        self.convs = nn.ModuleList(self.layer(kind) for kind in blocks)
        self.head = nn.Conv2d(WIDTH, 2, 1)

    @staticmethod
    def layer(kind: str) -> nn.Module:
        if kind == "concat":
            return nn.Conv2d(2 * WIDTH, WIDTH, 1)
        conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH if kind == "depthwise" else 1, bias=kind != "norm")
        if kind == "dead":
            nn.init.zeros_(conv.weight)  # channels that give their bias alone
        return nn.Sequential(conv, nn.BatchNorm2d(WIDTH)) if kind == "norm" else conv

    def forward(self, x):
        y = before = self.stem(x)
        for kind, conv in zip(self.blocks, self.convs, strict=True):
            y, before = self.step(kind, conv, y, before), y
        return self.head(y)

    @staticmethod
    def step(kind: str, conv: nn.Module, y, before):
        other = before if before.shape == y.shape else y
        match kind:
            case "relu":
                return F.relu(y)
            case "gate":
                return y * F.relu(conv(y))
            case "skip":
                return F.relu(other + conv(y))
            case "concat":
                return conv(torch.cat([other, y], 1))
            case "pool":
                return F.max_pool2d(y, 3, 1, 1)
            case "up":
                return F.interpolate(y, scale_factor=2.0, mode="nearest")
            case "split":
                first, second = y.chunk(2, 1)
                return torch.cat([F.relu(second), first], 1)
            case "scale":
                return y * 0.5 - F.relu(y)
            case _:
                return conv(y)


SEARCH = (Phase.explicit, Phase.reuse, Phase.generate)  # an example takes seconds: none is made smaller


@settings(max_examples=8, deadline=None, phases=SEARCH, suppress_health_check=[HealthCheck.too_slow])
@given(
    blocks=st.lists(block, min_size=1, max_size=5), side=st.sampled_from([1, 5, 8]), seed=st.integers(0, 99),
    target=st.sampled_from(["x86:onnxruntime", "x86", "jetson", "imx500"]), constant=st.booleans(),
)  # fmt: skip
def test_one_answer_from_training_to_onnx_runtime(blocks, side, seed, target, constant):
    torch.manual_seed(seed)
    net, arithmetic = Random(blocks), scaled(find_target(target).arithmetic)
    batch, ranges = (torch.zeros if constant else torch.rand)(2, 3, 6, 6), [(-1.0, 1.0)]
    quantized = insert(capture(net, (batch,)), arithmetic, ranges)
    calibrate(quantized, [(batch,)])
    shape = (1, 3, side, side)
    io = IoRecord(inputs=(TensorInput(name="x", shape=shape, ends=(-1, 1)),), outputs=(TensorOutput(name="y"),))
    portable = export_quantized(net, quantized.state(), arithmetic, ranges, io)
    graph, x = Graph(portable.model), torch.rand(shape) * 2 - 1
    trained, reference = trained_codes(portable.quantized, (x,)), golden.run(graph, {"x": x.numpy()})
    names = [node.output[0] for node in graph.codes()]
    engine = dict(zip(names, exposed(graph, names, x.numpy()), strict=True))
    for name in names:
        np.testing.assert_array_equal(reference[name], trained[name], err_msg=f"golden, {name}")
        np.testing.assert_array_equal(reference[name], engine[name], err_msg=f"ONNX Runtime, {name}")


def exposed(graph: Graph, names: list[str], x):
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(names, {"x": x})
