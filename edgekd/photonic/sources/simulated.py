"""Our own simulator behind a descriptor."""

from __future__ import annotations

from edgekd.photonic import noise
from edgekd.photonic.simulator import Exact, Simulator
from edgekd.photonic.sources.registry import NoOptions, circuit_of
from edgekd.schema.photonic import Photonic


def simulator(device: Photonic, options: NoOptions) -> Simulator:
    """Shots of the device's circuit with its imperfections."""
    return Simulator(circuit_of(device), _imperfections(device), device.interleaved)


def exact(device: Photonic, options: NoOptions) -> Exact:
    """Infinitely many of them. Raises RequestError for imperfections that have no such limit."""
    circuit, imperfections = circuit_of(device), _imperfections(device)
    noise.refuse(circuit, imperfections)
    return Exact(circuit, imperfections, device.interleaved)


def _imperfections(device: Photonic) -> noise.Imperfections:
    return noise.NONE if device.ideal else noise.Imperfections(**device.imperfections.plain())
