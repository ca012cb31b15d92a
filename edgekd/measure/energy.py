"""Energy of an inference, from power sampled while a device is idle and while it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.errors import RequestError
from edgekd.measure import tegrastats
from edgekd.measure.statistics import Rows

MARGIN = 1.0
"""Seconds left out at both ends of a window: clocks and sensors settle."""
MODULE = ("VDD_IN", "POM_5V_IN")
"""Rails that feed a whole Jetson module. Elsewhere no rail, and no sum of rails, is known to be all of it."""
Window = tuple[float, float]


@dataclass(frozen=True)
class Power:
    """Power sampled at times: s, W."""

    t: Rows
    watts: Rows

    def joules(self, window: Window) -> float:
        """Energy in a window: trapezoids, linear between samples."""
        inside = self.t[(self.t > window[0]) & (self.t < window[1])]
        t = np.array([window[0], *inside, window[1]])
        return float(np.trapezoid(np.interp(t, self.t, self.watts), t))


@dataclass(frozen=True)
class Counter:
    """Energy counted at times: s, J, never falling."""

    t: Rows
    count: Rows

    def joules(self, window: Window) -> float:
        """Energy in a window, linear between samples."""
        start, end = np.interp(window, self.t, self.count)
        return float(end - start)


@dataclass(frozen=True)
class Energy:
    """What one inference takes on one rail, J: all of it, and above idle."""

    rail: str
    gross: float
    net: float
    idle_watts: float
    load_watts: float
    idle_window: float
    load_window: float
    inferences: float
    samples: int

    @property
    def whole(self) -> bool:
        """Whether the rail feeds the whole module."""
        return self.rail in MODULE


def curves(log: Mapping[str, Any]) -> dict[str, Power | Counter]:
    """Every rail and counter of a log of `edgekd/runners/board.py`."""
    samples, lines = log["samples"], [(t, tegrastats.parse(line)) for t, line in log["lines"]]
    rows = [(s["t"], s["watts"]) for s in samples] + [(t, line.watts) for t, line in lines]
    out: dict[str, Power | Counter] = {}
    for rail in dict.fromkeys(rail for _, watts in rows for rail in watts):
        t, watts = np.array([(t, found[rail]) for t, found in rows if rail in found]).T
        out[rail] = Power(t, watts)
    for zone in dict.fromkeys(zone for s in samples for zone in s["joules"]):
        t, joules, limits = np.array([(s["t"], *s["joules"][zone]) for s in samples if zone in s["joules"]]).T
        out[zone] = Counter(t, joules + limits * np.cumsum(np.diff(joules, prepend=joules[0]) < 0))
    return out


def per_inference(log: Mapping[str, Any], margin: float = MARGIN) -> list[Energy]:
    """Energy of an inference on every rail: E = (integral of P dt) / N, net E = (integral of (P - P0) dt) / N.

    P0 is the mean power of the idle window; both windows are shortened by `margin` s at each end, and N is the share of
    the inferences that falls into what is left. Raises RequestError where nothing is left, or nothing was sampled.
    """
    idle, load = (_inner(log[name], margin) for name in ("idle", "load"))
    found = curves(log)
    if not found:
        raise RequestError("the device tells no power", "on a PC, reading the counters mostly needs root")
    length = load[1] - load[0]
    inferences = log["count"] * length / (log["load"][1] - log["load"][0])
    return [_energy(rail, curve, idle, load, inferences) for rail, curve in found.items() if _covers(curve, idle, load)]


def headline(energies: Sequence[Energy]) -> Energy | None:
    """The one figure for a board: its module rail, or the only thing that was sampled; else the rails stand alone."""
    whole = [energy for energy in energies if energy.whole]
    return whole[0] if whole else (energies[0] if len(energies) == 1 else None)


def _inner(window: Sequence[float], margin: float) -> Window:
    start, end = window[0] + margin, window[1] - margin
    if end <= start:
        raise RequestError(f"a window of {window[1] - window[0]:.3g} s is too short", f"give it {2 * margin + 1:g} s")
    return start, end


def _covers(curve: Power | Counter, *windows: Window) -> bool:
    """Whether it was sampled from before the first window to behind the last: a rail that fell silent tells nothing."""
    return bool(curve.t[0] <= windows[0][0] and curve.t[-1] >= windows[-1][1])


def _energy(rail: str, curve: Power | Counter, idle: Window, load: Window, inferences: float) -> Energy:
    idle_length, length = idle[1] - idle[0], load[1] - load[0]
    gross, idle_watts = curve.joules(load), curve.joules(idle) / idle_length
    return Energy(
        rail=rail,
        gross=gross / inferences,
        net=(gross - idle_watts * length) / inferences,
        idle_watts=idle_watts,
        load_watts=gross / length,
        idle_window=idle_length,
        load_window=length,
        inferences=inferences,
        samples=int(((curve.t >= load[0]) & (curve.t <= load[1])).sum()),
    )
