"""Other tools' quantizers, run for real: the target's integers, the float net's own weights, its answers."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.quantize.controls import TOOLS, Tool, at_shape, left_out, signed_codes
from edgekd.quantize.export import export_float, finish
from edgekd.schema.targets import find_target
from edgekd.students.qdr.task import DenoiseTask
from torch import nn

from tests.quantize.nets import Branches

IO = DenoiseTask({}, 0).io((32, 48))
SMALL = IO.at([(4, 3, 16, 16)])
TARGETS = ["jetson", "x86", "raspberry-pi-5"]


class Sizes(nn.Module):
    """Its graph holds the picture's size as constants."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        y = torch.relu(self.a(x))
        rows = y.reshape(y.shape[0], y.shape[1], -1).transpose(1, 2)
        return self.b(rows.transpose(1, 2).reshape(y.shape))


def batches(count: int = 3) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"image": rng.uniform(-1, 1, (4, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def quantized(method: str, target: str, net: nn.Module) -> tuple[Graph, onnx.ModelProto]:
    """The control's graph at the deployed shape, and the float graph there."""
    pytest.importorskip(TOOLS[method].package)
    small, large = export_float(net, SMALL), export_float(net, IO)
    before = small.SerializeToString()
    made = TOOLS[method].quantize(small, batches(), find_target(target).arithmetic)
    assert small.SerializeToString() == before
    return Graph(finish(at_shape(made, small, large), IO)), large


def net_of(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


@pytest.mark.parametrize("method", TOOLS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", [Branches, Sizes])
def test_answers_are_the_float_nets_up_to_eight_bits(method, target, kind):
    net = net_of(kind)
    graph, _ = quantized(method, target, net)
    image = np.random.default_rng(1).uniform(-1, 1, (1, 3, 32, 48)).astype(np.float32)
    assert golden.check(graph) == []
    want = net(torch.from_numpy(image)).detach().numpy()
    error = golden.run(graph, {"image": image})["restored"] - want
    assert 0 < np.sqrt(np.square(error).mean()) < 0.03 * want.std()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": image})[0], error + want, atol=0.05 * want.std())


@pytest.mark.parametrize("method", TOOLS)
def test_weights_are_the_float_nets_rounded_so_nothing_was_trained(method):
    net = net_of(Branches)
    graph, _ = quantized(method, "jetson", net)
    weights = {tuple(p.shape): p.detach().numpy() for n, p in net.named_parameters() if n in ("a.weight", "out.weight")}
    found = 0
    for node in graph.nodes:
        codes = graph.constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if codes is not None and codes.shape in weights and codes.dtype == np.int8:
            weight = weights[codes.shape]
            scale = np.abs(weight).max((1, 2, 3)) / 127
            np.testing.assert_allclose(graph.constants[node.input[1]], scale, rtol=1e-5)
            np.testing.assert_array_equal(codes, np.rint(weight / scale.reshape(-1, 1, 1, 1)))
            found += 1
    assert found == 2


@pytest.mark.parametrize("method", TOOLS)
@pytest.mark.parametrize("target", TARGETS)
def test_codes_are_what_the_target_has(method, target):
    graph, _ = quantized(method, target, net_of(Branches))
    zeros = [graph.constants[node.input[2]] for node in graph.codes()]
    assert len(zeros) >= 5
    assert all(zero.size == 1 for zero in zeros)
    if target == "jetson":
        assert {zero.dtype for zero in zeros} == {np.dtype("int8")}
        assert not any(zero.any() for zero in zeros)
    else:
        assert any(zero.any() for zero in zeros)


def test_signed_codes_keep_the_range():
    scale, x = np.float32(0.5), np.array([0, 10, 60, 127.5, 200], np.float32)
    made = onnx.helper.make_model(
        onnx.helper.make_graph(
            [
                onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
                onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
            ],
            "g",
            [onnx.helper.make_tensor_value_info("x", 1, [5])],
            [onnx.helper.make_tensor_value_info("y", 1, [5])],
            [onnx.numpy_helper.from_array(np.array(v), n) for n, v in (("s", scale), ("z", np.uint8(0)))],
        )
    )
    got = golden.run(Graph(signed_codes(made)), {"x": x})
    assert got["q"].dtype == np.int8
    assert got["q"].tolist() == [0, 10, 60, 127, 127]
    assert got["y"][-1] == pytest.approx(255 * scale)


def test_another_net_at_the_deployed_size_is_refused():
    small, other = export_float(net_of(Sizes), SMALL), export_float(net_of(Branches), IO)
    with pytest.raises(RequestError, match="other operators at the deployed size"):
        at_shape(small, small, other)


@pytest.mark.parametrize(
    "change", [{"weights": {"scale": "power-of-two"}}, {"weights": {"bits": 4, "per": "channel"}}], ids=["po2", "w4"]
)
@pytest.mark.parametrize("method", TOOLS)
def test_what_a_tool_cannot_express_is_left_out_with_a_sentence(method, change):
    arithmetic = find_target("jetson").arithmetic
    other = type(arithmetic).model_validate(arithmetic.model_dump() | change)
    problem = left_out("mine", method, other)
    assert problem is not None
    assert problem.where == "arms.mine"
    assert "8-bit codes with real scales, the target has" in problem.message
    assert not problem.missing


def test_a_tool_that_is_not_here_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(TOOLS, "ptq-nncf", Tool("edgekd_has_no_such_tool", "nncf", TOOLS["ptq-nncf"].quantize))
    problem = left_out("mine", "ptq-nncf", find_target("jetson").arithmetic)
    assert problem is not None
    assert problem.missing
    assert problem.hint == "pip install 'edgekd[nncf]'"
