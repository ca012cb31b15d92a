"""The graph that is written computes the integers that were trained."""

import numpy as np
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_float, export_quantized, trained_codes
from edgekd.quantize.insert import calibrate, insert, tap
from edgekd.schema.targets import find_target
from edgekd.students.qdr.task import DenoiseTask

from tests.quantize.nets import Branches, scaled

RANGES = [(-1.0, 1.0)]
IO = DenoiseTask({}, 0).io((32, 48))


def calibrated(target: str, po2: bool):
    """A net calibrated at 16 by 16, batch 4; its state and arithmetic."""
    torch.manual_seed(0)
    net, arithmetic = Branches(), find_target(target).arithmetic
    if po2:
        arithmetic = scaled(arithmetic)
    batch = torch.rand(4, 3, 16, 16) * 2 - 1
    quantized = insert(capture(net, (batch,)), arithmetic, RANGES)
    calibrate(quantized, [(batch,)])
    return net, arithmetic, quantized.state()


@pytest.mark.parametrize("target", ["jetson", "x86", "x86:onnxruntime", "raspberry-pi-5"])
def test_power_of_two_scales_ship_exactly_what_was_trained(target):
    net, arithmetic, state = calibrated(target, po2=True)
    portable = export_quantized(net, state, arithmetic, RANGES, IO)
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    trained = trained_codes(portable.quantized, (image,))
    trace = golden.run(Graph(portable.model), {"image": image.numpy()})
    assert len(trained) >= 5
    assert set(trained) <= set(trace)
    for name, codes in trained.items():
        np.testing.assert_array_equal(trace[name], codes, err_msg=name)


def test_the_graph_is_portable_and_tells_nothing_of_its_maker():
    net, arithmetic, state = calibrated("jetson", po2=False)
    model = export_quantized(net, state, arithmetic, RANGES, IO).model
    graph = Graph(model)
    assert graph.opset == 20
    assert graph.io == IO
    assert {a.dtype for n, a in graph.constants.items() if n.endswith("weight_codes")} == {np.dtype("int8")}
    assert {a.dtype for n, a in graph.constants.items() if n.endswith("bias_codes")} == {np.dtype("int32")}
    assert {"a", "b", "c", "c_1", "act/relu"} <= {name for node in graph.nodes for name in node.output}
    text = model.SerializeToString()
    assert b"/home" not in text
    assert b".py" not in text
    assert b"torch" not in text


def test_exporting_twice_gives_the_same_bytes():
    net, arithmetic, state = calibrated("jetson", po2=False)
    a, b = (
        export_quantized(net, state, arithmetic, RANGES, IO).model.SerializeToString(deterministic=True) for _ in "ab"
    )
    assert a == b


def test_state_of_another_placement_is_refused():
    net, _, state = calibrated("jetson", po2=False)
    with pytest.raises(RequestError, match="other quantizers"):
        export_quantized(net, state, find_target("x86:onnxruntime").arithmetic, RANGES, IO)


def test_float_export_equals_torch():
    net = Branches().eval()
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    trace = golden.run(Graph(export_float(net, IO)), {"image": image.numpy()})
    np.testing.assert_allclose(trace["restored"], net(image).detach().numpy(), atol=1e-5)


def test_a_tap_sees_the_quantized_value_and_leaves_the_keys_alone():
    net, arithmetic = Branches(), find_target("jetson").arithmetic
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    plain = insert(capture(net, (x,)), arithmetic, RANGES)
    captured = capture(net, (x,))
    probe = tap(captured, "act")
    tapped = insert(captured, arithmetic, RANGES)
    assert list(plain.state()) == list(tapped.state())
    calibrate(tapped, [(x,)])
    tapped.module(x)
    step = tapped.activations["act/relu_1"].scale()
    ratio = probe.value / step
    torch.testing.assert_close(ratio, ratio.round())
