"""Batch norm, linear and transposed operators: folded, trained, shipped as trained."""

import numpy as np
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.cost import count
from edgekd.graph.model import Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_quantized, trained_codes
from edgekd.quantize.insert import Dropout, calibrate, insert, tap
from edgekd.schema.io import ImageInput, ImageOutput, IoRecord, TensorInput, TensorOutput
from edgekd.schema.target import Arithmetic
from edgekd.schema.targets import find_target
from torch import nn

from tests.quantize.nets import Mixed, scaled

HALF = (0.5, 0.5, 0.5)
IO = IoRecord(
    inputs=(ImageInput(name="image", shape=(1, 3, 24, 32), mean=HALF, std=HALF),),
    outputs=(ImageOutput(name="scores", mean=(0.0,), std=(1.0,)),),
)
RANGES = [(-1.0, 1.0)]


def trained(target: str, po2: bool, steps: int = 4):
    """A net after a few steps of QAT, statistics frozen for the last ones."""
    torch.manual_seed(0)
    net, arithmetic = Mixed(), find_target(target).arithmetic
    arithmetic = scaled(arithmetic) if po2 else arithmetic
    x = torch.rand(8, 3, 16, 16) * 2 - 1
    quantized = insert(capture(net, (x,)), arithmetic, RANGES)
    calibrate(quantized, [(x,)])
    optimizer = torch.optim.Adam(quantized.module.parameters(), lr=1e-2)
    quantized.module.train()
    before = net.nb.running_mean.clone()
    for step in range(steps):
        if step == steps - 1:
            quantized.freeze()
        out = quantized.module(x)
        loss = (out[0] if isinstance(out, (tuple, list)) else out)[:, 0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert not torch.equal(before, quantized.weights()["nb.running_mean"])
    net.load_state_dict(net.state_dict() | quantized.weights())
    return net, arithmetic, quantized.state()


def test_the_captured_net_folds_batch_norm_and_names_what_it_holds():
    x = torch.rand(2, 3, 16, 16)
    net = Mixed()
    quantized = insert(capture(net, (x,)), find_target("x86").arithmetic, RANGES)
    assert list(quantized.weighted) == ["a", "b", "up", "merge", "fc1", "fc2"]
    assert quantized.weighted["a"].norm is not None
    out = quantized.module.eval()(x)  # no quantizer is on
    torch.testing.assert_close(out[0] if isinstance(out, (tuple, list)) else out, net.eval()(x))
    names = dict(net.named_parameters()) | dict(net.named_buffers())
    assert set(quantized.weights()) <= set(names)
    assert {"na.weight", "na.running_var", "fc1.bias"} <= set(quantized.weights())


@pytest.mark.parametrize("target", ["jetson", "x86", "x86:onnxruntime", "raspberry-pi-5"])
def test_power_of_two_scales_ship_exactly_what_was_trained(target):
    net, arithmetic, state = trained(target, po2=True)
    portable = export_quantized(net, state, arithmetic, RANGES, IO)
    graph = Graph(portable.model)
    assert not [n for n in graph.nodes if n.op_type == "BatchNormalization"]
    image = torch.rand(1, 3, 24, 32) * 2 - 1
    codes = trained_codes(portable.quantized, (image,))
    trace = golden.run(graph, {"image": image.numpy()})
    exact = [name for name in codes if not name.startswith(("mean", "fc"))]
    assert len(exact) >= 5
    for name in exact:
        np.testing.assert_array_equal(trace[name], codes[name], err_msg=name)
    for name in set(codes) - set(exact):  # behind a float mean, whose last bit differs between libraries
        assert np.abs(trace[name].astype(int) - codes[name].astype(int)).max() <= 1


def test_every_weight_is_integer_in_the_graph():
    net, arithmetic, state = trained("x86", po2=False)
    graph = Graph(export_quantized(net, state, arithmetic, RANGES, IO).model)
    weights = {n: a for n, a in graph.constants.items() if n.endswith("weight_codes")}
    assert set(weights) == {f"{k}.weight_codes" for k in ("a", "b", "up", "merge", "fc1", "fc2")}
    assert {a.dtype for a in weights.values()} == {np.dtype("int8")}
    axes = {n.input[0]: n.attribute[0].i for n in graph.nodes if n.op_type == "DequantizeLinear" and n.attribute}
    assert axes["up.weight_codes"] == 1
    assert axes["a.weight_codes"] == axes["fc1.weight_codes"] == 0


def test_concat_gets_one_scale_that_holds_all_its_parts():
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    net = Mixed()
    with torch.no_grad():
        net.up.weight.mul_(20)  # one part far larger than the picture
    quantized = insert(capture(net, (x,)), find_target("jetson").arithmetic, RANGES)
    calibrate(quantized, [(x,)])
    assert {"x", "relu_2", "concat"} <= set(quantized.scopes.values())
    assert not {"relu_2", "concat"} & set(quantized.activations)
    with torch.no_grad():
        parts = quantized.module.eval()(x) is not None and torch.relu(net.eval().up(
            torch.relu(net.nb(net.b(torch.relu(net.na(net.a(x))))))))  # fmt: skip
    assert quantized.activations["x"].scale().item() * 127.5 >= float(parts.max())


def test_dropout_acts_in_training_alone():
    x = torch.rand(4, 3, 16, 16)
    quantized = insert(capture(Mixed(), (x,)), find_target("x86").arithmetic, RANGES)
    calibrate(quantized, [(x,)])
    assert [m.share for m in quantized.module.modules() if isinstance(m, Dropout)] == [0.2]
    one = quantized.module(x)
    two = quantized.module(x)
    torch.testing.assert_close(one, two)


class Norms(nn.Module):
    """A batch norm that starts at zero, one that is folded nowhere, one without parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.na = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.free, self.plain, self.b = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 4, 1)
        nn.init.zeros_(self.na.weight)

    def forward(self, x):
        y = torch.relu(self.na(self.a(x)) + x.mean(1, keepdim=True))
        return self.plain(self.b(self.free(y)))


def test_batch_norms_of_every_kind_are_trained():
    torch.manual_seed(0)
    net, x = Norms(), torch.randn(8, 3, 8, 8)
    quantized = insert(capture(net, (x,)), find_target("x86").arithmetic, RANGES)
    calibrate(quantized, [(x,)])
    before = {name: tensor.clone() for name, tensor in quantized.weights().items()}
    optimizer = torch.optim.Adam([p for p in quantized.module.parameters() if p.requires_grad], lr=1e-2)
    quantized.module.train()
    for _ in range(3):
        out = quantized.module(x)
        loss = (out[0] if isinstance(out, (tuple, list)) else out)[:, :2].mean().square() + quantized.module(x)[0].std()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = quantized.weights()
    moved = {name for name, tensor in after.items() if not torch.equal(before[name], tensor)}
    assert {"na.weight", "na.running_mean", "free.weight", "free.running_var", "plain.running_mean"} <= moved
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
    assert set(after) <= set(net.state_dict())


def test_a_computed_weight_is_refused_with_its_line():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)

    with pytest.raises(RequestError, match=r"weight of `conv` \(Conv, test_weighted.py:\d+\) is a buffer or computed"):
        insert(capture(Standardised(3, 4, 1), (torch.zeros(1, 3, 8, 8),)), find_target("x86").arithmetic, RANGES)


def test_layers_that_are_kept_differ_and_unknown_ones_are_told():
    x, arithmetic = torch.rand(2, 3, 16, 16) * 2 - 1, find_target("x86:onnxruntime").arithmetic
    quantized = insert(capture(Mixed(), (x,)), arithmetic, RANGES, keep={"fc?": "float", "merge": 4})
    assert list(quantized.weighted) == ["a", "b", "up", "merge"]
    assert quantized.weighted["merge"].quantizer.grid.qmax == 7
    assert quantized.weighted["a"].quantizer.grid.qmax == 127
    with pytest.raises(RequestError, match=r"names `mergge`, which matches no layer"):
        insert(capture(Mixed(), (x,)), arithmetic, RANGES, keep={"mergge": "float"})


@pytest.mark.parametrize(("weights", "activations"), [(4, 8), (2, 8), (4, 4)])
@pytest.mark.parametrize("po2", [True, False])
def test_fewer_bits_ship_in_wider_containers_as_they_were_trained(weights, activations, po2):
    torch.manual_seed(0)
    base = find_target("x86:onnxruntime").arithmetic.model_dump()
    table = base | {
        "weights": {"bits": weights},
        "activations": base["activations"] | {"bits": activations},
        "simulated": True,
    }
    arithmetic = scaled(Arithmetic.model_validate(table), "power-of-two" if po2 else "real")
    net, x = Mixed(), torch.rand(8, 3, 16, 16) * 2 - 1
    quantized = insert(capture(net, (x,)), arithmetic, RANGES)
    calibrate(quantized, [(x,)])
    portable = export_quantized(net, quantized.state(), arithmetic, RANGES, IO)
    graph = Graph(portable.model)
    for name, codes in graph.constants.items():
        if name.endswith("weight_codes"):
            assert np.abs(codes).max() <= 2 ** (weights - 1) - 1
    image = torch.rand(1, 3, 24, 32) * 3 - 1.5  # some lies outside the range
    codes = trained_codes(portable.quantized, (image,))
    trace = golden.run(graph, {"image": image.numpy()})
    for name, array in codes.items():
        assert array.max() < 2**activations
        difference = np.abs(trace[name].astype(int) - array.astype(int))
        assert difference.max() <= (0 if po2 and not name.startswith(("mean", "fc")) else 1), name


class Tokens(nn.Module):
    """A Linear on three dimensions, which ONNX writes as MatMul and Add."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


@pytest.mark.parametrize("rounding", ["rne_f32", "tfl_double"])
def test_the_bias_behind_a_matmul_is_part_of_its_accumulator(rounding):
    """The same net on one token, written as Gemm with its bias inside: codes must be equal in both roundings."""
    torch.manual_seed(0)
    net, arithmetic = Tokens(), find_target("x86:onnxruntime").arithmetic
    x = torch.rand(1, 1, 8) * 2 - 1
    traces = []
    for shape in ((1, 1, 8), (1, 8)):
        quantized = insert(capture(net, (x.reshape(shape),)), arithmetic, RANGES)
        calibrate(quantized, [(x.reshape(shape),)])
        io = IoRecord(inputs=(TensorInput(name="x", shape=shape, ends=(-1, 1)),), outputs=(TensorOutput(name="y"),))
        graph = Graph(export_quantized(net, quantized.state(), arithmetic, RANGES, io).model)
        traces.append(golden.run(graph, {"x": x.reshape(shape).numpy()}, rounding=rounding))
        assert {n.op_type for n in graph.nodes} >= ({"MatMul"} if len(shape) == 3 else {"Gemm"})
    assert set(traces[0]) == set(traces[1])
    for name, codes in traces[0].items():
        np.testing.assert_array_equal(codes.reshape(traces[1][name].shape), traces[1][name], err_msg=name)


def test_four_bit_weights_are_packed_where_an_engine_runs_them():
    """The same codes as in 8-bit containers, in half the bytes."""
    torch.manual_seed(0)
    base = find_target("x86:onnxruntime").arithmetic
    net, x = Mixed(), torch.rand(8, 3, 16, 16) * 2 - 1
    graphs = []
    for simulated in (False, True):
        weights = base.weights.model_copy(update={"bits": 4})
        arithmetic = base.model_copy(update={"weights": weights, "simulated": simulated})
        quantized = insert(capture(net, (x,)), arithmetic, RANGES)
        calibrate(quantized, [(x,)])
        graphs.append(Graph(export_quantized(net, quantized.state(), arithmetic, RANGES, IO).model))
    packed, bytewise = graphs
    assert (packed.opset, bytewise.opset) == (21, 20)
    assert count(packed).weight_bytes < count(bytewise).weight_bytes
    image = {"image": np.random.default_rng(0).uniform(-1, 1, (1, 3, 24, 32)).astype(np.float32)}
    for a, b in zip(golden.run(packed, image).values(), golden.run(bytewise, image).values(), strict=True):
        np.testing.assert_array_equal(a, b)


class Clashing(nn.Module):
    """Modules named as an input, an output and what edgekd itself would like to name; two kinds of dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.depth = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.norm_0, self.quantizer_0 = nn.LayerNorm(8), nn.BatchNorm2d(4)
        self.drop = nn.Dropout2d(0.5)

    def forward(self, x):
        y = self.norm_0(self.drop(torch.relu(self.image(x))))
        return torch.sigmoid(self.depth(self.quantizer_0(y)))


def test_names_of_a_network_clash_with_none_of_ours():
    torch.manual_seed(0)
    net, x, arithmetic = Clashing(), torch.rand(2, 3, 8, 8), find_target("x86:onnxruntime").arithmetic
    quantized = insert(capture(net, (x,)), arithmetic, RANGES)
    calibrate(quantized, [(x,)])
    assert set(quantized.weights()) == {n for n in net.state_dict() if "num_batches" not in n}
    quantized.module.train()
    assert not torch.equal(quantized.module(x)[0], quantized.module(x)[0])  # whole channels drop out
    io = IoRecord(inputs=(TensorInput(name="image", shape=(1, 3, 8, 8), ends=(-1, 1)),),
                  outputs=(TensorOutput(name="depth"),))  # fmt: skip
    graph = Graph(export_quantized(net, quantized.state(), arithmetic, RANGES, io).model)
    assert (graph.inputs, graph.outputs) == (["image"], ["depth"])
    assert "depth.q" in {node.output[0] for node in graph.codes()}
    assert "image.weight_codes" in graph.constants


class Several(nn.Module):
    """What torch gives out in several tensors, and what goes through integers, on the way to a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.table, self.d = nn.Embedding(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        p, q = torch.tensor_split(self.a(x), 2, 1)
        largest, _ = (self.b(p) + self.c(q)).max(1)
        return self.d(self.table(largest.clamp(0, 3).long()))


def test_what_depends_on_the_input_is_no_constant():
    captured = capture(Several(), (torch.rand(1, 3, 4, 4),))
    assert [op.output for op in captured.ops if op.output in captured.weighted] == ["a", "b", "c", "d"]
    quantized = insert(captured, find_target("x86:onnxruntime").arithmetic, RANGES)
    assert list(quantized.weighted) == ["a", "b", "c", "d"]


class Rows(nn.Module):
    """A batch norm over the rows of a Linear, not over its last dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Linear(5, 6), nn.BatchNorm1d(6)

    def forward(self, x):
        return self.n(self.a(x))


def test_a_batch_norm_over_other_channels_is_not_folded():
    torch.manual_seed(0)
    net, x = Rows(), torch.rand(4, 6, 5) * 2 - 1
    for _ in range(20):
        net.train()(x)
    quantized = insert(capture(net, (x,)), find_target("x86").arithmetic, RANGES)
    assert quantized.weighted["a"].norm is None
    calibrate(quantized, [(x,)])
    out = quantized.module.eval()(x)
    torch.testing.assert_close(out[0] if isinstance(out, (tuple, list)) else out, net.eval()(x), atol=0.05, rtol=0.05)


def test_a_tap_stays_where_the_layer_behind_it_is_float():
    x, net = torch.rand(2, 3, 16, 16), nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    captured = capture(net, (x,))
    probe = tap(captured, "1")
    quantized = insert(captured, find_target("x86").arithmetic, RANGES, keep={"*": "float"})
    calibrate(quantized, [(x,)])
    quantized.module(x)
    assert probe.value.shape[0] == 2


def test_a_batch_norm_without_statistics_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(RequestError, match="keeps no running statistics"):
        insert(capture(net, (torch.rand(2, 3, 4, 4),)), find_target("x86").arithmetic, RANGES)
