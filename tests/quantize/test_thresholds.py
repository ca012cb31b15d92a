"""Power-of-two activations: thresholds T = 2^k, steps T / 128 signed and T / 256 unsigned, signs by structure."""

import math

import pytest
import torch
from edgekd.quantize.capture import capture
from edgekd.quantize.fake import ActivationQuantizer, WeightQuantizer
from edgekd.quantize.grid import Grid, activation_grid, next_power, weight_grid
from edgekd.quantize.insert import calibrate, insert
from edgekd.quantize.methods import groups
from edgekd.schema.recipe import Calibration
from edgekd.schema.target import Activations, Arithmetic, Placement
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.quantize.nets import scaled

EVERY = ("Conv", "Add", "Mul", "Resize", "Sigmoid", "ReduceMean", "Relu")
ARITHMETIC = Arithmetic(
    name="t",
    activations=Activations(signed=True, symmetric=True, unsigned_relu=True, scale="power-of-two"),
    placement=Placement(quantize=EVERY, fused=(("Conv", "Relu"), ("Conv", "Sigmoid")), shared=("Resize",)),
)
SIGNED, UNSIGNED = activation_grid(ARITHMETIC, False), activation_grid(ARITHMETIC, True)
FOUR = ARITHMETIC.activations.model_copy(update={"bits": 4})
REAL = scaled(ARITHMETIC, "real")
GREY = 128 / 255


def observed(grid: Grid, x, method="mse") -> ActivationQuantizer:
    quantizer = ActivationQuantizer(grid, calibration=Calibration(method=method))
    quantizer.mode = "observe"
    quantizer(x)
    quantizer.next_batch()
    quantizer.finish()
    quantizer.mode = "quantize"
    return quantizer


def threshold(quantizer: ActivationQuantizer) -> float:
    """Values of the codes' whole width, one side of it where they have a sign."""
    return float(quantizer.scale().detach()) * (256 if quantizer.grid.qmin == 0 else 128)


@settings(max_examples=200)
@given(st.floats(1e-30, 1e30))
def test_the_next_power_is_the_least_that_is_not_below(limit):
    power = next_power(limit)
    assert math.frexp(power)[0] == 0.5
    assert power >= limit * (1 - 1e-5)
    assert power / 2 < limit


def test_known_ranges_have_their_own_thresholds():
    ends = (0 - GREY) / GREY, (1 - GREY) / GREY  # pixels as a sensor gives them, with float errors
    assert threshold(ActivationQuantizer(SIGNED, ends)) == 1.0
    assert threshold(ActivationQuantizer(SIGNED, (-1.0, 1.0))) == 1.0
    assert threshold(ActivationQuantizer(UNSIGNED, (0.0, 1.0))) == 1.0
    assert threshold(ActivationQuantizer(SIGNED, (-2.1, 2.6))) == 4.0


def test_pixels_are_their_codes():
    pixels = torch.arange(256.0)
    signed, unsigned = ActivationQuantizer(SIGNED, (-1.0, 127 / 128)), ActivationQuantizer(UNSIGNED, (0.0, 255 / 256))
    assert torch.equal(signed.codes((pixels - 128) / 128), pixels - 128)
    assert torch.equal(unsigned.codes(pixels / 256), pixels)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize(("top", "wanted"), [(1.0, 1.0), (1.3, 2.0), (0.4, 0.5), (0.25, 0.25)])
def test_the_threshold_holds_what_was_seen(method, top, wanted):
    x = torch.linspace(0, top, 1000)
    assert threshold(observed(UNSIGNED, x, method)) == wanted
    assert threshold(observed(SIGNED, -x, method)) == wanted


def test_mse_takes_the_power_that_loses_least():
    """Against every power of two tried on the values themselves."""
    x = torch.cat([torch.randn(20000, generator=torch.Generator().manual_seed(0)) * 0.1, torch.tensor([3.0])])

    def loss(t: float) -> float:
        return float(((x / (t / 128)).round().clamp(-128, 127) * (t / 128) - x).double().square().sum())

    powers = [2.0**k for k in range(-8, 3)]
    assert threshold(observed(SIGNED, x)) == min(powers, key=loss)
    few = Grid(-8, 7, 0, True, True, "even")  # at 4 bits the outlier is cut

    def few_loss(t: float) -> float:
        return float(((x / (t / 8)).round().clamp(-8, 7) * (t / 8) - x).double().square().sum())

    step = float(observed(few, x).scale().detach())
    assert step * 8 == min(powers, key=few_loss) < 1


def test_weights_keep_real_scales_beside():
    """The sensor multiplies by one real number a channel; only activations are powers of two."""
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    steps = WeightQuantizer(weight_grid(ARITHMETIC, 8), "channel", weight).scale().detach().flatten()
    assert torch.allclose(steps, weight.abs().amax((1, 2, 3)) / 127)


class Gated(nn.Module):
    """Convolution and ReLU, upsampled; a gate; logits."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.mix, self.last = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        y = nn.functional.interpolate(torch.relu(self.a(x)), scale_factor=2.0, mode="nearest")
        return self.last(y * torch.sigmoid(self.mix(y.mean((2, 3), keepdim=True))))


def gated(arithmetic=ARITHMETIC, bias=0.0):
    torch.manual_seed(0)
    net, x = Gated(), torch.randint(-128, 128, (4, 3, 8, 8)) / 128
    with torch.no_grad():
        net.last.bias.fill_(bias)
    return insert(capture(net, (x,)), arithmetic, [(-1.0, 127 / 128)]), x


def test_signs_follow_the_structure_not_the_values():
    """Unsigned behind ReLU and Sigmoid and what moves those; logits stay signed whatever calibration saw."""
    quantized, x = gated(bias=50.0)  # calibration sees no negative logit
    calibrate(quantized, [(x,)])
    unsigned = {value for value, q in quantized.activations.items() if q.grid.qmin == 0}
    *_, logits = quantized.activations
    assert unsigned == {"relu", "sigmoid"}
    assert quantized.activations[logits].grid.qmin == -128
    assert float(quantized.module(x).detach().min()) > 0
    assert threshold(quantized.activations["sigmoid"]) == 1.0


class Clipped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 1) for _ in range(3))

    def forward(self, x):
        return torch.clamp(self.c(nn.functional.hardtanh(self.b(nn.functional.relu6(self.a(x))))), min=0.0)


def test_clips_from_zero_are_unsigned_and_so_are_such_pictures():
    x = torch.rand(1, 3, 4, 4)
    quantized = insert(capture(Clipped(), (x,)), ARITHMETIC, [(0.0, 255 / 256)])
    grids = [q.grid.qmin for q in quantized.activations.values()]
    assert [low == 0 for low in grids][:2] == [True, True]  # the picture, ReLU6
    assert grids[-2:] == [-128, 0]  # HardTanh, the clip from 0
    assert threshold(next(iter(quantized.activations.values()))) == 1.0


@pytest.mark.parametrize(("start", "end"), [(64.0, 4.0), (0.03125, 4.0)])
def test_training_moves_a_threshold_to_the_values(start, end):
    """Steps eight or a hundred times off come back by their gradient; they stay powers of two and finite."""
    x = torch.randn(4096, generator=torch.Generator().manual_seed(0))
    quantizer = ActivationQuantizer(SIGNED)
    quantizer.set_scale(torch.tensor(start / 128))
    quantizer.mode = "quantize"
    optimizer = torch.optim.Adam([quantizer.log_scale], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (quantizer(x) - x).square().sum().backward()
        optimizer.step()
        assert math.frexp(float(quantizer.scale().detach()))[0] == 0.5
    assert threshold(quantizer) in (end, end / 2, end * 2)


def test_exponents_learn_at_their_own_rate_and_everything_learns_once():
    quantized, _ = gated()
    first, second = groups(quantized, 3e-4)
    assert (first["lr"], second["lr"]) == (3e-4, 0.01)
    exponents = {q.log_scale for q in quantized.activations.values() if q.log_scale.requires_grad}
    assert set(second["params"]) == exponents
    trained = {p for p in quantized.module.parameters() if p.requires_grad}
    assert len(first["params"]) + len(second["params"]) == len(trained)
    assert {*first["params"], *second["params"]} == trained
    (only,) = groups(insert(capture(Gated(), (torch.zeros(1, 3, 8, 8),)), REAL, [(-1.0, 1.0)]), 3e-4)
    assert only["lr"] == 3e-4


def test_a_net_whose_thresholds_are_an_octave_too_wide_trains_them_back():
    """At 4 bits, where an octave is worth something: the error falls below that of trained weights alone."""
    errors = {}
    for learns in (True, False):
        quantized, x = gated(ARITHMETIC.model_copy(update={"activations": FOUR, "simulated": True}))
        calibrate(quantized, [(x,)])
        with torch.no_grad():
            quantized.mode("float")
            wanted = quantized.module(x)
            quantized.mode("quantize")
        free = [q for q in quantized.activations.values() if q.log_scale.requires_grad]
        for q in free:
            q.log_scale.data += 1
            q.log_scale.requires_grad_(learns)
        optimizer = torch.optim.Adam(groups(quantized, 1e-3))
        for _ in range(150):
            optimizer.zero_grad()
            error = (quantized.module(x) - wanted).square().mean()
            error.backward()
            optimizer.step()
        errors[learns] = float(error.detach())
        assert math.isfinite(errors[learns])
    assert errors[True] < errors[False]


def test_hostile_gradients_leave_thresholds_finite():
    quantizer = ActivationQuantizer(UNSIGNED)
    quantizer.mode = "quantize"
    optimizer = torch.optim.Adam([quantizer.log_scale], lr=0.5)
    for value in (0.0, 1e30, 1e-30, 0.0, 1e-3):
        optimizer.zero_grad()
        (quantizer(torch.full((64,), value)) * 1e6).sum().backward()
        optimizer.step()
        assert math.isfinite(float(quantizer.scale().detach()))
