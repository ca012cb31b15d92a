"""The golden interpreter against numbers computed by other means: exact Python integers, torch, ONNX Runtime."""

from fractions import Fraction

import numpy as np
import onnxruntime
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.golden import Window, convolution
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.graph.graphs import build, conv_graph, pair


def half_even(value: Fraction) -> int:
    return round(value)  # Python's round on a Fraction is exact and half to even


def test_one_convolution_by_hand():
    """One pixel, one tap: every integer of the way is checked with exact fractions."""
    constants = {
        "s": np.float32(0.5), "z": np.int8(0), "sy": np.float32(0.25), "w": np.array([[[[3]]]], np.int8),
        "ws": np.array([0.125], np.float32), "wz": np.zeros(1, np.int8), "b": np.array([5], np.int32),
        "bs": np.array([0.0625], np.float32), "bz": np.zeros(1, np.int32),
    }  # fmt: skip
    nodes = [
        *pair("x", "image"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bf"], axis=0),
        helper.make_node("Conv", ["x", "wf", "bf"], ["c"]),
        *pair("restored", "c", "sy", "z"),
    ]
    graph = build(nodes, constants, (1, 1, 1, 1), (1, 1, 1, 1))
    for value in np.linspace(-70, 70, 57):
        code = max(-128, min(127, half_even(Fraction(float(np.float32(value))) / Fraction(1, 2))))
        want = max(-128, min(127, half_even(Fraction(code * 3 + 5) * Fraction(1, 16) / Fraction(1, 4))))
        trace = golden.run(graph, {"image": np.full((1, 1, 1, 1), value, np.float32)})
        assert (trace["x.q"].item(), trace["restored.q"].item()) == (code, want)
        assert trace["restored"].item() == want * 0.25


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    stride=st.sampled_from([1, 2]),
    group=st.sampled_from([1, 2, 4]),
    pads=st.sampled_from([(1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 1, 0)]),
    zero=st.sampled_from([(np.int8, 0), (np.uint8, 0), (np.uint8, 117)]),
    relu=st.booleans(),
)
def test_power_of_two_scales_equal_onnx_runtime(seed, stride, group, pads, zero, relu):
    """With power-of-two scales every float in ONNX Runtime is exact, so every code must be equal."""
    rng = np.random.default_rng(seed)
    dtype, z = zero
    powers = (2.0 ** -rng.integers(5, 9, 4)).astype(np.float32)
    graph = conv_graph(rng, stride=stride, group=group, pads=pads, dtype=dtype, zero=z, relu=relu,
                       x_scale=2.0**-6, w_scale=powers, y_scale=2.0**-4)  # fmt: skip
    image = rng.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph.expose("y.q"), options, providers=["CPUExecutionProvider"])
    want = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": image}), strict=True))
    trace = golden.run(graph, {"image": image})
    np.testing.assert_array_equal(trace["y.q"], want["y.q"])
    np.testing.assert_array_equal(trace["restored"], want["restored"])


def test_accumulators_beyond_float32_stay_exact():
    """Sums above 2^24 are added in float64: torch's int64 convolution is the witness."""
    rng = np.random.default_rng(0)
    channels = 160
    graph = conv_graph(rng, channels=channels, size=4, dtype=np.uint8, x_scale=1.0, y_scale=1000.0, relu=False)
    weight = np.abs(graph.constants["w"].astype(np.int64))
    graph.constants["w"] = weight.astype(np.int8)
    image = np.full((1, channels, 4, 4), 255.0, np.float32)
    sums = torch.nn.functional.conv2d(torch.full((1, channels, 4, 4), 255), torch.from_numpy(weight), padding=1)
    sums = sums.numpy() + graph.constants["b"].reshape(-1, 1, 1)
    assert np.abs(sums).max() > 2**24
    multiplier = (graph.constants["bs"] / graph.constants["sy"]).astype(np.float32).reshape(-1, 1, 1)
    want = np.clip(np.rint(sums.astype(np.float32) * multiplier), 0, 255)
    np.testing.assert_array_equal(golden.run(graph, {"image": image})["y.q"], want)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_convolution_equals_torch(seed, strides, dilations, groups, kernel):
    rng = np.random.default_rng(seed)
    x, w = (
        rng.integers(-9, 9, (2, 4, 9, 10)).astype(float),
        rng.integers(-9, 9, (8, 4 // groups, *kernel)).astype(float),
    )
    want = torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(w), stride=strides, padding=1, dilation=dilations, groups=groups
    )
    slide = Window(kernel, strides, (1, 1, 1, 1), dilations)
    np.testing.assert_array_equal(convolution(x, w, slide, groups), want.numpy())


def test_forcing_stops_a_difference_from_spreading():
    """A wrong code in an earlier tensor is blamed there only."""
    rng = np.random.default_rng(1)
    graph = conv_graph(rng)
    image = rng.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    own = golden.run(graph, {"image": image})
    wrong = own["x.q"].copy()
    wrong[0, 0, 3, 3] += 40
    spread = golden.run(graph, {"image": image}, {"x.q": wrong})
    np.testing.assert_array_equal(spread["x.q"], own["x.q"])  # its own result is told, not the forced one
    assert np.count_nonzero(spread["y.q"] != own["y.q"]) > 0
    engine = {"x.q": wrong, "y.q": spread["y.q"]}
    local = golden.run(graph, {"image": image}, engine)
    np.testing.assert_array_equal(local["y.q"], engine["y.q"])


def test_unknown_operator_is_told_before_and_while_running():
    nodes = [helper.make_node("Selu", ["image"], ["restored"])]
    graph = build(nodes, {}, (1, 3, 2, 2), (1, 3, 2, 2))
    assert "Selu" in golden.check(graph)[0].message
    with pytest.raises(RequestError, match="Selu"):
        golden.run(graph, {"image": np.zeros((1, 3, 2, 2), np.float32)})


def test_old_opsets_are_refused():
    graph = build([helper.make_node("Relu", ["image"], ["restored"])], {}, (1, 3, 2, 2), (1, 3, 2, 2), opset=12)
    assert "opset 12" in golden.check(graph)[0].message
    with pytest.raises(RequestError, match="opset 12"):
        golden.run(graph, {"image": np.zeros((1, 3, 2, 2), np.float32)})


def test_other_operators_equal_onnx_runtime():
    """Resize, MaxPool, Clip, Sigmoid, Sub, Mul, Concat in float."""
    nodes = [
        helper.make_node("Resize", ["image", "", "scales"], ["a"], mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["b", "low", "high"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["d"]),
        helper.make_node("Sub", ["d", "b"], ["e"]),
        helper.make_node("Mul", ["e", "b"], ["f"]),
        helper.make_node("Concat", ["f", "b"], ["restored"], axis=1),
    ]  # fmt: skip
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "low": np.float32(-1), "high": np.float32(0.5)}
    graph = build(nodes, constants, (1, 3, 6, 6), (1, 6, 6, 6))
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 6, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(graph.model.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run(None, {"image": image})[0]
    np.testing.assert_allclose(golden.run(graph, {"image": image})["restored"], want, atol=1e-6)
