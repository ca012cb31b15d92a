"""Ranges against what numpy computes from all values at once."""

import numpy as np
import pytest
import torch
from edgekd.quantize.calibration import BINS, Histogram, MinMax, observer
from edgekd.quantize.grid import Grid
from edgekd.schema.recipe import Calibration
from hypothesis import given, settings
from hypothesis import strategies as st

S8, U8 = Grid(-128, 127, 0, True, False, "even"), Grid(0, 255, 128, False, False, "even")
S4 = Grid(-8, 7, 0, True, False, "even")


def seen(what, values):
    for batch in values:
        what.see(batch)
        what.next_batch()
    return what


def batches(seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 1000, generator=generator) * scale * (i + 1) for i in range(4)]


def test_minmax_is_the_mean_of_the_extremes():
    values = batches(0)
    low, high = seen(MinMax(), values).span(U8)
    assert low == pytest.approx(np.mean([float(b.min()) for b in values]))
    assert high == pytest.approx(np.mean([float(b.max()) for b in values]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), percentile=st.sampled_from([95.0, 99.0, 99.9]), scale=st.floats(1e-4, 1e4))
def test_percentiles_are_right_to_a_bin(seed, percentile, scale):
    values = batches(seed, scale)
    histogram = seen(Histogram(percentile), values)
    low, high = histogram.span(U8)
    everything = torch.cat([b.ravel() for b in values]).numpy()
    rest, width = (100 - percentile) / 200 + 1e-9, 2 * histogram.limit / BINS
    assert np.mean(everything < low - 1e-6 * histogram.limit) <= rest
    assert np.mean(everything > high + 1e-6 * histogram.limit) <= rest
    assert np.mean(everything < low + 2 * width) >= rest - 2e-9
    assert np.mean(everything > high - 2 * width) >= rest - 2e-9


def test_no_value_is_lost_when_the_range_doubles():
    histogram = seen(Histogram(None), [torch.full((10,), 0.001), torch.full((7,), 1000.0), torch.full((3,), -5.0)])
    assert float(histogram.counts.sum()) == 20
    assert histogram.limit >= 1000


def test_mse_cuts_an_outlier_at_four_bits_and_hardly_at_eight():
    values = [torch.randn(20000, generator=torch.Generator().manual_seed(0)), torch.tensor([40.0])]

    def loss(limit):
        x = torch.cat(values).double()
        return float(((x / (limit / 7)).round().clamp(-8, 7) * (limit / 7) - x).square().sum())

    low, high = seen(Histogram(None), values).span(S4)
    assert high < 20
    assert low == -high
    assert loss(high) < 1.2 * min(loss(limit) for limit in np.linspace(0.5, 41, 300))
    assert seen(Histogram(None), values).span(S8)[1] > high


def test_mse_of_unsigned_codes_uses_their_own_step():
    """Half-normal values at 4 bits, codes 0 to 15: against every limit tried one by one."""
    x = torch.randn(50000, generator=torch.Generator().manual_seed(0)).abs()

    def loss(limit):
        return float(((x / (limit / 15)).round().clamp(0, 15) * (limit / 15) - x).double().square().sum())

    high = seen(Histogram(None), [x]).span(Grid(0, 15, 0, True, False, "even"))[1]
    assert loss(high) < 1.05 * min(loss(limit) for limit in np.linspace(0.5, 5, 200))


def test_places_that_share_a_scale_are_one_batch():
    """Extremes are those over all places, whichever the order; with one place as before."""
    observer = MinMax()
    for batch in range(3):
        observer.see(torch.tensor([-0.1, 0.2]))
        observer.see(torch.tensor([-10.0, 4.0 + batch]))
        observer.next_batch()
    assert observer.span(U8) == (-10.0, 5.0)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("value", [0.0, 3.5])
def test_constant_tensors(method, value):
    low, high = seen(observer(Calibration(method=method)), [torch.full((8,), value)]).span(U8)
    assert low == 0.0
    assert value <= high <= max(value * 1.01, 0.0) + 1e-9 or method != "minmax"
    assert high >= value * 0.9
