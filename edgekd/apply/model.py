"""What is run: an io record, a coder, an engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.apply.draw import annotate, masks_of
from edgekd.backends.base import Artifact, read_artifact
from edgekd.devices.local import can_run, open_session
from edgekd.errors import MissingError, Problem, RequestError, nearest
from edgekd.evidence import Bundle
from edgekd.graph import answers, golden
from edgekd.graph.golden import Rounding
from edgekd.graph.masks import Mask
from edgekd.graph.model import Array, Graph, read_model
from edgekd.graph.resize import Picture
from edgekd.schema.io import ClassesOutput, IoRecord, Output, TensorOutput
from edgekd.students.base import Draws
from edgekd.students.registry import bundled_task
from edgekd.verify.foreign import Foreign, is_model, opened

LISTED = 64
"""Numbers of a tensor that are written out in JSON; larger ones are told by their shape."""
REFERENCE = "reference"
"""The integer reference, as an engine."""


@dataclass(frozen=True)
class Model:
    """A network that answers; `run` takes and gives the graph's tensors by name."""

    engine: str
    io: IoRecord
    coder: answers.Coder
    run: answers.Run
    notes: tuple[Problem, ...] = ()
    """What was taken for granted."""

    def answer(self, raw: Any) -> Any:
        """The answer to a raw sample of any size that the resize rule takes."""
        return answers.answer(self.coder, self.io, self.run, raw)

    def draw(self, raw: Any, answer: Any) -> Picture:
        """An answer to look at, (H, W, 3) or (H, W) uint8: as the task draws it, else by the io record."""
        if isinstance(self.coder, Draws):
            return np.asarray(self.coder.draw(raw, answer), np.uint8)
        return annotate(raw, answer, self.io)

    def masks(self, raw: Any, answer: Any) -> list[Mask]:
        """The answer's masks, (H, W) of the picture that it is about."""
        return [*masks_of(raw, answer, self.io).values()]

    def arrays(self, raw: Any, answer: Any) -> dict[str, Array]:
        """An answer as it was decoded, by output where there are several; its masks on the picture as `NAME.mask`."""
        parts: dict[str, Array] = answer if isinstance(answer, dict) else {"answer": answer}
        return parts | {f"{name}.mask": mask for name, mask in masks_of(raw, answer, self.io).items()}

    def plain(self, raw: Any, answer: Any) -> Any:
        """An answer as JSON, by output: labels with their values, the area and share of a mask, numbers where they are
        few, else a few words."""
        parts, masks = answers.by_output(answer, self.io), masks_of(raw, answer, self.io)
        if parts is None:
            return answers.tell(answer, self.io)
        areas = {name: {"area": int(mask.sum()), "share": float(mask.mean())} for name, mask in masks.items()}
        return {s.name: areas[s.name] if s.name in areas else plain(parts[s.name], s) for s in self.io.outputs}

    @property
    def pictured(self) -> bool:
        """Whether a drawing says all of an answer; of a tensor it does not."""
        return isinstance(self.coder, Draws) or not any(isinstance(s, TensorOutput) for s in self.io.outputs)


@contextmanager
def opened_model(path: Path, engine: str = "", record: Path | None = None) -> Iterator[Model]:
    """The shipped network of a run's folder, or a model file with the io record of `record`, of its own, or a guessed
    one.

    Without the name of an engine the first that runs here is taken, else the integer reference. Raises RequestError for
    an unknown engine, MissingError for one that does not run here.
    """
    if not is_model(path):
        if record is not None:
            raise RequestError("`--io` is for model files", "a bundle carries its io record")
        yield bundled_model(Bundle(path), engine)
        return
    with opened(path, record) as found:
        yield foreign_model(found, engine)


def bundled_model(bundle: Bundle, engine: str = "") -> Model:
    """As `opened_model`, of a bundle."""
    artifacts = {name: read_artifact(bundle.path / "artifacts" / name) for name in bundle.manifest.engines}
    here = [name for name, artifact in artifacts.items() if artifact.runner and can_run(artifact.runner)]
    chosen = _choose(engine, list(artifacts), here)
    graph = Graph(read_model(bundle.path / "graph.onnx"))
    if chosen == REFERENCE:
        run: answers.Run = partial(golden.run, graph, rounding=bundle.manifest.target.arithmetic.rounding)
    else:
        run = _session(chosen, artifacts[chosen], bundle.path / "artifacts" / chosen)
    return Model(chosen, graph.io, bundled_task(bundle), run)


def foreign_model(found: Foreign, engine: str = "") -> Model:
    """As `opened_model`, of a model file; a variant of an engine (`NAME, ...`) is not taken unasked."""
    here = sorted(found.engines, key=lambda name: "," in name)
    chosen = _choose(engine, list(found.engines), here)
    if chosen == REFERENCE:
        rounding: Rounding = next(iter(found.roundings.values()), "rne_f32")
        run: answers.Run = partial(golden.run, found.graph, rounding=rounding)
    else:
        run = _session(chosen, found.engines[chosen].artifact, found.engines[chosen].folder)
    return Model(chosen, found.graph.io, answers, run, tuple(found.notes))


def _choose(asked: str, known: list[str], here: list[str]) -> str:
    if asked and asked not in (*known, REFERENCE):
        raise RequestError(f"there is no engine `{asked}`", nearest(asked, [*known, REFERENCE]))
    return asked or next(iter(here), REFERENCE)


def plain(answer: Any, spec: Output) -> Any:
    """One output's answer as JSON: labels with their values, numbers where they are few, else a few words."""
    if isinstance(spec, ClassesOutput) and answers.is_ranking(answer, spec):
        return dict(answers.ranked(answer, spec))
    few = isinstance(answer, np.ndarray) and answer.size <= LISTED and not answers.is_picture(answer)
    return answer.tolist() if few else answers.tell_output(answer, spec)


def _session(name: str, artifact: Artifact, folder: Path) -> answers.Run:
    if artifact.runner is None:
        raise MissingError(f"`{name}` is a kit: it runs on the device", f"use `--engine {REFERENCE}`")
    options = artifact.options | {"threads": os.cpu_count() or 1}
    run: answers.Run = open_session(artifact.runner, folder / artifact.model, options).run
    return run
