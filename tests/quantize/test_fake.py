"""The fake quantizer computes what the pair it emits computes; its gradients are LSQ's."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.quantize.fake import ActivationQuantizer, WeightQuantizer
from edgekd.quantize.grid import Grid, activation_grid, weight_grid
from edgekd.schema.recipe import Calibration
from edgekd.schema.target import Activations, Arithmetic, Placement
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.graph.graphs import build, pair
from tests.quantize.nets import scaled


def arithmetic(**activations) -> Arithmetic:
    spec = Activations(**{"signed": True, "symmetric": True} | activations)
    return Arithmetic(name="t", activations=spec, placement=Placement(quantize=("Conv",)))


def grid(signed=True, symmetric=True, po2=False, bits=8) -> Grid:
    spec = arithmetic(signed=signed, symmetric=symmetric, bits=bits)
    return activation_grid(scaled(spec, "power-of-two" if po2 else "real"), False)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), signed=st.booleans(), symmetric=st.booleans(), po2=st.booleans())
def test_fake_quantization_equals_onnx_runtime(seed, signed, symmetric, po2):
    torch.manual_seed(seed)
    x = torch.randn(1, 3, 16, 16) * 3 + 1
    quantizer = ActivationQuantizer(grid(signed, symmetric, po2))
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
    quantizer = ActivationQuantizer(grid())
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
    quantizer = WeightQuantizer(weight_grid(arithmetic(), 8), "channel", weight)
    codes = quantizer.codes(weight)
    assert quantizer.scale().shape == (5, 1, 1, 1)
    assert codes.abs().amax((1, 2, 3)).tolist() == [127.0] * 5
    error = (quantizer.fake(weight) - weight).abs().amax((1, 2, 3)).detach()
    assert (error <= quantizer.scale().detach().flatten() / 2 * 1.001).all()


def test_known_ranges_hit_pixels_without_ties():
    """A picture in [-1, 1]: no 8-bit pixel lies half way between two codes."""
    pixels = torch.arange(256) / 127.5 - 1
    for signed in (True, False):
        quantizer = ActivationQuantizer(grid(signed, signed), (-1.0, 1.0))
        exact = pixels.double() / quantizer.scale().double()
        assert float(((exact - exact.floor()) - 0.5).abs().min()) > 1e-4


def test_values_that_cannot_be_negative_get_unsigned_codes_where_the_arithmetic_has_them():
    """A symmetric arithmetic gives a ReLU one bit more: 255 codes over its range in place of 127."""
    x = torch.rand(1, 3, 8, 8) * 5
    steps = {}
    for unsigned in (True, False):
        quantizer = ActivationQuantizer(activation_grid(arithmetic(unsigned_relu=unsigned), True))
        quantizer.mode = "observe"
        quantizer(x)
        quantizer.finish()
        steps[unsigned] = float(quantizer.scale().detach())
        assert int(quantizer.zero_point) == 0
        assert quantizer.grid.dtype is (torch.uint8 if unsigned else torch.int8)
    assert steps[False] / steps[True] == pytest.approx(255 / 127)


@pytest.mark.parametrize(("ties", "codes"), [("even", [0, 2, 2, 0, -2, -2]), ("away", [1, 2, 3, -1, -2, -3])])
def test_halves_go_where_the_arithmetic_says(ties, codes):
    quantizer = ActivationQuantizer(replace(grid(), ties=ties))
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])  # the step is 1
    assert quantizer.codes(x).tolist() == codes
    assert quantizer.fake(x).tolist() == codes


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_fewer_bits_start_where_they_lose_least(bits):
    """Against every fraction of the largest weight, tried one by one."""
    torch.manual_seed(0)
    weight = torch.randn(3, 4, 3, 3)
    quantizer = WeightQuantizer(weight_grid(arithmetic(), bits), "channel", weight)
    top = 2 ** (bits - 1) - 1
    assert quantizer.codes(weight).abs().max() == top

    def error(channel: int, step: float) -> float:
        w = weight[channel].numpy().astype(np.float64)
        return float(np.square(np.clip(np.rint(w / step), -top, top) * step - w).sum())

    for channel in range(3):
        largest = float(weight[channel].abs().max())
        tried = [error(channel, largest * f / 40 / top) for f in range(12, 41)]
        ours = error(channel, float(quantizer.scale().detach()[channel]))
        assert ours <= (tried[-1] if bits == 8 else min(tried)) * (1 + 1e-4)


def test_dead_channels_and_constant_tensors_have_a_step():
    weight = torch.zeros(3, 2, 1, 1)
    weight[0] = 1.0
    step = WeightQuantizer(weight_grid(arithmetic(), 8), "channel", weight).scale().detach().flatten()
    assert (step > 0).all()
    assert float(step[1]) == pytest.approx(float(step[0]) / 4096)
    dead = WeightQuantizer(weight_grid(arithmetic(), 8), "channel", torch.zeros(3, 2, 1, 1)).scale()
    assert dead.flatten().tolist() == [1.0, 1.0, 1.0]
    quantizer = ActivationQuantizer(grid(signed=False, symmetric=False))
    quantizer.mode = "observe"
    quantizer(torch.zeros(1, 3, 4, 4))
    quantizer.finish()
    assert quantizer.scale().item() == 1.0


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_range_that_is_not_finite_is_refused(method, odd):
    quantizer = ActivationQuantizer(grid(), calibration=Calibration(method=method))
    quantizer.mode = "observe"
    quantizer(torch.tensor([1.0, odd]))
    with pytest.raises(RequestError, match="not finite"):
        quantizer.finish()


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_two_ways_to_the_gradient_agree(per_channel):
    """One step for all goes through a fused pass, several do not; with equal steps the sums are the same."""
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 3, 3)
    whole, channels = (WeightQuantizer(weight_grid(arithmetic(), 4), per, weight) for per in ("tensor", "channel"))
    channels.log_scale.data.fill_(whole.log_scale.item())
    grads = []
    for quantizer in (whole, channels):
        x = weight.clone().requires_grad_()
        (quantizer.fake(x) * torch.arange(4.0).reshape(4, 1, 1, 1)).sum().backward()
        grads.append((x.grad, float(quantizer.log_scale.grad.sum())))
    torch.testing.assert_close(grads[0][0], grads[1][0])
    assert grads[0][1] * 2 == pytest.approx(grads[1][1], rel=1e-4)  # gain: 1 / sqrt(values of one step)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_does_not_depend_on_the_layout(layout):
    torch.manual_seed(0)
    quantizer, weight = ActivationQuantizer(grid()), torch.randn(2, 3, 8, 8)
    quantizer.set_scale(torch.tensor(0.01))
    quantizer.mode = "quantize"
    x = torch.randn(2, 3, 8, 8).to(memory_format=layout).requires_grad_()
    (quantizer(x) * weight).sum().backward()
    v = x.detach().double() / 0.01
    inside = (v > -128.5) & (v < 127.5)
    slope = torch.where(inside, v.round() - v, v.clamp(-128, 127))
    want = float((weight.double() * slope).sum()) / np.sqrt(x.numel() * 127) * 0.01 * np.log(2)
    assert float(quantizer.log_scale.grad) == pytest.approx(want, rel=1e-3)
    torch.testing.assert_close(x.grad, weight * inside)


def test_a_known_range_that_is_not_around_zero_uses_every_code():
    quantizer = ActivationQuantizer(grid(signed=False, symmetric=False), (-0.1, 10.0))
    step = quantizer.scale().item()
    assert step == pytest.approx(10.1 / 255)
    codes = quantizer.codes(torch.tensor([-0.1, 0.0, 10.0])).tolist()
    assert codes[0] == 0
    assert codes[1] == quantizer.zero_point.item()
    assert codes[2] >= 254
