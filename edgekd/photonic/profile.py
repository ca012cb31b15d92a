"""What features cost: on this host as measured, on the device as its descriptor's clock estimates."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from math import comb
from typing import Any

import numpy as np

from edgekd.evidence import Figure, Kind, host, now
from edgekd.measure.latency import median_interval
from edgekd.measure.statistics import percentiles
from edgekd.photonic.base import ClickSource, FeatureSource
from edgekd.photonic.circuit import Floats
from edgekd.photonic.sources.registry import circuit_of, open_source, opener
from edgekd.schema.photonic import Photonic
from edgekd.store import installed

MOST_RUNS = 100
STEP = 4
"""Modes between two rows of growth."""


def sizes(device: Photonic) -> Iterator[Photonic]:
    """The device with its first 4, 8, .. modes where its loops fit, then whole; only whole where it is remote."""
    circuit = device.circuit
    for modes in range(STEP, len(circuit.photons), STEP):
        if max(circuit.loops) < modes and not getattr(opener(device.source), "remote", False):
            less = circuit.model_copy(update={"photons": circuit.photons[:modes]})
            yield device.model_copy(update={"circuit": less})
    yield device


def profile(device: Photonic, seconds: float = 1.0) -> Iterator[list[Figure]]:
    """Figures of each of `sizes`: time of a vector of features, shots per second, memory, states, time on the device.

    Each is run for about `seconds`, once at least; what is remote only once.
    """
    for each in sizes(device):
        source = open_source(each)
        yield measured(each, source, 0.0 if getattr(source, "remote", False) else seconds) + estimated(each)


def measured(device: Photonic, source: FeatureSource, seconds: float) -> list[Figure]:
    """Of this host."""
    angles, shots = random_angles(device), device.shots
    calls: dict[str, Callable[[int], Any]] = {"features": lambda i: source.features(angles, shots, (0, i))}
    if isinstance(source, ClickSource):
        calls["shots"] = lambda i: source.sample(angles, shots, (0, i))
    first = _seconds(calls["features"], 0.0)[0]
    figures = [_timed(device, source, name, _seconds(call, seconds), first) for name, call in calls.items()]
    memory = float(_peak(lambda: calls["features"](0)))
    how = "what Python and numpy allocate in a call at most (tracemalloc), tables that are kept left out"
    return [*figures, _figure(device, tools(source), "memory", memory, "bytes", "measured", how)]


def _timed(device: Photonic, source: FeatureSource, name: str, rows: Floats, first: float) -> Figure:
    """Milliseconds of a vector of features, or shots per second, from seconds of calls."""
    value, (low, high) = float(np.median(rows)), median_interval(rows)
    details = percentiles(1e3 * rows) | {"first_ms": 1e3 * first, "load": os.getloadavg(), "shots": device.shots,
                                         "validated": device.validated}  # fmt: skip
    more = {"n": len(rows), "details": details}
    how = f"median of {len(rows)} calls one after the other, the first left out"
    if name == "shots":
        rate, ends = device.shots / value, (device.shots / high, device.shots / low)
        return _figure(device, tools(source), name, rate, "1/s", "measured", how, interval=ends, **more)
    ends = (1e3 * low, 1e3 * high)
    return _figure(device, tools(source), name, 1e3 * value, "ms", "measured", how, interval=ends, **more)


def estimated(device: Photonic) -> list[Figure]:
    """By counting, and by the descriptor's clock."""
    circuit, ours = device.circuit, f"edgekd {installed('edgekd')}"
    states = comb(len(circuit.photons) + sum(circuit.photons) - 1, sum(circuit.photons))
    seconds = device.clock.setup_seconds + device.shots * device.shot_seconds
    how = f"setup + shots x (modes + loops) / bins a second; {clock_source(device)}"
    return [
        _figure(device, ours, "states", states, "", "estimated", "photon-number patterns of the sector"),
        _figure(device, ours, "device time", 1e3 * seconds, "ms", "estimated", how),
    ]


def random_angles(device: Photonic, seed: int = 0) -> Floats:
    """Uniform in [0, 2 pi)."""
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, circuit_of(device).angles)


def clock_source(device: Photonic) -> str:
    """Where the numbers of the clock come from."""
    return device.sources.get("clock", "the descriptor names no source of its clock")


def tools(source: FeatureSource) -> str:
    """What made the numbers."""
    return getattr(source, "tool", f"edgekd {installed('edgekd')}, numpy {installed('numpy')}")


def kind(source: FeatureSource) -> str:
    """What its features are: simulated, or unknown where only what is behind the network knows."""
    return "unknown" if getattr(source, "remote", False) else "simulated"


def _seconds(call: Callable[[int], Any], seconds: float) -> Floats:
    """Of single calls, each with its number."""
    rows: list[float] = []
    end = time.perf_counter() + seconds
    while not rows or (time.perf_counter() < end and len(rows) < MOST_RUNS):
        begin = time.perf_counter()
        call(len(rows))
        rows.append(time.perf_counter() - begin)
    return np.array(rows)


def _peak(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _figure(device: Photonic, tool: str, name: str, value: float, unit: str, kind: Kind, method: str,
            **more: Any) -> Figure:  # fmt: skip
    circuit = device.circuit
    subject = f"{device.name}:{device.source}, {len(circuit.photons)} modes, {sum(circuit.photons)} photons"
    return Figure(name=name, subject=subject, value=value, unit=unit, kind=kind, method=method, tool=tool, host=host(),
                  when=now(), **more)  # fmt: skip
