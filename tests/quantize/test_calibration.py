"""Ranges against what numpy computes from all values at once."""

import numpy as np
import pytest
import torch
from edgekd.quantize.calibration import BINS, Histogram, MinMax, observer
from edgekd.schema.recipe import Calibration
from hypothesis import given, settings
from hypothesis import strategies as st


def seen(what, values):
    for batch in values:
        what.see(batch)
    return what


def batches(seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 1000, generator=generator) * scale * (i + 1) for i in range(4)]


def test_minmax_is_the_mean_of_the_extremes():
    values = batches(0)
    low, high = seen(MinMax(), values).span(256, False)
    assert low == pytest.approx(np.mean([float(b.min()) for b in values]))
    assert high == pytest.approx(np.mean([float(b.max()) for b in values]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), percentile=st.sampled_from([95.0, 99.0, 99.9]), scale=st.floats(1e-4, 1e4))
def test_percentiles_are_right_to_a_bin(seed, percentile, scale):
    values = batches(seed, scale)
    histogram = seen(Histogram(percentile), values)
    low, high = histogram.span(256, False)
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

    def loss(limit, levels):
        x = torch.cat(values).double()
        step = 2 * limit / (levels - 1)
        return float(((x.clamp(-limit, limit) / step).round() * step - x).square().sum())

    low, high = seen(Histogram(None), values).span(16, True)
    assert high < 20
    grid = np.linspace(0.5, 41, 300)
    best = min(loss(limit, 16) for limit in grid)
    assert low == -high
    assert loss(high, 16) < 1.2 * best
    assert seen(Histogram(None), values).span(256, True)[1] > high


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("value", [0.0, 3.5])
def test_constant_tensors(method, value):
    low, high = seen(observer(Calibration(method=method)), [torch.full((8,), value)]).span(256, False)
    assert low == 0.0
    assert value <= high <= max(value * 1.01, 0.0) + 1e-9 or method != "minmax"
    assert high >= value * 0.9
