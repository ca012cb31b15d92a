"""The portable graph, loaded by ONNX Runtime as it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from pydantic import Field

from edgekd.backends.base import Artifact, Job, check_operators
from edgekd.backends.onnxruntime.reasons import INPUTS, LANES, reasons
from edgekd.errors import Problem
from edgekd.graph.executed import as_ran, int8_proof
from edgekd.graph.model import Graph
from edgekd.graph.reasons import Reason
from edgekd.graph.rewrite import copied_upsampling, fill_channels, unsigned_activations
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine


class OrtOptions(Strict):
    """Options of the engine."""

    optimise: bool = Field(True, description="Graph optimisations all on, or all off.")
    unsigned: bool = Field(
        False, description="Signed activation codes as unsigned ones, 128 higher: the faster kernels on x86."
    )
    fit: bool = Field(
        False,
        description="Rewrite the graph for the kernels of x86, code for code the same: channels filled up, copies in "
        "place of nearest Resize.",
    )


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    package = "onnxruntime"
    Options = OrtOptions

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Operators and opset."""
        return check_operators(graph, engine)

    def reasons(self, graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
        """What keeps the graph slow on hosts of these kinds (`uname -m`)."""
        return reasons(graph, machines)

    def compile(self, job: Job, options: OrtOptions, out: Path) -> Artifact:
        """Write the graph, run it once, and read from its profile what runs in int8."""
        from edgekd.runners import ort

        signed = tuple(node.output[0] for node in job.graph.codes() if job.graph.code_type(node) == np.int8)
        moved = signed if options.unsigned else ()
        model, channels = unsigned_activations(job.graph) if moved else job.graph.model, dict[str, int]()
        if options.fit and options.optimise:
            model, channels = fitted(Graph(model))
        onnx.save(named(own_zero_points(model)), out / "model.onnx")
        told: dict[str, Any] = {"optimise": options.optimise} | ({"channels": channels} if channels else {})
        ran = as_ran(ort.Session(out / "model.onnx", **told).layers(job.inputs[0], runs=1))
        return Artifact(
            backend="onnxruntime",
            kind="artifact",
            tool=ort.TOOL,
            model="model.onnx",
            runner="ort",
            options=told,
            observe="each" if options.optimise else "all",
            code_offset=128 if moved else 0,
            moved=moved,
            facts=int8_proof(job.graph, ran) | {"operators": dict(Counter(layer.type for layer in ran).most_common())},
        )


def fitted(graph: Graph) -> tuple[onnx.ModelProto, dict[str, int]]:
    """The graph for the kernels of x86, and the true channels of the codes that got more."""
    model, true = fill_channels(graph, LANES, LANES // 2, INPUTS)
    codes = {node.output[0] for node in graph.codes()}
    return copied_upsampling(Graph(model)), {name: count for name, count in true.items() if name in codes}


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a name for each operator that has none: its first tensor's, by which profiles tell of it."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    taken = {node.name for node in out.graph.node}
    for node in out.graph.node:
        if not node.name:
            node.name = node.output[0]
            while node.name in taken:
                node.name += "_"
    return out


def own_zero_points(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with no zero points that several weights share.

    ONNX Runtime 1.32 fails on shared ones where it turns int8 weights into uint8 (`session.x64quantprecision`).
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in out.graph.initializer}
    seen: set[str] = set()
    for node in out.graph.node:
        if node.op_type != "DequantizeLinear" or len(node.input) < 3 or node.input[0] not in constants:
            continue
        zero = node.input[2]
        if zero in seen and zero in constants:
            copy = out.graph.initializer.add()
            copy.CopyFrom(constants[zero])
            copy.name = node.input[2] = f"{node.output[0]}.{zero}"
        seen.add(zero)
    return out
