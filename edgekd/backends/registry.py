"""The list of backends."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from edgekd.backends.base import Backend
from edgekd.errors import RequestError, nearest

BACKENDS = {
    "imx500": "edgekd.backends.imx500.compile:Imx500",
    "litert": "edgekd.backends.litert.compile:LiteRt",
    "onnxruntime": "edgekd.backends.onnxruntime.compile:OnnxRuntime",
    "openvino": "edgekd.backends.openvino.compile:OpenVino",
    "tensorrt": "edgekd.backends.tensorrt.compile:TensorRt",
}


def names() -> dict[str, str]:
    """Backends by name: ours, and those of installed packages (entry points `edgekd.backends`)."""
    return {point.name: point.value for point in entry_points(group="edgekd.backends")} | BACKENDS


def backend(name: str) -> Backend:
    """A backend by name. Raises RequestError with the nearest name."""
    known = names()
    if name not in known:
        raise RequestError(f"unknown backend `{name}`", nearest(name, sorted(known)))
    module, _, attribute = known[name].partition(":")
    made: Backend = getattr(import_module(module), attribute)()
    return made


def is_installed(name: str) -> bool:
    """Whether the package a backend compiles with is here."""
    package = backend(name).package
    return package is None or find_spec(package) is not None
