"""What features cost: on this host as measured, on the device as its descriptor's clock estimates."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from math import comb
from typing import Any

import numpy as np

from edgekd.evidence import Figure, host, now
from edgekd.measure.latency import median_interval
from edgekd.measure.statistics import percentiles
from edgekd.photonic.base import ClickSource, FeatureSource
from edgekd.photonic.circuit import Floats
from edgekd.photonic.sources.registry import open_source
from edgekd.schema.photonic import Photonic
from edgekd.store import installed

MOST_RUNS = 100
STEP = 4
"""Modes between two rows of growth."""


def sizes(device: Photonic) -> Iterator[Photonic]:
    """The device with its first 4, 8, .. modes, then the device itself; loops that do not fit end it sooner."""
    circuit = device.circuit
    for modes in range(STEP, len(circuit.photons), STEP):
        if max(circuit.loops) < modes and not getattr(open_source(device), "remote", False):
            less = circuit.model_copy(update={"photons": circuit.photons[:modes]})
            yield device.model_copy(update={"circuit": less})
    yield device


def profile(device: Photonic, seconds: float = 1.0) -> Iterator[list[Figure]]:
    """Figures of each of `sizes`: time of a vector of features, shots per second, memory, states, time on the device.

    A size is run for about `seconds`, once at least.
    """
    for each in sizes(device):
        yield measured(each, seconds) + estimated(each)


def measured(device: Photonic, seconds: float) -> list[Figure]:
    """Of this host."""
    source, angles = open_source(device), random_angles(device)
    calls: dict[str, Callable[[int], Any]] = {"features": lambda i: source.features(angles, device.shots, (0, i))}
    if isinstance(source, ClickSource):
        calls["shots"] = lambda i: source.sample(angles, device.shots, (0, i))
    first = _seconds(calls["features"], 0.0)
    figures = []
    for name, call in calls.items():
        rows = _seconds(call, seconds)
        value, ends = np.median(rows), median_interval(rows)
        scale = (device.shots / value, "1/s") if name == "shots" else (1e3 * value, "ms")
        interval = (
            (device.shots / ends[1], device.shots / ends[0]) if name == "shots" else (1e3 * ends[0], 1e3 * ends[1])
        )
        details = percentiles(1e3 * rows) | {"first_ms": 1e3 * first[0], "load": os.getloadavg(), "shots": device.shots}
        figures.append(_figure(device, source, name, scale, "measured", f"median of {len(rows)} calls of one after the "
                       "other, the first left out", n=len(rows), interval=interval, details=details))  # fmt: skip
    memory = float(_peak(lambda: calls["features"](0)))
    how = "what Python and numpy allocate in a call at most (tracemalloc), tables that are kept left out"
    return [*figures, _figure(device, source, "memory", (memory, "bytes"), "measured", how)]


def estimated(device: Photonic) -> list[Figure]:
    """By counting, and by the descriptor's clock."""
    source, circuit = open_source(device), device.circuit
    states = comb(len(circuit.photons) + sum(circuit.photons) - 1, sum(circuit.photons))
    seconds = device.clock.setup_seconds + device.shots * device.shot_seconds
    how = f"setup + shots x (modes + loops) / bins a second; {device.sources.get('clock', 'no source')}"
    return [
        _figure(device, source, "states", (states, ""), "estimated", "photon-number patterns of the sector"),
        _figure(device, source, "device time", (1e3 * seconds, "ms"), "estimated", how),
    ]


def random_angles(device: Photonic, seed: int = 0) -> Floats:
    """Uniform in [0, 2 pi)."""
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, open_source(device).circuit.angles)


def tools(source: FeatureSource) -> str:
    """What made the numbers."""
    return getattr(source, "tool", f"edgekd {installed('edgekd')}, numpy {installed('numpy')}")


def kind(source: FeatureSource) -> str:
    """What its features are: simulated, or measured by what is behind the network."""
    return "measured" if getattr(source, "remote", False) else "simulated"


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


def _figure(device: Photonic, source: FeatureSource, name: str, value: tuple[float, str], kind: Any, method: str,
            **more: Any) -> Figure:  # fmt: skip
    circuit = device.circuit
    subject = f"{device.name}:{device.source}, {len(circuit.photons)} modes, {sum(circuit.photons)} photons"
    return Figure(name=name, subject=subject, value=float(value[0]), unit=value[1], kind=kind, method=method,
                  tool=tools(source), host=host(), when=now(), **more)  # fmt: skip
