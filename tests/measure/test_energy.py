"""Energy against integrals that are known: lines, steps, counters."""

import json

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.measure import tegrastats
from edgekd.measure.energy import Counter, Power, headline, per_inference
from hypothesis import given
from hypothesis import strategies as st

from tests.devices.recorded import RECORDED

level = st.floats(0.1, 50)


def log(times, watts, *, idle=(0, 10), load=(10, 30), count=1000, rail="VDD_IN"):
    samples = [{"t": t, "watts": {rail: w}, "joules": {}} for t, w in zip(times, watts, strict=True)]
    return {"samples": samples, "lines": [], "idle": idle, "load": load, "count": count}


@given(level, level, st.integers(1, 10**6))
def test_two_levels(idle, load, count):
    """A step between two constant powers: E = P T / N and (P - P0) T / N."""
    times = np.arange(0, 30.01, 0.08)
    (found,) = per_inference(log(times, np.where(times < 10, idle, load), count=count))
    assert found.gross == pytest.approx(load * 20 / count)
    assert found.net == pytest.approx((load - idle) * 20 / count, abs=1e-9)
    assert found.idle_watts == pytest.approx(idle)
    assert found.load_window == pytest.approx(18)
    assert found.inferences == pytest.approx(count * 18 / 20)
    assert found.samples == pytest.approx(18 / 0.08, abs=2)
    assert found.whole


@given(st.lists(st.tuples(st.floats(0.01, 1), level), min_size=3, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_any_line_is_integrated_exactly(steps, first, second):
    """Piecewise linear power: twice as many points on the same lines give the same energy, and windows add up."""
    t = np.cumsum([gap for gap, _ in steps])
    watts = np.array([power for _, power in steps])
    fine = np.sort(np.concatenate([t, (t[1:] + t[:-1]) / 2]))
    start, middle, end = t[0], *sorted(t[0] + np.array([first, second]) * (t[-1] - t[0]))
    coarse, finer = Power(t, watts), Power(fine, np.interp(fine, t, watts))
    assert coarse.joules((start, end)) == pytest.approx(finer.joules((start, end)), abs=1e-9)
    parts = coarse.joules((start, middle)) + coarse.joules((middle, end))
    assert parts == pytest.approx(coarse.joules((start, end)), abs=1e-9)


def test_a_ramp():
    """P = 2 t: the integral from 1 to 4 is 15."""
    t = np.array([0.0, 0.7, 2.2, 5.0])
    assert Power(t, 2 * t).joules((1, 4)) == pytest.approx(15)
    assert Counter(t, 3 * t).joules((1, 4)) == pytest.approx(9)


@given(level, level, st.floats(50, 1000))
def test_a_counter_that_starts_anew(idle, load, limit):
    times = np.arange(0, 30.01, 0.08)
    joules = np.where(times < 10, idle * times, idle * 10 + load * (times - 10))
    samples = [
        {"t": t, "watts": {}, "joules": {"package-0": [j % limit, limit]}} for t, j in zip(times, joules, strict=True)
    ]
    (found,) = per_inference({"samples": samples, "lines": [], "idle": (0, 10), "load": (10, 30), "count": 20})
    assert found.gross == pytest.approx(load, rel=1e-6)
    assert found.net == pytest.approx(load - idle, abs=1e-6 * (load + idle))


def test_the_ends_of_a_window_do_not_count():
    """The first and the last second of the load are wild; they are left out."""
    times = np.arange(0, 30.01, 0.05)
    watts = np.where((times > 11) & (times < 29), 8.0, np.where(times < 9.5, 3.0, 500.0))
    (found,) = per_inference(log(times, watts), margin=1.1)
    assert found.load_watts == pytest.approx(8)
    assert found.idle_watts == pytest.approx(3)


def test_tegrastats_lines_become_rails_and_only_a_module_rail_is_the_board():
    nano, agx = (json.loads((RECORDED / f"{name}.json").read_text())["commands"]["tegrastats"]
                 for name in ("orin-nano-jetpack-6", "agx-orin-jetpack-7"))  # fmt: skip
    for line, rails, board in ((nano, ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"], "VDD_IN"),
                               (agx, ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"], None)):  # fmt: skip
        lines = [[t / 10, line] for t in range(301)]
        found = per_inference({"samples": [], "lines": lines, "idle": [0, 10], "load": [10, 30], "count": 100})
        assert [energy.rail for energy in found] == rails
        assert all(energy.net == pytest.approx(0, abs=1e-9) for energy in found)
        best = headline(found)
        assert (best.rail if best else None) == board


def test_the_two_forms_of_tegrastats():
    six = tegrastats.parse("CPU [0%@1036,off] GR3D_FREQ 0% cpu@47.875C tj@50.2C VDD_IN 4654mW/4100mW")
    assert (six.watts, six.gpu_percent, six.gpu_mhz) == ({"VDD_IN": 4.654}, 0, None)
    assert six.temperatures == {"cpu": 47.875, "tj": 50.2}
    seven = tegrastats.parse("EMC_FREQ 2%@3199 GR3D_FREQ 12%@[1300,1300] CV0@-256C tj@52.9C VDD_GPU_SOC 5139mW/5139mW")
    assert (seven.gpu_percent, seven.gpu_mhz) == (12, 1300)
    assert seven.temperatures == {"tj": 52.9}


def test_what_cannot_be_told_is_not():
    with pytest.raises(RequestError, match="tells no power"):
        per_inference({"samples": [], "lines": [], "idle": [0, 10], "load": [10, 30], "count": 1})
    with pytest.raises(RequestError, match="too short"):
        per_inference(log([0.0, 30.0], [1.0, 1.0], idle=(0, 1.5)))
    assert per_inference(log([0.0, 20.0], [1.0, 1.0])) == []  # fell silent in the middle
