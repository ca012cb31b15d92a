"""A model file that no run made: read, given engines of this host, and verified like a bundle's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from pydantic import ValidationError

from edgekd.backends.base import Artifact, Job
from edgekd.backends.imx500 import inverse as imx500
from edgekd.backends.imx500.verify import LOCK, traces
from edgekd.backends.registry import backend, is_installed
from edgekd.devices.local import RUNNERS, open_session
from edgekd.errors import MissingError, Problem, ProblemsError, RequestError, last_line
from edgekd.graph import golden
from edgekd.graph.golden import Rounding
from edgekd.graph.model import Array, Graph, read_model, with_batch
from edgekd.graph.records import guess_record, has_record, misfits, with_record
from edgekd.schema.io import IoRecord
from edgekd.schema.load import problems_of
from edgekd.toolchains.cache import is_fetched
from edgekd.toolchains.lock import find_lock
from edgekd.verify.engines import LocalEngine
from edgekd.verify.gates import Gate, parity_gate
from edgekd.verify.parity import Hop, compare
from edgekd.verify.search import check_engine

SUFFIXES = (".onnx", ".tflite")
PROBES = 2
GOLDEN = "integer reference"
UNOPTIMISED = "onnxruntime, unoptimised"
OPERATORS = "mct-quantizers"


@dataclass(frozen=True)
class Foreign:
    """A model file as a portable graph, and the engines here that run it, with the rounding of each."""

    path: Path
    graph: Graph
    engines: dict[str, LocalEngine]
    roundings: dict[str, Rounding]
    notes: list[Problem] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)
    """Engines that do not run it here, and why; these are among the notes."""
    dialect: onnx.ModelProto | None = None
    """The file as it is, where it is written in the IMX500's dialect, which `graph` was read from."""

    def demand_engine(self) -> None:
        """Raises ProblemsError, with every engine's reason, where none here runs the file."""
        if not self.engines:
            raise ProblemsError(self.refused)

    def probes(self, count: int = PROBES, seed: int = 0) -> list[dict[str, Array]]:
        """Uniform random inputs over each input's range."""
        rng = np.random.default_rng(seed)
        inputs = self.graph.io.inputs
        return [
            {spec.name: rng.uniform(*spec.ends, spec.shape).astype(np.float32) for spec in inputs} for _ in range(count)
        ]


def is_model(path: Path) -> bool:
    """Whether a path names a model file rather than a run's folder."""
    return path.suffix.lower() in SUFFIXES


@contextmanager
def opened(path: Path, record: Path | None = None) -> Iterator[Foreign]:
    """A model file, its io record from `record` where given, and its engines, compiled for as long as it is open.

    Raises MissingError, or RequestError where the file cannot be read.
    """
    graph, notes = _read(path, record)
    refused: list[Problem] = []
    with TemporaryDirectory() as folder:
        made = list(_engines(path, graph, Path(folder), refused))
        engines, roundings = {e.name: e for e, _ in made}, {e.name: r for e, r in made}
        dialect = _dialect(path, notes)
        yield Foreign(path, graph, engines, roundings, notes + refused, refused, dialect)


def verify_foreign(
    found: Foreign, say: Callable[[str], None] = lambda text: None, every: bool = False
) -> tuple[list[Hop], list[Gate]]:
    """Every engine against the golden interpreter in its own rounding. Raises ProblemsError where either is lacking.

    Of a file in the IMX500's dialect only what computes as the sensor's graph declares: nothing optimised.
    """
    if problems := golden.check(found.graph):
        raise ProblemsError(problems)
    found.demand_engine()
    hops, gates, inputs = [], [], found.probes()
    for name in found.engines if found.dialect is None else found.engines.keys() & {UNOPTIMISED}:
        engine = found.engines[name]
        say(f"parity: {GOLDEN} → {name}")
        hop = check_engine(f"{GOLDEN} → {name}", engine, found.graph, inputs, found.roundings[name], every)
        hops.append(hop)
        gates.append(parity_gate(hop))
    if found.dialect is not None and is_fetched(find_lock(LOCK)):
        say(f"parity: {GOLDEN} → {OPERATORS}")
        hops.append(compare(f"{GOLDEN} → {OPERATORS}", found.graph, inputs, traces(found.dialect, inputs)[0]))
        gates.append(parity_gate(hops[-1]))
    return hops, gates


def _read(path: Path, record: Path | None) -> tuple[Graph, list[Problem]]:
    if not path.is_file():
        raise MissingError(f"model `{path}` does not exist")
    graph, notes = read_graph(path), list[Problem]()
    if any(0 in graph.shapes.get(name, (0,)) for name in graph.inputs):
        graph = with_batch(graph, 1)
        notes.append(Problem("", "the batch is free; it is read as one sample"))
    if codes := [name for name in graph.inputs if graph.types[name] != onnx.TensorProto.FLOAT]:
        hint = "leave the quantizer of its inputs in the graph"
        raise RequestError(f"input `{codes[0]}` is not float32: probes and pictures are real values", hint)
    if record is not None:
        graph = with_record(graph, read_record(record))
    elif not has_record(graph):
        graph = with_record(graph, guess_record(graph))
        told = ", ".join(f"`{spec.name}` in [{spec.ends[0]:.4g}, {spec.ends[1]:.4g}]" for spec in graph.io.inputs)
        notes.append(Problem("", f"the file has no io record; guessed: {told}", "give your own with `--io`"))
    if {spec.name for spec in graph.io.inputs} != {*graph.inputs}:
        raise RequestError("the io record names other inputs than the graph has", "name them as the graph does")
    if problems := misfits(graph, graph.io):
        raise ProblemsError(problems)
    return graph, notes


def _dialect(path: Path, notes: list[Problem]) -> onnx.ModelProto | None:
    """A file of the IMX500's dialect, whose own operators look at it too where they were fetched."""
    model = read_model(path) if path.suffix.lower() == ".onnx" else None
    if model is None or not imx500.is_dialect(model):
        return None
    if not is_fetched(find_lock(LOCK)):
        notes.append(Problem("", f"{OPERATORS}' own operators are not here", f"edgekd fetch {LOCK}", missing=True))
    return model


def read_graph(path: Path) -> Graph:
    """A model file as a graph. Raises RequestError or MissingError."""
    if path.suffix.lower() == ".onnx":
        model = read_model(path)
        return Graph(imx500.read(model) if imx500.is_dialect(model) else model)
    if not is_installed("litert"):
        raise MissingError("reading `.tflite` files needs `ai-edge-litert`", "pip install 'edgekd[litert]'")
    from edgekd.backends.litert.read import read_tflite

    return read_tflite(path)


def read_record(path: Path) -> IoRecord:
    """An io record from a JSON file. Raises MissingError, or ProblemsError with every mistake in it."""
    try:
        return IoRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(f"io record `{path}` does not exist") from None
    except ValidationError as error:
        raise ProblemsError(problems_of(error, IoRecord, str(path))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"io record `{path}` cannot be read: {error}") from None


Form = tuple[str, dict[str, object], Rounding]
FORMS: dict[str, dict[str, Form]] = {
    ".onnx": {
        UNOPTIMISED: ("onnxruntime", {"optimise": False}, "rne_f32"),
        "onnxruntime": ("onnxruntime", {}, "rne_f32"),
        "openvino": ("openvino", {}, "rne_f32"),
    },
}
"""Engines by file type: backend, its options, its rounding."""


def _engines(path: Path, graph: Graph, folder: Path, refused: list[Problem]) -> Iterator[tuple[LocalEngine, Rounding]]:
    """The engines of this host, each ready to run; why one is left out goes to `refused`."""
    inputs = {spec.name: np.zeros(spec.shape, np.float32) for spec in graph.io.inputs}
    for name, (ready, rounding) in _candidates(path, graph, inputs, folder).items():
        try:
            yield ready(), rounding
        except MissingError as error:
            refused.append(Problem(name, error.message, error.hint, missing=True))
        except Exception as error:  # each runtime raises its own kinds
            refused.append(Problem(name, f"does not run it: {last_line(error)}"))


def _candidates(
    path: Path, graph: Graph, inputs: dict[str, Array], folder: Path
) -> dict[str, tuple[Callable[[], LocalEngine], Rounding]]:
    """By name what makes an engine ready, once called, and its rounding."""
    if path.suffix.lower() == ".tflite":
        from edgekd.backends.litert.foreign import artifacts

        made = artifacts(path, graph)
        return {name: (partial(_tried, name, artifact, path.parent, inputs), r) for name, (artifact, r) in made.items()}
    forms = FORMS[".onnx"].items()
    return {name: (partial(_compiled, name, form, graph, inputs, folder / str(i)), form[2])
            for i, (name, form) in enumerate(forms)}  # fmt: skip


def _tried(name: str, artifact: Artifact, folder: Path, inputs: dict[str, Array]) -> LocalEngine:
    engine = LocalEngine(name, artifact, folder)
    open_session(engine.runner, folder / artifact.model, artifact.options).run(inputs)
    return engine


def _compiled(name: str, form: Form, graph: Graph, inputs: dict[str, Array], out: Path) -> LocalEngine:
    kind, options, _ = form
    if not is_installed(kind):
        raise MissingError(f"`{RUNNERS.get(kind, kind)}` is not installed", f"pip install 'edgekd[{kind}]'")
    out.mkdir()
    maker = backend(kind)
    return LocalEngine(name, maker.compile(Job(graph, graph, [inputs], []), maker.Options(**options), out), out)
