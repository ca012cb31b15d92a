"""TensorRT 10 and 11: a checked kit for the board, and plans too where `trtexec` is on the host that compiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from pydantic import Field

from edgekd.backends.base import Artifact, Job, check_operators
from edgekd.backends.tensorrt import rules
from edgekd.backends.tensorrt.opinion import second_opinion
from edgekd.backends.tensorrt.reasons import reasons
from edgekd.backends.tensorrt.write import write_kit
from edgekd.errors import Problem, ProblemsError, RequestError
from edgekd.graph.model import Graph
from edgekd.graph.reasons import Reason
from edgekd.graph.rewrite import float_biases, half_floats
from edgekd.runners import trt
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine

SHIPPED = "int8.onnx"


class TrtOptions(Strict):
    """Options of the engine builder."""

    workspace_mib: int = Field(2048, ge=1, description="Memory the builder may use, in MiB.")
    level: int = Field(3, ge=0, le=5, description="Builder optimisation level.")


class TensorRt:
    """TensorRT through `trtexec`."""

    package = None
    Options = TrtOptions

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Operators, opset, and the placement of every Q/DQ pair in the graph as TensorRT will read it."""
        return [*check_operators(graph, engine), *rules.check(Graph(float_biases(graph)))]

    def reasons(self, graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
        """What keeps the graph slow on hosts of these kinds (`uname -m`)."""
        return reasons(graph, machines)

    def compile(self, job: Job, options: TrtOptions, out: Path) -> Artifact:
        """Write the kit; build it where trtexec is. Raises ProblemsError when a rule is broken or a build fails."""
        graph = Graph(float_biases(job.graph))
        if problems := rules.check(graph):
            raise ProblemsError(problems)
        models, left_out = _models(graph, job.reference)
        for name, model in models.items():
            onnx.save(model, out / f"{name}.onnx")
        opinion, problems = second_opinion([out / f"{name}.onnx" for name in models])
        if problems:
            raise ProblemsError(problems)
        write_kit(job, list(models), options.workspace_mib, options.level, out)
        here = trt.find() is not None
        facts: dict[str, Any] = {"rules": "nothing that TensorRT refuses"} | _notes(graph) | left_out | opinion
        facts |= _built(out, options) if here else {"TensorRT": "10 and 11"}
        return Artifact(
            backend="tensorrt",
            kind="artifact" if here else "kit",
            tool=trt.TOOL if here else "edgekd, static check",
            model=SHIPPED,
            runner="trt",
            options=options.plain(),
            beside={name: f"{name}.onnx" for name in models if f"{name}.onnx" != SHIPPED},
            observe="all",  # its int8 kernels write those tensors anyway
            facts=facts,
        )


def _notes(graph: Graph) -> dict[str, Any]:
    """Tensors by what the rules note about them."""
    found: dict[str, list[str]] = {}
    for note in rules.notes(graph):
        found.setdefault(note.message, []).append(note.where)
    return {"notes": found}


def _models(graph: Graph, reference: Graph) -> tuple[dict[str, onnx.ModelProto], dict[str, str]]:
    """The quantized and the float net, each with its float part in float32 and in float16; why one is left out.

    TensorRT 11 has no switch that lowers a network, so the float16 ones are graphs of their own for both versions.
    """
    models, left_out = dict[str, onnx.ModelProto](), dict[str, str]()
    for name, whole in (("int8", graph), ("float", reference)):
        models[name] = whole.model
        try:
            models[f"{name}-fp16"] = half_floats(whole, pairs=True)
        except RequestError as error:
            left_out[f"{name}-fp16"] = f"left out: {error.message}"
    return models, left_out


def _built(out: Path, options: TrtOptions) -> dict[str, Any]:
    """What the layers of the int8 plan became. Raises ProblemsError where it cannot be built."""
    try:
        return trt.summary(trt.build(out / SHIPPED, options.workspace_mib, options.level))
    except trt.TensorRtError as error:
        raise ProblemsError([Problem(SHIPPED, str(error))]) from None
