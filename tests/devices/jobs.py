"""A small real model, and what is left of jobs."""

from pathlib import Path

import numpy as np
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.devices.base import Work
from edgekd.graph.model import Graph

from tests.graph.graphs import conv_graph

RNG = np.random.default_rng(11)
IMAGES = [{"image": RNG.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)} for _ in range(3)]


def model(folder: Path) -> tuple[Graph, Work]:
    """A quantized convolution, compiled for ONNX Runtime without optimisation: it answers as the reference does."""
    graph, engine = conv_graph(np.random.default_rng(5)), backend("onnxruntime")
    artifact = engine.compile(Job(graph, graph, IMAGES, []), engine.Options(optimise=False), folder)
    assert artifact.runner is not None
    return graph, Work("net", artifact.runner, folder / artifact.model, artifact.options)


def left_running(folder: Path) -> list[int]:
    """Processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in line:
                found.append(int(entry.name))
    return found
