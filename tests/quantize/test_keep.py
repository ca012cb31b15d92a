"""Layers that keep more bits, or stay float."""

import numpy as np
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_quantized, trained_codes
from edgekd.quantize.insert import calibrate, insert, tap
from edgekd.schema.target import Arithmetic, Scale
from edgekd.schema.targets import find_target
from edgekd.students.qdr.task import DenoiseTask
from torch import nn

from tests.quantize.nets import Branches, scaled

RANGES = [(-1.0, 1.0)]
IO = DenoiseTask({}, 0).io((32, 48))


def four_bits(scale: Scale = "power-of-two") -> Arithmetic:
    found = find_target("jetson").arithmetic
    weights = found.weights.model_copy(update={"bits": 4})
    return scaled(found.model_copy(update={"simulated": True, "weights": weights}), scale)


def exported(keep, net=None, scale="power-of-two"):
    torch.manual_seed(0)
    net = net or Branches()
    x = torch.rand(4, 3, 16, 16) * 2 - 1
    quantized = insert(capture(net, (x,)), four_bits(scale), RANGES, keep=keep)
    calibrate(quantized, [(x,)])
    return export_quantized(net, quantized.state(), four_bits(scale), RANGES, IO, keep)


def largest_codes(portable) -> dict[str, int]:
    constants = Graph(portable.model).constants
    return {n.removesuffix(".weight_codes"): int(np.abs(a).max()) for n, a in constants.items() if "weight_codes" in n}


def test_bits_of_one_layer():
    assert set(largest_codes(exported({}, scale="real")).values()) == {7}
    kept = largest_codes(exported({"b": 8}, scale="real"))
    assert kept.pop("b") == 127
    assert set(kept.values()) == {7}


def test_patterns_and_the_last_one_wins():
    assert largest_codes(exported({"*": "float", "c*": 8, "c_1": 4}, scale="real")) == {"c": 127, "c_1": 7}


@pytest.mark.parametrize("keep", [{"b": "float"}, {"a": "float"}, {"c": "float", "out": 8}, {"*": "float"}], ids=str)
def test_what_is_trained_is_what_ships(keep):
    portable = exported(keep)
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    trace = golden.run(Graph(portable.model), {"image": image.numpy()})
    for name, codes in trained_codes(portable.quantized, (image,)).items():
        np.testing.assert_array_equal(trace[name], codes, err_msg=name)


def test_a_float_layer_reads_its_input_before_the_quantizer_that_others_need():
    """`act/relu` is read by b, c and the gate's c; only b stays float."""
    graph = Graph(exported({"b": "float"}).model)
    convolution = next(node for node in graph.nodes if "b" in node.output)
    assert convolution.input[1] in graph.constants
    assert graph.constants[convolution.input[1]].dtype == np.float32
    assert graph.maker[convolution.input[0]].op_type == "Relu"
    readers = {node.op_type for node in graph.readers[convolution.input[0]]}
    assert "QuantizeLinear" in readers


def test_a_float_layer_behind_a_quantized_one_reads_the_quantized_result():
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)

        def forward(self, x):
            return self.b(self.a(x))

    graph = Graph(exported({"b": "float"}, Chain()).model)
    first = graph.maker[next(n for n in graph.nodes if n.op_type == "Conv" and n.input[0] == "a").input[0]]
    assert graph.maker[first.input[1]].op_type == "DequantizeLinear"


def test_a_tapped_value_too():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    captured = capture(Branches(), (x,))
    probe = tap(captured, "act")
    quantized = insert(captured, four_bits(), RANGES, keep={"c*": "float"})
    calibrate(quantized, [(x,)])
    quantized.module(x)
    assert probe.value.shape == (2, 4, 8, 8)


def test_an_unknown_layer_is_told_with_the_nearest():
    with pytest.raises(RequestError, match="matches no layer") as error:
        exported({"oot": "float"})
    assert error.value.hint == "did you mean `out`?"
