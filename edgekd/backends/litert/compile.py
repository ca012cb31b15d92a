"""The portable graph as a .tflite file, for LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from edgekd.backends.base import Artifact, Job, check_operators
from edgekd.errors import Problem, ProblemsError, RequestError
from edgekd.graph.model import Graph
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine


class LiteRtOptions(Strict):
    """Options of the engine."""

    kernels: Literal["xnnpack", "reference"] = Field(
        "xnnpack", description="`xnnpack`: the fast ones; `reference`: the slow ones, of the rounding `tfl_double`."
    )
    io: Literal["float", "int8"] = Field(
        "float", description="Whether inputs and outputs of the file are real values or codes."
    )


class LiteRt:
    """LiteRT on the CPU."""

    package = "ai_edge_litert"
    Options = LiteRtOptions

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Operators by name, what their kernels cannot do, and weights of -128."""
        from edgekd.backends.litert.write import unknown, write

        problems = check_operators(graph, engine)
        told = {problem.where for problem in problems}
        problems += [p for p in unknown(graph) if p.where not in told] + _lowest_weights(graph)
        if not problems:
            try:
                write(graph)
            except RequestError as error:
                problems.append(Problem("", error.message, error.hint))
        return problems

    def compile(self, job: Job, options: LiteRtOptions, out: Path) -> Artifact:
        """Write the file, compare it with the graph, run it once. Raises ProblemsError where the two differ."""
        from edgekd.backends.litert.structure import compare
        from edgekd.backends.litert.write import write
        from edgekd.runners import tfl

        written = write(job.graph, options.io, options.kernels)
        if problems := compare(job.graph, written.data, written.names):
            raise ProblemsError(problems)
        (out / "model.tflite").write_bytes(written.data)
        told: dict[str, Any] = {
            "kernels": options.kernels,
            "layouts": {name: list(layout) for name, layout in written.layouts.items()},
            "names": written.names,
            "outputs": job.graph.outputs,
        }
        session = tfl.Session(out / "model.tflite", **told)
        session.run(job.inputs[0])
        return Artifact(
            backend="litert",
            kind="artifact",
            tool=tfl.TOOL,
            model="model.tflite",
            runner="tfl",
            options=told,
            observe="all",
            facts={f"operators in {kind}": found for kind, found in written.operators.items()} | session.delegated(),
        )


def _lowest_weights(graph: Graph) -> list[Problem]:
    """Weights whose lowest code has no negative."""
    found = {
        source
        for node in graph.nodes
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
        and (source := graph.source(node.input[1])) is not None
        and graph.constants[source].dtype == np.int8
        and np.any(graph.constants[source] == -128)
    }
    return [
        Problem(name, "a weight is -128, which LiteRT's weights never are", "quantize weights to [-127, 127]")
        for name in sorted(found)
    ]
