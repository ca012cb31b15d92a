"""A foreign .tflite file as it is, for the runner: nothing is compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.backends.base import Artifact
from edgekd.backends.litert.layout import plain
from edgekd.backends.litert.read import find
from edgekd.graph.golden import Rounding
from edgekd.graph.model import Graph

KERNELS: dict[str, tuple[str, Rounding]] = {
    "litert, reference kernels": ("reference", "tfl_double"),
    "litert": ("xnnpack", "rne_f32"),
}
"""Engines by name: the kernels, and the rounding they compute."""


def artifacts(path: Path, graph: Graph) -> dict[str, tuple[Artifact, Rounding]]:
    """The file under each set of kernels; its tensors by the names that `graph`, read from it, has.

    Raises as `find`.
    """
    from edgekd.runners import tfl

    places = find(path).places
    told: dict[str, Any] = {
        "layouts": {name: list(layout) for name, (_, layout) in places.items() if layout != plain(len(layout))},
        "names": {name: real for name, (real, _) in places.items() if real != name},
        "outputs": graph.outputs,
    }
    common: dict[str, Any] = {"backend": "litert", "kind": "artifact", "tool": tfl.TOOL, "model": path.name}
    return {
        name: (Artifact(runner="tfl", options={"kernels": kernels, **told}, observe="all", **common), rounding)
        for name, (kernels, rounding) in KERNELS.items()
    }
