"""A line of Jetson's `tegrastats`: rails, temperatures, the GPU's load and clock."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)mW(?:/(\d+)mW)?")
_HEAT = re.compile(r"\b(\w+)@(-?[\d.]+)C\b")
_GPU = re.compile(r"GR3D_FREQ (\d+)%(?:@\[?(\d+))?")
_OFF = -256.0
"""What a sensor tells whose block is off."""


@dataclass(frozen=True)
class Line:
    """Rails in W now (the second number, a mean since tegrastats began, is left out), °C, percent, MHz."""

    watts: dict[str, float]
    temperatures: dict[str, float]
    gpu_percent: int | None
    gpu_mhz: int | None


def parse(line: str) -> Line:
    """What a line tells, in the forms of JetPack 5 to 7."""
    gpu = _GPU.search(line)
    heat = {name.lower(): float(value) for name, value in _HEAT.findall(line)}
    return Line(
        watts={name: int(now) / 1e3 for name, now, _ in _RAIL.findall(line)},
        temperatures={name: value for name, value in heat.items() if value != _OFF},
        gpu_percent=int(gpu.group(1)) if gpu else None,
        gpu_mhz=int(gpu.group(2)) if gpu and gpu.group(2) else None,
    )
