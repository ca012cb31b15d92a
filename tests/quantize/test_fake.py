"""The fake quantizer computes what the pair it emits computes; its gradients are LSQ's."""

import numpy as np
import onnxruntime
import pytest
import torch
from edgekd.quantize.fake import ActivationQuantizer, WeightQuantizer
from edgekd.schema.target import Activations, Weights
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.graph.graphs import build, pair


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), signed=st.booleans(), symmetric=st.booleans(), po2=st.booleans())
def test_fake_quantization_equals_onnx_runtime(seed, signed, symmetric, po2):
    torch.manual_seed(seed)
    x = torch.randn(1, 3, 16, 16) * 3 + 1
    quantizer = ActivationQuantizer(Activations(signed=signed, symmetric=symmetric), po2)
    quantizer.mode = "observe"
    quantizer(x * 0.8)  # some values lie outside the range
    quantizer.finish()
    quantizer.mode = "quantize"
    dtype = np.int8 if signed else np.uint8
    constants = {"s": quantizer.scale().detach().numpy(), "z": dtype(int(quantizer.zero_point))}
    graph = build([*pair("y", "image"), helper.make_node("Identity", ["y"], ["restored"])], constants, x.shape, x.shape)
    session = onnxruntime.InferenceSession(graph.expose("y.q"), providers=["CPUExecutionProvider"])
    restored, codes = session.run(["restored", "y.q"], {"image": x.numpy()})
    np.testing.assert_array_equal(quantizer.codes(x).detach().numpy(), codes)
    np.testing.assert_array_equal(quantizer(x).detach().numpy(), restored)
    if po2:
        exponent = float(torch.log2(quantizer.scale().detach()))
        assert exponent == round(exponent)
    if symmetric:
        assert int(quantizer.zero_point) == (0 if signed else 128)


def test_gradients_are_lsq():
    """Written out per value: 1 inside and 0 outside for x; (round(v) - v) inside, the limit outside, for the step."""
    quantizer = ActivationQuantizer(Activations(signed=True, symmetric=True), False)
    quantizer.set_scale(torch.tensor(0.5))
    quantizer.mode = "quantize"
    x = torch.tensor([0.3, -0.6, 100.0, -100.0], requires_grad=True)
    quantizer(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    slopes = (1 - 0.6) + (-1 + 1.2) + 127 - 128
    step = slopes / np.sqrt(4 * 127)
    assert float(quantizer.log_scale.grad) == pytest.approx(step * 0.5 * np.log(2), rel=1e-5)


def test_weights_keep_the_symmetric_range():
    weight = torch.randn(5, 3, 3, 3)
    quantizer = WeightQuantizer(Weights(), weight, False)
    codes = quantizer.codes(weight)
    assert quantizer.scale().shape == (5, 1, 1, 1)
    assert codes.abs().amax((1, 2, 3)).tolist() == [127.0] * 5
    error = (quantizer.fake(weight) - weight).abs().amax((1, 2, 3)).detach()
    assert (error <= quantizer.scale().detach().flatten() / 2 * 1.001).all()


def test_known_ranges_hit_pixels_without_ties():
    """A picture in [-1, 1]: no 8-bit pixel lies half way between two codes."""
    pixels = torch.arange(256) / 127.5 - 1
    for signed in (True, False):
        quantizer = ActivationQuantizer(Activations(signed=signed, symmetric=signed), False, (-1.0, 1.0))
        exact = pixels.double() / quantizer.scale().double()
        assert float(((exact - exact.floor()) - 0.5).abs().min()) > 1e-4
