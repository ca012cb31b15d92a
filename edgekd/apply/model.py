"""What is run: an io record, a coder, an engine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgekd.apply.draw import annotate
from edgekd.backends.base import Artifact, read_artifact
from edgekd.devices.local import can_run, open_session
from edgekd.errors import MissingError, RequestError, nearest
from edgekd.evidence import Bundle
from edgekd.graph import answers, golden
from edgekd.graph.model import Graph, read_model
from edgekd.graph.resize import Picture
from edgekd.schema.io import IoRecord, TensorOutput
from edgekd.students.base import Draws
from edgekd.students.registry import bundled_task

REFERENCE = "reference"
"""The integer reference, as an engine."""


@dataclass(frozen=True)
class Model:
    """A network that answers; `run` takes and gives the graph's tensors by name."""

    engine: str
    io: IoRecord
    coder: answers.Coder
    run: answers.Run

    def answer(self, raw: Any) -> Any:
        """The answer to a raw sample of any size that the resize rule takes."""
        return answers.answer(self.coder, self.io, self.run, raw)

    def draw(self, raw: Any, answer: Any) -> Picture:
        """An answer to look at, (H, W, 3) or (H, W) uint8: as the task draws it, else by the io record."""
        if isinstance(self.coder, Draws):
            return np.asarray(self.coder.draw(raw, answer), np.uint8)
        return annotate(raw, answer, self.io)

    @property
    def pictured(self) -> bool:
        """Whether a drawing says all of an answer; of a tensor it does not."""
        return isinstance(self.coder, Draws) or not any(isinstance(s, TensorOutput) for s in self.io.outputs)


def bundled_model(bundle: Bundle, engine: str = "") -> Model:
    """The shipped network of a bundle in one of its engines, or in the integer reference (`reference`).

    Without a name: the first engine that runs here, else the reference. Raises RequestError for an unknown engine,
    MissingError for one that does not run here.
    """
    artifacts = {name: read_artifact(bundle.path / "artifacts" / name) for name in bundle.manifest.engines}
    known = [*artifacts, REFERENCE]
    if engine and engine not in known:
        raise RequestError(f"the bundle has no engine `{engine}`", nearest(engine, known))
    chosen = engine or next((name for name, a in artifacts.items() if a.runner and can_run(a.runner)), REFERENCE)
    graph = Graph(read_model(bundle.path / "graph.onnx"))
    run: answers.Run
    if chosen == REFERENCE:
        run = partial(golden.run, graph, rounding=bundle.manifest.target.arithmetic.rounding)
    else:
        run = _opened(bundle, chosen, artifacts[chosen])
    return Model(chosen, graph.io, bundled_task(bundle), run)


def _opened(bundle: Bundle, name: str, artifact: Artifact) -> answers.Run:
    if artifact.runner is None:
        raise MissingError(f"`{name}` is a kit: it runs on the device", f"use `--engine {REFERENCE}`")
    options = artifact.options | {"threads": os.cpu_count() or 1}
    session = open_session(artifact.runner, bundle.path / "artifacts" / name / artifact.model, options)
    run: answers.Run = session.run
    return run
