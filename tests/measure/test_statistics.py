"""Percentiles and bootstrap intervals."""

import tracemalloc

import numpy as np
from edgekd.measure.statistics import bootstrap, percentiles
from hypothesis import given
from hypothesis import strategies as st


def test_percentiles_of_known_values():
    p = percentiles(range(101))
    assert (p["p5"], p["p50"], p["p90"], p["p99"], p["min"], p["max"], p["mean"]) == (5, 50, 90, 99, 0, 100, 50)


def test_many_runs_need_little_memory():
    """A fast net that is timed for a minute runs a hundred thousand times; 2000 resamples of that are 1.6 GB."""
    rows = np.random.default_rng(0).normal(5, 1, 10**5)
    tracemalloc.start()
    low, high = bootstrap(rows, lambda r: float(r.mean()), block=46)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert low < rows.mean() < high
    assert peak < 200e6


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=30))
def test_an_interval_lies_within_the_data(values):
    rows = np.array(values)
    low, high = bootstrap(rows, lambda r: float(r.mean()), draws=200)
    assert rows.min() - 1e-9 <= low <= high <= rows.max() + 1e-9


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        low, high = bootstrap(rng.normal(0, 1, 40), lambda r: float(r.mean()), draws=300, seed=i)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99
