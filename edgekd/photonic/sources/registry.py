"""The list of sources, and how one is opened."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.errors import MissingError, RequestError, last_line, nearest
from edgekd.photonic.base import FeatureSource
from edgekd.photonic.circuit import Circuit, Floats
from edgekd.schema.base import Strict
from edgekd.schema.load import parse
from edgekd.schema.photonic import Photonic

SOURCES = {
    "constant": "edgekd.photonic.sources.controls:Constant",
    "exact": "edgekd.photonic.sources.simulated:exact",
    "gaussian": "edgekd.photonic.sources.controls:Gaussian",
    "orca-rest": "edgekd.photonic.sources.orca:OrcaRest",
    "perceval": "edgekd.photonic.sources.perceval:Perceval",
    "simulator": "edgekd.photonic.sources.simulated:simulator",
}

OWN = "edgekd_own_"
"""What the modules of a person's files begin with: by it the command line tells whose mistake an error is."""


class NoOptions(Strict):
    """A source that has none."""


def names() -> dict[str, str]:
    """Sources by name: ours, and those of installed packages (entry points `edgekd.photonic`)."""
    return {point.name: point.value for point in entry_points(group="edgekd.photonic")} | SOURCES


def open_source(device: Photonic) -> FeatureSource:
    """The source a device names, with its options.

    Raises RequestError or ProblemsError for a name, an option or a device that the source does not take, MissingError
    where a person's file is not there.
    """
    made = opener(device.source)
    given = device.options.get(device.source, {})
    options = parse(getattr(made, "Options", NoOptions), given, f"options.{device.source}")
    source: FeatureSource = made(device, options)
    return source


def features_of(source: FeatureSource, device: Photonic, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
    """A vector of features (2 * 2^(modes / 2),). Raises RequestError where a person's own source gives another."""
    found, length = np.asarray(source.features(angles, shots, seed), float), 2 << len(device.circuit.photons) // 2
    if found.shape != (length,):
        raise RequestError(f"`{device.source}` gives {list(found.shape)} features of {length}", "mend the source")
    return found


def shotless(source: FeatureSource) -> bool:
    """Whether a number of shots is nothing to it: its features have no such noise."""
    return bool(getattr(source, "shotless", False))


def opener(name: str) -> Any:
    """What opens a source: a class or a function of a device and options. Raises RequestError or MissingError."""
    module, _, attribute = name.partition(":")
    if module.endswith(".py"):
        return _own(Path(module), attribute)
    known = names()
    if name not in known:
        raise RequestError(f"unknown source of features `{name}`", nearest(name, sorted(known)))
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)


def circuit_of(device: Photonic) -> Circuit:
    """The device's circuit. Raises RequestError as `Circuit` does."""
    return Circuit(device.circuit.photons, device.circuit.loops, device.circuit.phases)


def _own(file: Path, name: str) -> Any:
    """A class of a person's own file."""
    spec = spec_from_file_location(f"{OWN}{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise MissingError(f"`{file}` does not exist", "a source of your own is `FILE.py:CLASS`")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RequestError(f"`{file.name}` does not load: {last_line(error)}", "mend it") from None
    found: Any = getattr(module, name, None)
    if not hasattr(found, "features"):
        raise RequestError(f"`{file.name}` has no class `{name}` with `features`", "`docs/photonic.md` shows one")
    try:
        signature(found).bind("device", "options")
    except TypeError:
        raise RequestError(f"`{name}` in `{file.name}` is not made of a device and options",
                           "def __init__(self, device, options)") from None  # fmt: skip
    return found
