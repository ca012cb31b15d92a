"""What a series of latencies says."""

import numpy as np
import pytest
from edgekd.measure.latency import describe, median_interval, speed_up
from edgekd.measure.statistics import bootstrap
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("runs", "window", "short"), [(1024, 0.1, False), (1023, 59.9, True), (10, 60.0, False), (10, 1.0, True)]
)
def test_short_is_less_than_both(runs, window, short):
    assert describe(np.ones(runs), window)["short"] is short


def test_percentiles_of_known_latencies():
    told = describe(np.arange(101.0), 60)
    assert (told["p50"], told["p90"], told["p99"], told["min"]) == (50, 90, 99, 0)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 50), st.booleans())
def test_a_net_so_many_times_slower_is_so_many_times_slower(factor, in_turns):
    ours = RNG.lognormal(0, 0.1, 300)
    value, (low, high) = speed_up(factor * ours, ours, in_turns)
    assert value == pytest.approx(factor)
    assert low <= value * (1 + 1e-9)
    assert high >= value * (1 - 1e-9)


def test_rounds_in_turns_are_not_torn_apart():
    """What slows both alike in a round leaves the ratio alone; taken one by one it does not."""
    drift = 1 + 0.3 * np.sin(np.linspace(0, 20, 900))
    base, ours = 3 * drift * RNG.normal(1, 0.01, 900), drift * RNG.normal(1, 0.01, 900)
    paired, alone = (speed_up(base, ours, in_turns)[1] for in_turns in (True, False))
    assert paired[0] < 3 < paired[1]
    assert paired[1] - paired[0] < 0.3 * (alone[1] - alone[0])


def test_neighbours_that_resemble_each_other_widen_the_interval():
    """Of a random walk that returns, an interval that takes runs for independent is too narrow."""
    series = np.zeros(1000)
    for i in range(1, 1000):
        series[i] = 0.9 * series[i - 1] + RNG.normal()
    blocks, single = median_interval(series), bootstrap(series, lambda rows: float(np.median(rows)))
    assert blocks[1] - blocks[0] > 1.5 * (single[1] - single[0])
